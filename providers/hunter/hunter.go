package hunter

import (
	"context"
	"net/http"
	"net/url"

	"github.com/magpie-hq/magpie/lookup"
)

// BaseURL is where Hunter lives.
const BaseURL = "https://api.hunter.io/v2"

// Adapter is Hunter's wire format.
type Adapter struct{}

// Name is "hunter".
func (Adapter) Name() string { return "hunter" }

// Services are the services that Hunter is asked for.
func (Adapter) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }

// Authorise adds the key as a header; in the query it would end in logs.
func (Adapter) Authorise(req *http.Request, key string) { req.Header.Set("X-Api-Key", key) }

// Request builds GET {base}/email-finder.
func (Adapter) Request(ctx context.Context, base string, q lookup.Query) (*http.Request, bool) {
	if q.Service != lookup.EmailFinder {
		return nil, false
	}
	params := url.Values{}
	set := func(param, field string) {
		if v := q.Get(field); v != "" {
			params.Set(param, v)
		}
	}
	set("first_name", "first_name")
	set("last_name", "last_name")
	set("full_name", "full_name")
	set("domain", "domain")
	set("company", "company_name")
	named := params.Has("full_name") || params.Has("first_name") && params.Has("last_name")
	if !named || !params.Has("domain") && !params.Has("company") {
		return nil, false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/email-finder?"+params.Encode(), nil)
	return req, err == nil
}
