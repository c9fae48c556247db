package prospeo_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/prospeo"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	person := func(status, revealed, email string) string {
		return `{"error":false,"person":{"email":{"status":"` + status + `","revealed":` + revealed + `,"email":` + email +
			`,"email_mx_provider":"Google"},"mobile":{"revealed":false,"mobile":null}},"company":{}}`
	}
	code := func(code string) string { return `{"error":true,"error_code":"` + code + `"}` }
	cases := []struct {
		name    string
		status  int
		body    string
		outcome providers.Outcome
		reason  string
	}{
		{"verified", 200, person("VERIFIED", "true", `"ada@acme.test"`), providers.Hit, "valid"},
		{"verified in new case", 200, person("Verified", "true", `"ada@acme.test"`), providers.Hit, "valid"},
		{"not revealed", 200, person("VERIFIED", "false", `"ada@acme.test"`), providers.Miss, "masked"},
		{"masked", 200, person("VERIFIED", "false", `"ad***@acme.test"`), providers.Miss, "masked"},
		{"masked, said to be revealed", 200, person("VERIFIED", "true", `"ad***@acme.test"`), providers.Miss, "masked"},
		{"unverified", 200, person("UNVERIFIED", "true", `"ada@acme.test"`), providers.Miss, "unverified"},
		{"a status nobody documented", 200, person("SUPER", "true", `"ada@acme.test"`), providers.Miss, "unverified"},
		{"no address", 200, person("VERIFIED", "true", `null`), providers.Miss, "no_email"},
		{"no email object", 200, `{"error":false,"person":{"email":null}}`, providers.Miss, "no_email"},
		{"no person", 200, `{"error":false}`, providers.Miss, "no_match"},
		{"null person", 200, `{"error":false,"person":null}`, providers.Miss, "no_match"},
		{"a person with an error", 200, `{"error":true,"person":{"email":{"status":"VERIFIED","revealed":true,"email":"ada@acme.test"}}}`, providers.Transient, "unknown_answer"},
		{"no word about an error", 200, `{}`, providers.Transient, "unknown_answer"},
		{"null", 200, `null`, providers.Transient, "unknown_answer"},
		{"no match", 400, code("NO_MATCH"), providers.Miss, "no_match"},
		{"no match with 200", 200, code("NO_MATCH"), providers.Miss, "no_match"},
		{"no match with 500", 500, code("NO_MATCH"), providers.Miss, "no_match"},
		{"no results", 400, code("NO_RESULTS"), providers.Miss, "no_match"},
		{"no credits with 400", 400, code("INSUFFICIENT_CREDITS"), providers.Quota, "plan_limit"},
		{"no credits with 402", 402, `{}`, providers.Quota, "plan_limit"},
		{"internal error with 400", 400, code("INTERNAL_ERROR"), providers.Transient, "server_error"},
		{"wrong key", 401, code("INVALID_API_KEY"), providers.Auth, "key_refused"},
		{"wrong key with 400", 400, code("INVALID_API_KEY"), providers.Auth, "key_refused"},
		{"wrong key in plain text", 401, `No.`, providers.Auth, "key_refused"},
		{"restricted", 400, code("ACCOUNT_RESTRICTED"), providers.Auth, "account_restricted"},
		{"invalid datapoints", 400, code("INVALID_DATAPOINTS"), providers.Ineligible, "invalid_datapoints"},
		{"invalid request", 400, code("INVALID_REQUEST"), providers.BadRequest, "not_understood"},
		{"invalid filters", 400, code("INVALID_FILTERS"), providers.BadRequest, "not_understood"},
		{"removed", 400, code("DEPRECATED"), providers.BadRequest, "endpoint_removed"},
		{"a code nobody documented", 400, code("NEW"), providers.BadRequest, "not_understood"},
		{"such a code with 200", 200, code("NEW"), providers.Transient, "unknown_answer"},
		{"such a code with 500", 500, code("NEW"), providers.Transient, "unknown_answer"},
		{"throttled", 429, code("RATE_LIMITED"), providers.Throttled, "rate_limit"},
		{"throttled, other word", 429, code("RATE_LIMIT_EXCEEDED"), providers.Throttled, "rate_limit"},
		{"throttled, no code", 429, `{}`, providers.Throttled, "rate_limit"},
		{"bad gateway", 502, `<html>`, providers.Transient, "undecodable"},
		{"HTML with 200", 200, `<html>`, providers.Transient, "undecodable"},
		{"no such path", 404, `<html>`, providers.Transient, "undecodable"},
		{"truncated", 200, person("VERIFIED", "true", `"ada@acme.test"`)[:60], providers.Transient, "undecodable"},
		{"empty", 200, ``, providers.Transient, "undecodable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := prospeo.Adapter{}.Classify(lookup.EmailFinder, c.status, nil, []byte(c.body))
			if a.Outcome != c.outcome || a.Reason != c.reason || a.After != 0 {
				t.Errorf("got %v, %q, after %s", a.Outcome, a.Reason, a.After)
			}
			if (a.Outcome == providers.Hit) != (a.Result["email"] == "ada@acme.test") {
				t.Errorf("outcome %v with result %v", a.Outcome, a.Result)
			}
		})
	}
}

