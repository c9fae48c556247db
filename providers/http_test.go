package providers_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// echo is an adapter whose hits show what was read.
type echo struct{ ineligible bool }

func (echo) Name() string                            { return "echo" }
func (echo) Services() []lookup.Service              { return []lookup.Service{lookup.EmailFinder} }
func (echo) Authorise(req *http.Request, key string) { req.Header.Set("X-Api-Key", key) }
func (e echo) Request(ctx context.Context, base string, q lookup.Query) (*http.Request, bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/find?name="+q.Get("full_name"), nil)
	return req, err == nil && !e.ineligible
}

func (echo) Classify(_ lookup.Service, status int, header http.Header, body []byte) providers.Answer {
	return providers.Answer{Outcome: providers.Hit, Result: map[string]any{"status": status, "bytes": len(body), "saw": header.Get("X-Saw")}}
}

func question(name string) lookup.Query {
	return lookup.Query{Service: lookup.EmailFinder, Fields: map[string]string{"full_name": name, "domain": "acme.test"}}
}

// vendorServer answers by the last element of the name asked for.
func vendorServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	private := vendorServer(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	url := vendorServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Saw", r.Header.Get("X-Api-Key")+" "+r.Header.Get("Accept")+" "+r.URL.Path)
		switch r.URL.Query().Get("name") {
		case "limit":
			_, _ = w.Write(make([]byte, 1<<20))
		case "large":
			_, _ = w.Write(make([]byte, 1<<20+1))
		case "redirect":
			http.Redirect(w, r, private, http.StatusFound)
		case "slow":
			<-r.Context().Done()
		case "stalled":
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "short":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		case "reset":
			panic(http.ErrAbortHandler)
		case "teapot":
			w.WriteHeader(http.StatusTeapot)
		}
	})
	cases := []struct {
		name    string
		outcome providers.Outcome
		reason  string
		status  int
		bytes   int
	}{
		{"plain", providers.Hit, "", 200, 0},
		{"teapot", providers.Hit, "", 418, 0},
		{"limit", providers.Hit, "", 200, 1 << 20},
		{"large", providers.Transient, "too_large", 0, 0},
		{"redirect", providers.Transient, "redirect", 0, 0},
		{"slow", providers.Transient, "timeout", 0, 0},
		{"stalled", providers.Transient, "timeout", 0, 0},
		{"short", providers.Transient, "network", 0, 0},
		{"reset", providers.Transient, "network", 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timeout := 20 * time.Second
			if c.reason == "timeout" {
				timeout = 50 * time.Millisecond
			}
			p := providers.NewHTTP(echo{}, providers.HTTPConfig{BaseURL: url + "/", Key: "k1", Timeout: timeout})
			a := p.Ask(t.Context(), question(c.name))
			if a.Outcome != c.outcome || a.Reason != c.reason {
				t.Fatalf("got %v, %q", a.Outcome, a.Reason)
			}
			if lost := a.Outcome == providers.Transient && c.name != "redirect"; a.Lost != lost {
				t.Errorf("the answer was lost: %t, want %t", a.Lost, lost)
			}
			if a.Outcome == providers.Hit && (a.Result["status"] != c.status || a.Result["bytes"] != c.bytes || a.Result["saw"] != "k1 application/json /find") {
				t.Errorf("got %v", a.Result)
			}
		})
	}
	t.Cleanup(func() {
		if n := elsewhere.Load(); n != 0 {
			t.Errorf("%d redirects were followed", n)
		}
	})
}

func TestHTTPNotAsked(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	url := vendorServer(t, func(http.ResponseWriter, *http.Request) { t.Error("the vendor was asked") })
	cases := []struct {
		name    string
		ctx     context.Context
		adapter echo
		base    string
		want    providers.Answer
	}{
		{"ineligible", t.Context(), echo{ineligible: true}, url, providers.Answer{Outcome: providers.Ineligible, Reason: "ineligible", NotAsked: true}},
		{"no base", t.Context(), echo{}, "", providers.Answer{Outcome: providers.BadRequest, Reason: "base_url", NotAsked: true}},
		{"bad base", t.Context(), echo{}, "api.acme.test", providers.Answer{Outcome: providers.BadRequest, Reason: "base_url", NotAsked: true}},
		{"caller left", ended, echo{}, url, providers.Answer{Outcome: providers.Transient, Reason: "cancelled"}},
		{"nobody there", t.Context(), echo{}, "http://127.0.0.1:1", providers.Answer{Outcome: providers.Transient, Reason: "network"}},
	}
	for _, c := range cases {
		p := providers.NewHTTP(c.adapter, providers.HTTPConfig{BaseURL: c.base})
		if got := p.Ask(c.ctx, question("ada")); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestHTTPConfigValidate(t *testing.T) {
	t.Parallel()
	for base, ok := range map[string]bool{"https://a.test/v2": true, "http://127.0.0.1:80": true, "ftp://a.test": false, "a.test": false, "https://": false, "://": false} {
		if err := (providers.HTTPConfig{BaseURL: base, Key: "secret"}).Validate(); (err == nil) != ok || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", base, err)
		}
	}
	if err := (providers.HTTPConfig{BaseURL: "https://a.test", Timeout: -1}).Validate(); err == nil {
		t.Error("a negative timeout passes")
	}
}

// TestHTTPNeverRepeats breaks a connection that had already carried an answer,
// which makes net/http's transport repeat a GET unless it is kept from it.
func TestHTTPNeverRepeats(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan string, 8)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(requests)
				return
			}
			serveOnce(conn, requests)
		}
	}()
	p := providers.NewHTTP(echo{}, providers.HTTPConfig{BaseURL: "http://" + listener.Addr().String()})
	first := p.Ask(t.Context(), question("one"))
	second := p.Ask(t.Context(), question("two"))
	_ = listener.Close()
	if first.Outcome != providers.Hit || second.Reason != "network" {
		t.Errorf("outcomes %v and %v", first, second)
	}
	seen := []string{}
	for name := range requests {
		seen = append(seen, name)
	}
	if fmt.Sprint(seen) != "[one two]" {
		t.Errorf("the vendor saw %v, want each question once", seen)
	}
}

// serveOnce answers the first request on a connection and breaks at the second.
func serveOnce(conn net.Conn, requests chan<- string) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for range 2 {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		name := req.URL.Query().Get("name")
		if req.ContentLength != 0 || len(req.TransferEncoding) > 0 {
			name += " with a body"
		}
		requests <- name
		if name != "one" {
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
	}
}

// lost is an adapter that understands nothing.
type lost struct{ echo }

func (lost) Classify(lookup.Service, int, http.Header, []byte) providers.Answer {
	return providers.Answer{}
}

// A success in half a body may have been charged; an error, or what is whole but
// makes no sense, was not.
func TestHalfASuccessIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		lost   bool
	}{
		{200, `{"email":"ada@ac`, true}, {202, ``, true}, {200, `<html>`, true},
		{200, `{}`, false}, {502, `<html>`, false}, {400, `{"error":`, false},
	} {
		url := vendorServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		a := providers.NewHTTP(lost{}, providers.HTTPConfig{BaseURL: url}).Ask(t.Context(), question("ada"))
		if a.Outcome != providers.Transient || a.Lost != c.lost {
			t.Errorf("%d %q: %+v, want lost %t", c.status, c.body, a, c.lost)
		}
	}
}
