package icypeas

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// BaseURL is where Icypeas lives.
const BaseURL = "https://app.icypeas.com/api"

const name = "icypeas"

// Adapter is Icypeas's wire format.
type Adapter struct{}

// Name is "icypeas".
func (Adapter) Name() string { return name }

// Services are the services that Icypeas is asked for.
func (Adapter) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }

// Authorise adds the key as it is, without a scheme.
func (Adapter) Authorise(req *http.Request, key string) { req.Header.Set("Authorization", key) }

// Request builds POST {base}/email-search, or, for a question that Icypeas has
// taken on, POST the address of its jobs.
func (Adapter) Request(ctx context.Context, base string, q lookup.Query) (*http.Request, bool) {
	if q.Service != lookup.EmailFinder {
		return nil, false
	}
	if ticket, ok := providers.TicketOf(ctx, name); ok {
		return post(ctx, base+"/bulk-single-searchs/read", map[string]string{"id": ticket.ID}) //nolint:misspell // so it is spelt
	}
	first, last := q.Get("first_name"), q.Get("last_name")
	if first == "" || last == "" {
		first, last, _ = strings.Cut(q.Get("full_name"), " ")
	}
	at := q.Get("domain")
	if at == "" {
		at = q.Get("company_name")
	}
	if first == "" || last == "" || at == "" {
		return nil, false
	}
	return post(ctx, base+"/email-search", map[string]string{"firstname": first, "lastname": last, "domainOrCompany": at})
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
