package millionverifier

import (
	"context"
	"net/http"
	"net/url"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// BaseURL is where MillionVerifier lives.
const BaseURL = "https://api.millionverifier.com/api/v3"

// checkTime is how long, in seconds, MillionVerifier may talk to the mail server
// before it answers "unknown": less than a call takes at most, so that the
// answer arrives.
const checkTime = "20"

// Adapter is MillionVerifier's wire format.
type Adapter struct{}

var _ providers.Adapter = Adapter{}

// Name is "millionverifier".
func (Adapter) Name() string { return "millionverifier" }

// Services are the services that MillionVerifier is asked for.
func (Adapter) Services() []lookup.Service { return []lookup.Service{lookup.EmailValidation} }

// Authorise adds the key to the query, the only place where it is read.
func (Adapter) Authorise(req *http.Request, key string) {
	params := req.URL.Query()
	params.Set("api", key)
	req.URL.RawQuery = params.Encode()
}

// Request builds GET {base}/.
func (Adapter) Request(ctx context.Context, base string, q lookup.Query) (*http.Request, bool) {
	if q.Service != lookup.EmailValidation || q.Get("email") == "" {
		return nil, false
	}
	params := url.Values{"email": {q.Get("email")}, "timeout": {checkTime}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/?"+params.Encode(), nil)
	return req, err == nil
}