func TestAfter(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		header map[string]string
		want   time.Duration
	}{
		{"nothing said", nil, 0},
		{"only resets", map[string]string{"x-second-reset-seconds": "1", "x-minute-reset-seconds": "40", "x-daily-reset-seconds": "3000"}, time.Second},
		{"minute used up", map[string]string{"x-second-reset-seconds": "1", "x-minute-reset-seconds": "40", "x-minute-request-left": "0", "x-daily-request-left": "9", "x-daily-reset-seconds": "3000"}, 40 * time.Second},
		{"day used up", map[string]string{"x-minute-reset-seconds": "40", "x-minute-request-left": "0", "x-daily-request-left": "0", "x-daily-reset-seconds": "3000"}, 3000 * time.Second},
		{"fraction", map[string]string{"x-second-reset-seconds": "0.5"}, 500 * time.Millisecond},
		{"nonsense", map[string]string{"x-second-reset-seconds": "soon", "x-minute-reset-seconds": "-4", "x-daily-reset-seconds": "NaN"}, 0},
		{"absurd", map[string]string{"x-second-reset-seconds": "1e300"}, 24 * time.Hour},
	}
	for _, c := range cases {
		header := http.Header{}
		for k, v := range c.header {
			header.Set(k, v)
		}
		for _, body := range []string{`{"error":true,"error_code":"RATE_LIMITED"}`, `{}`} {
			a := prospeo.Adapter{}.Classify(lookup.EmailFinder, 429, header, []byte(body))
			if a.Outcome != providers.Throttled || a.After != c.want {
				t.Errorf("%s: %v after %s, want %s", c.name, a.Outcome, a.After, c.want)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	const options = `,"only_verified_email":true,"enrich_mobile":false,"only_verified_mobile":false}`
	cases := []struct {
		service lookup.Service
		fields  map[string]string
		want    string // "": it cannot be asked
	}{
		{lookup.EmailFinder, map[string]string{"first_name": "ada", "last_name": "byron", "domain": "acme.test"},
			`{"data":{"first_name":"ada","last_name":"byron","company_website":"acme.test"}` + options},
		{lookup.EmailFinder, map[string]string{"full_name": "ada king byron", "company_name": "acme"},
			`{"data":{"full_name":"ada king byron","company_name":"acme"}` + options},
		{lookup.EmailFinder, map[string]string{"last_name": "byron", "domain": "acme.test"}, ""},
		{lookup.EmailFinder, map[string]string{"full_name": "ada byron"}, ""},
		{lookup.JobsData, map[string]string{"full_name": "ada byron", "domain": "acme.test"}, ""},
	}
	for _, c := range cases {
		req, ok := prospeo.Adapter{}.Request(context.Background(), "https://p.test", lookup.Query{Service: c.service, Fields: c.fields})
		if ok != (c.want != "") {
			t.Errorf("%v: %v", c.fields, ok)
		}
		if !ok {
			continue
		}
		prospeo.Adapter{}.Authorise(req, "k1")
		body, err := io.ReadAll(req.Body)
		if err != nil || string(body) != c.want || req.Method != "POST" || req.URL.String() != "https://p.test/enrich-person" {
			t.Errorf("%s %s %s (%v)", req.Method, req.URL, body, err)
		}
		if req.Header.Get("X-KEY") != "k1" || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers: %v", req.Header)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(200, `{"error":false,"person":{"email":{"status":"VERIFIED","revealed":true,"email":"ada@acme.test"}}}`)
	f.Add(400, `{"error":true,"error_code":"NO_MATCH"}`)
	f.Add(429, `{"error":"x","error_code":"RATE_LIMITED","person":[]}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		a := prospeo.Adapter{}.Classify(lookup.EmailFinder, status, http.Header{"X-Second-Reset-Seconds": {body}}, []byte(body))
		if a.After < 0 || a.After > 24*time.Hour {
			t.Errorf("after %s", a.After)
		}
		if a.Outcome != providers.Hit {
			return
		}
		email, _ := a.Result["email"].(string)
		if _, _, ok := providers.ParseEmail(email); !ok || status != 200 {
			t.Errorf("status %d is a hit without an address: %q", status, email)
		}
	})
}
