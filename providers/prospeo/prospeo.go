package prospeo

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/magpie-hq/magpie/lookup"
)

// BaseURL is where Prospeo lives.
const BaseURL = "https://api.prospeo.io"

// Adapter is Prospeo's wire format.
type Adapter struct{}

// Name is "prospeo".
func (Adapter) Name() string { return "prospeo" }

// Services are the services that Prospeo is asked for.
func (Adapter) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }

// Authorise adds the key as a header.
func (Adapter) Authorise(req *http.Request, key string) { req.Header.Set("X-Key", key) }

// enrichPerson is the body of a request.
type enrichPerson struct {
	Data               personData `json:"data"`
	OnlyVerifiedEmail  bool       `json:"only_verified_email"`
	EnrichMobile       bool       `json:"enrich_mobile"` // ten times the price
	OnlyVerifiedMobile bool       `json:"only_verified_mobile"`
}

type personData struct {
	FirstName      string `json:"first_name,omitempty"`
	LastName       string `json:"last_name,omitempty"`
	FullName       string `json:"full_name,omitempty"`
	CompanyWebsite string `json:"company_website,omitempty"`
	CompanyName    string `json:"company_name,omitempty"`
}

// Request builds POST {base}/enrich-person.
func (Adapter) Request(ctx context.Context, base string, q lookup.Query) (*http.Request, bool) {
	if q.Service != lookup.EmailFinder {
		return nil, false
	}
	data := personData{
		FirstName: q.Get("first_name"), LastName: q.Get("last_name"), FullName: q.Get("full_name"),
		CompanyWebsite: q.Get("domain"), CompanyName: q.Get("company_name"),
	}
	named := data.FullName != "" || data.FirstName != "" && data.LastName != ""
	if !named || data.CompanyWebsite == "" && data.CompanyName == "" {
		return nil, false
	}
	body, err := json.Marshal(enrichPerson{Data: data, OnlyVerifiedEmail: true})
	if err != nil {
		return nil, false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/enrich-person", bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	return req, true
}
