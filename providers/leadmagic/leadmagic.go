package leadmagic

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// BaseURL is where LeadMagic lives, with the version of its paths.
const BaseURL = "https://api.leadmagic.io/v1"

// Adapter is LeadMagic's wire format.
type Adapter struct{}

var _ providers.Adapter = Adapter{}

// Name is "leadmagic".
func (Adapter) Name() string { return "leadmagic" }

// Services are the services that LeadMagic is asked for.
func (Adapter) Services() []lookup.Service {
	return []lookup.Service{lookup.EmailFinder, lookup.EmailValidation}
}

// Authorise adds the key as a header.
func (Adapter) Authorise(req *http.Request, key string) { req.Header.Set("X-Api-Key", key) }

// Request builds POST {base}/people/email-finder or {base}/people/email-validation.
func (Adapter) Request(ctx context.Context, base string, q lookup.Query) (*http.Request, bool) {
	fields := map[string]string{}
	for _, field := range q.Service.QueryFields() { // which LeadMagic calls as we do
		if value := q.Get(field); value != "" {
			fields[field] = value
		}
	}
	switch q.Service {
	case lookup.EmailFinder:
		named := fields["full_name"] != "" || fields["first_name"] != "" && fields["last_name"] != ""
		if !named || fields["domain"] == "" && fields["company_name"] == "" {
			return nil, false
		}
		return post(ctx, base+"/people/email-finder", fields)
	case lookup.EmailValidation:
		if fields["email"] == "" {
			return nil, false
		}
		return post(ctx, base+"/people/email-validation", fields)
	}
	return nil, false
}

func post(ctx context.Context, url string, fields map[string]string) (*http.Request, bool) {
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	return req, true
}
