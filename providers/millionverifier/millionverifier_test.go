package millionverifier_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/millionverifier"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	said := func(result, quality, complaint string) string {
		return `{"email":"ada@acme.test","quality":"` + quality + `","result":"` + result + `","resultcode":1,"subresult":"ok","free":false,` +
			`"role":"true","didyoumean":"","credits":999,"executiontime":2,"error":"` + complaint + `","livemode":true}`
	}
	valid := said("ok", "good", "")
	cases := []struct {
		name    string
		status  int
		body    string
		outcome providers.Outcome
		reason  string
	}{
		{"valid", 200, valid, providers.Hit, "valid"},
		{"valid, in capitals", 200, said("OK", "GOOD", ""), providers.Hit, "valid"},
		{"valid, no quality", 200, said("ok", "", ""), providers.Hit, "valid"},
		{"valid, error null", 200, `{"result":"ok","error":null}`, providers.Hit, "valid"},
		{"valid, fields nobody knows", 200, `{"result":"ok","error":"","resultcode":"1","x":[{}]}`, providers.Hit, "valid"},
		{"invalid", 200, said("invalid", "bad", ""), providers.Hit, "invalid"},
		{"valid, yet bad", 200, said("ok", "bad", ""), providers.Miss, "contradiction"},
		{"valid, yet risky", 200, said("ok", "risky", ""), providers.Miss, "contradiction"},
		{"invalid, yet good", 200, said("invalid", "good", ""), providers.Miss, "contradiction"},
		{"valid, yet an error", 200, said("ok", "good", "Internal error"), providers.Transient, "vendor_error"},
		{"valid, yet no credits", 200, said("ok", "good", "Insufficient credits"), providers.Quota, "plan_limit"},
		{"valid, yet an error that is no text", 200, `{"result":"ok","error":true}`, providers.Transient, "vendor_error"},
		{"catch-all", 200, said("catch_all", "risky", ""), providers.Miss, "catch_all"},
		{"catch-all, spelt otherwise", 200, said("Catch-All", "risky", ""), providers.Miss, "catch_all"},
		{"unknown", 200, said("unknown", "risky", ""), providers.Miss, "unverified"},
		{"unverified", 200, said("unverified", "", ""), providers.Miss, "unverified"},
		{"disposable", 200, said("disposable", "bad", ""), providers.Miss, "disposable"},
		{"a result nobody documented", 200, said("ok?", "good", ""), providers.Miss, "unverified"},
		{"an error without a text", 200, said("error", "", ""), providers.Transient, "no_verdict"},
		{"no result", 200, `{"email":"ada@acme.test","error":""}`, providers.Transient, "no_verdict"},
		{"nothing", 200, `{}`, providers.Transient, "no_verdict"},
		{"null", 200, `null`, providers.Transient, "no_verdict"},
		{"result is no text", 200, `{"result":1,"error":""}`, providers.Transient, "undecodable"},
		{"wrong key", 200, said("error", "", "Apikey not found"), providers.Auth, "key_refused"},
		{"wrong key, other words", 200, said("error", "", "Invalid API key"), providers.Auth, "key_refused"},
		{"wrong key with 401", 401, `No.`, providers.Auth, "key_refused"},
		{"wrong key with 403", 403, said("error", "", "Apikey not found"), providers.Auth, "key_refused"},
		{"our address is refused", 200, said("error", "", "IP address blocked"), providers.Auth, "address_refused"},
		{"no credits", 200, said("error", "", "Insufficient credits"), providers.Quota, "plan_limit"},
		{"no credits with 402", 402, `{}`, providers.Quota, "plan_limit"},
		{"throttled", 200, said("error", "", "Too many requests"), providers.Throttled, "rate_limit"},
		{"throttled with 429", 429, said("error", "", "Rate limit exceeded"), providers.Throttled, "rate_limit"},
		{"throttled by a proxy", 429, `<html>`, providers.Throttled, "rate_limit"},
		{"no credits with 429", 429, said("error", "", "Insufficient credits"), providers.Quota, "plan_limit"},
		{"throttled, no words", 429, `{}`, providers.Throttled, "rate_limit"},
		{"no address", 200, said("error", "", "No email specified"), providers.BadRequest, "not_understood"},
		{"internal error", 200, said("error", "", "Internal error"), providers.Transient, "vendor_error"},
		{"another error with 400", 400, `{"error":true}`, providers.BadRequest, "not_understood"},
		{"valid under 404", 404, valid, providers.BadRequest, "not_understood"},
		{"no such path", 404, `<html>`, providers.Transient, "undecodable"},
		{"403 from a proxy", 403, `<html>`, providers.Transient, "undecodable"},
		{"valid under another success", 222, valid, providers.Transient, "unknown_answer"},
		{"objected", 451, `{}`, providers.Blocked, "person_objected"},
		{"server error", 500, valid, providers.Transient, "server_error"},
		{"bad gateway", 502, `<html>`, providers.Transient, "server_error"},
		{"page", 200, `<html>`, providers.Transient, "undecodable"},
		{"truncated", 200, valid[:60], providers.Transient, "undecodable"},
		{"empty", 200, ``, providers.Transient, "undecodable"},
		{"a list", 200, `[]`, providers.Transient, "undecodable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := millionverifier.Adapter{}.Classify(lookup.EmailValidation, c.status, nil, []byte(c.body))
			if a.Outcome != c.outcome || a.Reason != c.reason || a.After != 0 {
				t.Errorf("got %v, %q, after %s", a.Outcome, a.Reason, a.After)
			}
			definite := a.Result["email_status"] == "valid" || a.Result["email_status"] == "invalid"
			if (a.Outcome == providers.Hit) != definite || definite && a.Result["email_status"] != c.reason {
				t.Errorf("outcome %v with result %v", a.Outcome, a.Result)
			}
		})
	}
}

