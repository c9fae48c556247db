package findymail

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// BaseURL is where Findymail lives.
const BaseURL = "https://app.findymail.com"

// Adapter is Findymail's wire format.
type Adapter struct{}

var _ providers.Adapter = Adapter{}

// Name is "findymail".
func (Adapter) Name() string { return "findymail" }

// Services are the services that Findymail is asked for.
func (Adapter) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }

// Authorise adds the key as a bearer's token.
func (Adapter) Authorise(req *http.Request, key string) {
	req.Header.Set("Authorization", "Bearer "+key)
}

// Request builds POST {base}/api/search/name. Findymail wants a domain: it takes
// no company's name.
func (Adapter) Request(ctx context.Context, base string, q lookup.Query) (*http.Request, bool) {
	if q.Service != lookup.EmailFinder {
		return nil, false
	}
	name := q.Get("full_name")
	if first, last := q.Get("first_name"), q.Get("last_name"); first != "" && last != "" {
		name = first + " " + last
	}
	if name == "" || q.Get("domain") == "" {
		return nil, false
	}
	body, err := json.Marshal(map[string]string{"name": name, "domain": q.Get("domain")})
	if err != nil {
		return nil, false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/search/name", bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	return req, true
}
