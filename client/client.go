package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls one server with one key. It may be used by several goroutines.
type Client struct {
	base    string // without a slash at its end
	key     string
	http    *http.Client
	retries int
	sleep   func(ctx context.Context, d time.Duration) error
}

// Option changes what [New] makes.
type Option func(*Client)

// WithHTTPClient sends requests through h, whose transport, time limit and
// cookies are kept; redirects are not followed whatever h says.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) { c.http = h }
}

// WithRetries tries a call that failed for a moment n times more, instead of
// three times; 0 never.
func WithRetries(n int) Option {
	return func(c *Client) { c.retries = n }
}

// WithSleep waits with sleep between two tries. It returns an error if ctx ends
// first.
func WithSleep(sleep func(ctx context.Context, d time.Duration) error) Option {
	return func(c *Client) { c.sleep = sleep }
}

// New returns a client of the server at baseURL, such as
// "http://127.0.0.1:8080". The key is an organization's, or the administrator's
// for the calls that say so.
func New(baseURL, key string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("client: the server's address is not one; write it like http://127.0.0.1:8080")
	}
	c := &Client{base: strings.TrimRight(u.String(), "/"), key: key, http: &http.Client{}, retries: 3, sleep: sleep}
	for _, option := range options {
		option(c)
	}
	direct := *c.http
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &direct
	return c, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// call is a request that can be sent several times.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         func() (io.Reader, error) // nil: none; called for each sending
	repeatable   bool                      // sending it twice has its effect once
}

// get is a call that reads.
func get(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path, query: query, repeatable: true}
}

// ask sends a call and decodes the answer into v, unless v is nil. It returns
// the answer's header.
func (c *Client) ask(ctx context.Context, q call, v any) (http.Header, error) {
	var header http.Header
	err := c.persist(ctx, q, func() error {
		answer, err := c.send(ctx, q)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		header = answer.Header
		if v == nil {
			return nil
		}
		if err := json.NewDecoder(answer.Body).Decode(v); err != nil {
			return fmt.Errorf("client: %s %s: read the answer: %w", q.method, q.path, err)
		}
		return nil
	})
	return header, err
}

// persist tries again while that is allowed and can help.
func (c *Client) persist(ctx context.Context, q call, try func() error) error {
	for attempt := 0; ; attempt++ {
		err := try()
		wait, worth := pause(err, attempt)
		if err == nil || !worth || !q.repeatable || attempt >= c.retries || ctx.Err() != nil {
			return err
		}
		if c.sleep(ctx, wait) != nil {
			return err
		}
	}
}

// patience is the longest that a call waits before it is tried again: who is
// told to wait longer is told so at once.
const patience = 10 * time.Second

// pause says how long to wait after a failure, and whether trying again can help.
func pause(err error, attempt int) (wait time.Duration, worth bool) {
	const first = 100 * time.Millisecond
	wait = first << attempt
	wait += rand.N(wait) // so that many clients do not return at once
	var refusal *Error
	var network *url.Error
	switch {
	case errors.As(err, &refusal):
		wait = max(wait, refusal.RetryAfter)
		return wait, refusal.Temporary() && wait <= patience
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
		return wait, true
	}
	return 0, false
}

// send sends a call once. The caller closes the answer's body.
func (c *Client) send(ctx context.Context, q call) (*http.Response, error) {
	var body io.Reader
	var sent <-chan struct{}
	if q.body != nil {
		content, err := q.body()
		if err != nil {
			return nil, err
		}
		body, sent = watch(content)
	}
	address := c.base + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("client: %s %s: %w", q.method, q.path, err)
	}
	maps.Copy(r.Header, q.header)
	if c.key != "" {
		r.Header.Set("X-API-Key", c.key)
	}
	answer, err := c.http.Do(r)
	if sent != nil {
		select { // the content may be read again only when it is not being read
		case <-sent:
		case <-ctx.Done():
		}
	}
	if err != nil {
		return nil, withoutQuery(err)
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		defer func() { _ = answer.Body.Close() }()
		return nil, readError(answer)
	}
	return answer, nil
}

// withoutQuery takes the parameters out of a network error: they may be
// personal.
func withoutQuery(err error) error {
	if network, ok := errors.AsType[*url.Error](err); ok {
		network.URL, _, _ = strings.Cut(network.URL, "?")
	}
	return err
}