// What is sold has all that MillionVerifier says.
func TestResult(t *testing.T) {
	t.Parallel()
	a := millionverifier.Adapter{}.Classify(lookup.EmailValidation, 200, nil, []byte(
		`{"email":"info@acme.test","quality":"good","result":"ok","subresult":"ok","free":false,"role":"true","error":""}`))
	q := lookup.Query{Service: lookup.EmailValidation, Fields: lookup.Fields{"email": "info@acme.test"}}
	got, ok, reason := providers.Validate(q, a.Result)
	if !ok || got["email"] != "info@acme.test" || got["email_status"] != "valid" || got["reason"] != "ok" ||
		got["is_free"] != false || got["is_role"] != true || got["is_disposable"] != false {
		t.Errorf("%v, %q", got, reason)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	ask := func(service lookup.Service, email string) (*http.Request, bool) {
		q := lookup.Query{Service: service, Fields: lookup.Fields{"email": email}}
		return millionverifier.Adapter{}.Request(t.Context(), "https://m.test/api/v3", q)
	}
	req, ok := ask(lookup.EmailValidation, "ada+1&api=x@acme.test")
	if !ok || req.Method != http.MethodGet || strings.Contains(req.URL.String(), "k1") {
		t.Fatalf("%v %v", ok, req)
	}
	millionverifier.Adapter{}.Authorise(req, "k1")
	if want := "https://m.test/api/v3/?api=k1&email=ada%2B1%26api%3Dx%40acme.test&timeout=20"; req.URL.String() != want {
		t.Errorf("%s, want %s", req.URL, want)
	}
	if _, ok := ask(lookup.EmailFinder, "ada@acme.test"); ok {
		t.Error("it was asked to find an address")
	}
	if _, ok := ask(lookup.EmailValidation, ""); ok {
		t.Error("it was asked about no address")
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(200, `{"email":"ada@acme.test","result":"ok","quality":"good","error":""}`)
	f.Add(200, `{"result":"invalid","error":[],"subresult":{}}`)
	f.Add(200, `{"result":"error","error":"Apikey not found"}`)
	f.Add(999, `null`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		a := millionverifier.Adapter{}.Classify(lookup.EmailValidation, status, http.Header{"Retry-After": {body}}, []byte(body))
		told := a.Result["email_status"]
		if (a.Outcome == providers.Hit) != (told == "valid" || told == "invalid") || a.Outcome == providers.Hit && status != 200 {
			t.Errorf("status %d is %v with %v", status, a.Outcome, a.Result)
		}
	})
}
