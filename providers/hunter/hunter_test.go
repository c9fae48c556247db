package hunter_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/hunter"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	found := func(email, status, acceptAll string) string {
		return `{"data":{"email":` + email + `,"score":93,"accept_all":` + acceptAll + `,"verification":{"date":"2026-10-01","status":` + status + `}},"meta":{}}`
	}
	refused := func(id string) string { return `{"errors":[{"id":"` + id + `","code":0,"details":"…"}]}` }
	cases := []struct {
		name    string
		status  int
		header  http.Header
		body    string
		outcome providers.Outcome
		reason  string
		after   time.Duration
	}{
		{"verified", 200, nil, found(`"Ada@ACME.test"`, `"valid"`, `false`), providers.Hit, "valid", 0},
		{"catch-all", 200, nil, found(`"ada@acme.test"`, `"accept_all"`, `true`), providers.Hit, "valid_catch_all", 0},
		{"valid, yet it accepts all", 200, nil, found(`"ada@acme.test"`, `"valid"`, `true`), providers.Hit, "valid_catch_all", 0},
		{"valid, boolean as text", 200, nil, found(`"ada@acme.test"`, `"valid"`, `"true"`), providers.Hit, "valid_catch_all", 0},
		{"valid, accepts nobody knows", 200, nil, found(`"ada@acme.test"`, `"valid"`, `null`), providers.Hit, "valid", 0},
		{"invalid", 200, nil, found(`"ada@acme.test"`, `"invalid"`, `false`), providers.Miss, "unverified", 0},
		{"webmail", 200, nil, found(`"ada@acme.test"`, `"webmail"`, `false`), providers.Miss, "unverified", 0},
		{"disposable", 200, nil, found(`"ada@acme.test"`, `"disposable"`, `false`), providers.Miss, "unverified", 0},
		{"unknown", 200, nil, found(`"ada@acme.test"`, `"unknown"`, `false`), providers.Miss, "unverified", 0},
		{"a status nobody documented", 200, nil, found(`"ada@acme.test"`, `"VALID?"`, `false`), providers.Miss, "unverified", 0},
		{"not verified yet", 200, nil, found(`"ada@acme.test"`, `null`, `false`), providers.Miss, "unverified", 0},
		{"masked", 200, nil, found(`"a***@acme.test"`, `"valid"`, `false`), providers.Miss, "masked", 0},
		{"no address", 200, nil, found(`null`, `null`, `false`), providers.Miss, "no_match", 0},
		{"empty address", 200, nil, found(`""`, `"valid"`, `false`), providers.Miss, "no_match", 0},
		{"address is no text", 200, nil, found(`7`, `"valid"`, `false`), providers.Transient, "undecodable", 0},
		{"no data", 200, nil, `{}`, providers.Transient, "no_data", 0},
		{"null", 200, nil, `null`, providers.Transient, "no_data", 0},
		{"errors with 200", 200, nil, refused("wrong_params"), providers.Transient, "unknown_answer", 0},
		{"not ready", 202, nil, `{"data":null}`, providers.Pending, "not_ready", 0},
		{"not ready, no body", 202, http.Header{"Retry-After": {"3"}}, ``, providers.Pending, "not_ready", 3 * time.Second},
		{"another success", 204, nil, `{}`, providers.Transient, "unknown_answer", 0},
		{"no mail at the domain", 400, nil, refused("invalid_domain"), providers.Miss, "invalid_domain", 0},
		{"wrong parameters", 400, nil, refused("wrong_params"), providers.BadRequest, "not_understood", 0},
		{"400 without an id", 400, nil, `{}`, providers.BadRequest, "not_understood", 0},
		{"wrong key", 401, nil, refused("authentication_failed"), providers.Auth, "key_refused", 0},
		{"wrong key in plain text", 401, nil, `No.`, providers.Auth, "key_refused", 0},
		{"throttled with 403", 403, nil, refused("rate_limit_reached"), providers.Throttled, "rate_limit", 0},
		{"throttled, no id", 403, nil, `{}`, providers.Throttled, "rate_limit", 0},
		{"restricted account", 403, nil, refused("restricted_account"), providers.Auth, "account_restricted", 0},
		{"403 from a proxy", 403, nil, `<html>Forbidden</html>`, providers.Transient, "undecodable", 0},
		{"no such person", 404, nil, refused("not_found"), providers.Miss, "no_match", 0},
		{"no such path", 404, nil, `<!doctype html><title>404</title>`, providers.Transient, "undecodable", 0},
		{"another refusal", 418, nil, `{}`, providers.BadRequest, "not_understood", 0},
		{"plan used up with 429", 429, nil, refused("too_many_requests"), providers.Quota, "plan_limit", 0},
		{"plan used up, no id", 429, nil, `{"errors":[]}`, providers.Quota, "plan_limit", 0},
		{"throttled with 429", 429, http.Header{"Retry-After": {"7"}}, refused("too_many_requests"), providers.Throttled, "rate_limit", 7 * time.Second},
		{"throttled with 429 until a date", 429, http.Header{"Retry-After": {"Wed, 25 Nov 2026 12:00:00 GMT"}}, refused("too_many_requests"), providers.Throttled, "rate_limit", 0},
		{"throttled with 429 by id", 429, nil, refused("rate_limit_reached"), providers.Throttled, "rate_limit", 0},
		{"objected", 451, nil, refused("claimed_email"), providers.Blocked, "person_objected", 0},
		{"server error", 500, nil, refused("internal_error"), providers.Transient, "server_error", 0},
		{"bad gateway", 502, nil, `<html>`, providers.Transient, "server_error", 0},
		{"truncated", 200, nil, `{"data":{"email":"ada@ac`, providers.Transient, "undecodable", 0},
		{"HTML with 200", 200, nil, `<html>`, providers.Transient, "undecodable", 0},
		{"empty", 200, nil, ``, providers.Transient, "undecodable", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := hunter.Adapter{}.Classify(lookup.EmailFinder, c.status, c.header, []byte(c.body))
			if a.Outcome != c.outcome || a.Reason != c.reason || a.After != c.after {
				t.Errorf("got %v, %q, after %s", a.Outcome, a.Reason, a.After)
			}
			if (a.Outcome == providers.Hit) != (a.Result != nil) {
				t.Errorf("outcome %v with result %v", a.Outcome, a.Result)
			}
		})
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	for score, want := range map[string]any{`93`: 93.0, `"93"`: 93, `"high"`: nil, `null`: nil} {
		a := hunter.Adapter{}.Classify(lookup.EmailFinder, 200, nil,
			[]byte(`{"data":{"email":"Ada@ACME.test","score":`+score+`,"verification":{"status":"valid"}}}`))
		if a.Result["score"] != want || a.Result["email"] != "Ada@acme.test" || a.Result["domain"] != "acme.test" {
			t.Errorf("score %s: %v", score, a.Result)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	cases := []struct {
		service lookup.Service
		fields  map[string]string
		want    string // "": it cannot be asked
	}{
		{lookup.EmailFinder, map[string]string{"first_name": "ada", "last_name": "byron", "domain": "acme.test"},
			"https://h.test/v2/email-finder?domain=acme.test&first_name=ada&last_name=byron"},
		{lookup.EmailFinder, map[string]string{"full_name": "ada king & byron", "company_name": "acme"},
			"https://h.test/v2/email-finder?company=acme&full_name=ada+king+%26+byron"},
		{lookup.EmailFinder, map[string]string{"first_name": "ada", "domain": "acme.test"}, ""},
		{lookup.EmailFinder, map[string]string{"full_name": "ada byron"}, ""},
		{lookup.MobileFinder, map[string]string{"full_name": "ada byron", "domain": "acme.test"}, ""},
	}
	for _, c := range cases {
		req, ok := hunter.Adapter{}.Request(context.Background(), "https://h.test/v2", lookup.Query{Service: c.service, Fields: c.fields})
		if ok != (c.want != "") || ok && req.URL.String() != c.want {
			t.Errorf("%v: %v, %v", c.fields, ok, req)
		}
		if !ok {
			continue
		}
		hunter.Adapter{}.Authorise(req, "k1")
		if req.Header.Get("X-API-KEY") != "k1" || req.URL.String() != c.want {
			t.Errorf("the key went elsewhere: %v %v", req.Header, req.URL)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(200, `{"data":{"email":"ada@acme.test","verification":{"status":"valid"}}}`)
	f.Add(200, `{"data":{"email":"@","score":"x","accept_all":[],"verification":{"status":"accept_all"}}}`)
	f.Add(403, `{"errors":[{"id":"x"}]}`)
	f.Add(999, `null`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		a := hunter.Adapter{}.Classify(lookup.EmailFinder, status, http.Header{"Retry-After": {body}}, []byte(body))
		if a.Outcome != providers.Hit {
			return
		}
		email, _ := a.Result["email"].(string)
		if _, _, ok := providers.ParseEmail(email); !ok || status != 200 {
			t.Errorf("status %d is a hit without an address: %q", status, email)
		}
	})
}
