package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

// unreliable answers its first requests with a fault and the others with {}. It
// notes what it gets and how long its client waits in between.
type unreliable struct {
	*client.Client

	mu     sync.Mutex
	faults int
	fault  http.HandlerFunc
	keys   []string // Idempotency-Keys, one a request
	bodies []string
	waits  []time.Duration
}

func newUnreliable(t *testing.T, faults int, fault http.HandlerFunc, options ...client.Option) *unreliable {
	t.Helper()
	u := &unreliable{faults: faults, fault: fault}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	note := client.WithSleep(func(_ context.Context, d time.Duration) error {
		u.waits = append(u.waits, d)
		return nil
	})
	fresh := client.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	var err error
	if u.Client, err = client.New(server.URL, "mgp_secret", append([]client.Option{note, fresh}, options...)...); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.keys, u.bodies = append(u.keys, r.Header.Get("Idempotency-Key")), append(u.bodies, string(body))
	if len(u.keys) <= u.faults {
		u.fault(w, r)
		return
	}
	fmt.Fprint(w, "{}")
}

// refusing answers as the API does when it refuses.
func refusing(status int, code, after string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":%q,"detail":"not now"}`, code)
	}
}

func hangingUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestRetries(t *testing.T) {
	t.Parallel()
	read := func(c *client.Client) error { _, err := c.Credits(t.Context()); return err }
	ask := func(c *client.Client) error {
		_, err := c.Lookup(t.Context(), client.LookupRequest{Service: lookup.EmailFinder})
		return err
	}
	submit := func(c *client.Client) error {
		_, err := c.Submit(t.Context(), client.SubmitRequest{Reader: strings.NewReader("a\nb\n"), Filename: "x.csv"})
		return err
	}
	stream := func(c *client.Client) error {
		_, err := c.Submit(t.Context(), client.SubmitRequest{Reader: io.MultiReader(strings.NewReader("a\nb\n")), Filename: "x.csv"})
		return err
	}
	const first, second, third = 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond
	for _, c := range []struct {
		name   string
		faults int
		fault  http.HandlerFunc
		do     func(*client.Client) error
		waits  []time.Duration // at least so long, and less than twice
		code   string          // it fails with in the end
	}{
		{"429 with Retry-After", 1, refusing(429, "rate_limit_exceeded", "7"), read, []time.Duration{7 * time.Second}, ""},
		{"429 with a long Retry-After", 1, refusing(429, "rate_limit_exceeded", "60"), read, nil, "rate_limit_exceeded"},
		{"503 twice", 2, refusing(503, "provider_unavailable", ""), ask, []time.Duration{first, second}, ""},
		{"503 for ever", 99, refusing(503, "provider_unavailable", ""), read, []time.Duration{first, second, third}, "provider_unavailable"},
		{"the connection", 1, hangingUp, read, []time.Duration{first}, ""},
		{"the connection, with a file", 2, hangingUp, submit, []time.Duration{first, second}, ""},
		{"the first try is still at work", 1, refusing(409, "conflict", "5"), submit, []time.Duration{5 * time.Second}, ""},
		{"a conflict for good", 1, refusing(409, "conflict", ""), ask, nil, "conflict"},
		{"a bad request", 1, refusing(400, "validation_error", ""), ask, nil, "validation_error"},
		{"a server error", 1, refusing(500, "internal_error", ""), read, nil, "internal_error"},
		{"a file that cannot be read again", 1, refusing(503, "provider_unavailable", ""), stream, nil, "provider_unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := newUnreliable(t, c.faults, c.fault)
			err := c.do(u.Client)
			if !slices.EqualFunc(u.waits, c.waits, func(got, least time.Duration) bool { return got >= least && got < 2*least }) {
				t.Errorf("waited %v, want %v", u.waits, c.waits)
			}
			refused, _ := errors.AsType[*client.Error](err)
			if c.code == "" && err != nil || c.code != "" && (refused == nil || refused.Code != c.code || refused.Detail != "not now") {
				t.Errorf("ended with %v, want %q", err, c.code)
			}
			// A repeat is the same request: the same key, the same body.
			if len(slices.Compact(u.keys)) != 1 || len(slices.Compact(u.bodies)) != 1 {
				t.Errorf("sent keys %q and bodies %q", u.keys, u.bodies)
			}
		})
	}
}

func TestNoRetries(t *testing.T) {
	t.Parallel()
	u := newUnreliable(t, 1, refusing(503, "provider_unavailable", "1"), client.WithRetries(0))
	if _, err := u.Credits(t.Context()); err == nil || len(u.keys) != 1 {
		t.Errorf("%d calls, err %v", len(u.keys), err)
	}
}

func TestAnswersOfSomethingElse(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"a proxy's page": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "<html>")
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"a torn problem": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, `{"code":`)
		},
	} {
		u := newUnreliable(t, 1, answer)
		_, err := u.Credits(t.Context())
		refused, _ := errors.AsType[*client.Error](err)
		if refused == nil || refused.Code != "" || refused.Detail == "" || len(u.keys) != 1 {
			t.Errorf("%s: %v after %d calls", name, err, len(u.keys))
		}
	}
}

func TestErrorsDoNotSayWhatWasAsked(t *testing.T) {
	t.Parallel()
	u := newUnreliable(t, 9, hangingUp, client.WithRetries(0))
	_, err := u.Batches(t.Context(), client.BatchesOptions{ListOptions: client.ListOptions{Cursor: "private"}})
	if err == nil || strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "mgp_secret") {
		t.Errorf("error: %v", err)
	}
}
