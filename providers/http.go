package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

const (
	defaultTimeout = 25 * time.Second // some vendors take 20 s to answer
	maxBody        = 1 << 20
)

// HTTPConfig says where and how a vendor is called.
type HTTPConfig struct {
	BaseURL string        // such as "https://api.hunter.io/v2"
	Key     string        // the operator's key; never logged
	Client  *http.Client  // nil: one with a pool of connections of its own
	Timeout time.Duration // for one call, body included; 0: 25 s
	Longest time.Duration // that a waterfall may give one call instead; 0: Timeout
}

// Validate says what is wrong with the configuration, without the key.
func (c HTTPConfig) Validate() error {
	u, err := url.Parse(c.BaseURL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return errors.New("the BaseURL is not the address of an API; write it like https://api.example.com/v1")
	}
	if c.Timeout < 0 {
		return fmt.Errorf("the Timeout is %s, want 0 (for %s) or more", c.Timeout, defaultTimeout)
	}
	return nil
}

// HTTP is a [Provider] that asks a vendor over HTTP through its [Adapter].
type HTTP struct {
	adapter Adapter
	base    string // "" if the configuration is unusable
	key     string
	client  *http.Client
	timeout time.Duration
	longest time.Duration
}

// NewHTTP returns the provider of adapter. With a configuration that does not
// validate every answer is a BadRequest, so that a mistake is never a miss.
func NewHTTP(adapter Adapter, cfg HTTPConfig) *HTTP {
	h := &HTTP{adapter: adapter, key: cfg.Key, client: newClient(cfg.Client), timeout: cfg.Timeout, longest: cfg.Longest}
	if cfg.Validate() == nil {
		h.base = strings.TrimRight(cfg.BaseURL, "/")
	}
	if h.timeout <= 0 {
		h.timeout = defaultTimeout
	}
	h.longest = max(h.longest, h.timeout)
	return h
}

// newClient returns a client that follows no redirect: an answer from
// elsewhere (perhaps a private address) is not the vendor's answer.
func newClient(given *http.Client) *http.Client {
	client := http.Client{}
	if given != nil {
		client = *given
	}
	if client.Transport == nil {
		http1 := new(http.Protocols)
		http1.SetHTTP1(true) // see once
		client.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			Protocols:           http1,
			MaxIdleConnsPerHost: 128,
			IdleConnTimeout:     time.Minute,
			TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// Name is the adapter's name.
func (h *HTTP) Name() string { return h.adapter.Name() }

// Services are the adapter's services.
func (h *HTTP) Services() []lookup.Service { return h.adapter.Services() }

// Timeout is the longest that a call may take, whatever a waterfall says.
func (h *HTTP) Timeout() time.Duration { return h.longest }

// Ask makes one call. It reads at most 1 MiB of the answer and never repeats a
// call: one that was cut short may have been paid for.
func (h *HTTP) Ask(ctx context.Context, q lookup.Query) Answer {
	if h.base == "" {
		return Answer{Outcome: BadRequest, Reason: "base_url", NotAsked: true}
	}
	ctx, cancel := context.WithTimeout(ctx, min(timeoutIn(ctx, h.timeout), h.longest))
	defer cancel()
	req, ok := h.adapter.Request(ctx, h.base, q)
	if !ok {
		return Answer{Outcome: Ineligible, Reason: "ineligible", NotAsked: true}
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	once(req)
	h.adapter.Authorise(req, h.key)
	return h.send(ctx, q.Service, req)
}

// once keeps the transport from repeating a GET by itself when a connection
// breaks: a body of unknown length, though empty, cannot be sent again. Over
// HTTP/1.1 the request looks the same on the wire.
func once(req *http.Request) {
	if req.Body == nil {
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	req.GetBody = nil
}

func (h *HTTP) send(ctx context.Context, service lookup.Service, req *http.Request) Answer {
	if ctx.Err() != nil {
		return Answer{Outcome: Transient, Reason: "cancelled"}
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return cutShort(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return cutShort(ctx, err)
	case len(body) > maxBody:
		return Answer{Outcome: Transient, Reason: "too_large", Lost: true}
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return Answer{Outcome: Transient, Reason: "redirect"}
	}
	answer := h.adapter.Classify(service, resp.StatusCode, resp.Header, body)
	if answer.Outcome == Throttled && answer.After == 0 {
		answer.After = RetryAfter(resp.Header, body, time.Now())
	}
	// A success in half a body was a success to the vendor.
	answer.Lost = answer.Outcome == Transient && resp.StatusCode < 300 && !json.Valid(body)
	return answer
}

// cutShort answers for a call without an answer. The error itself is dropped:
// it carries the URL, and with it what was asked.
func cutShort(ctx context.Context, err error) Answer {
	a := Answer{Outcome: Transient, Reason: "network", Lost: !unsent(err)}
	var netErr net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		a.Reason = "cancelled"
	case ctx.Err() != nil, errors.As(err, &netErr) && netErr.Timeout():
		a.Reason = "timeout"
	}
	return a
}

// unsent reports whether a call failed before the vendor can have seen it.
func unsent(err error) bool {
	failed, ok := errors.AsType[*net.OpError](err)
	return ok && (failed.Op == "dial" || failed.Op == "proxyconnect")
}
