package leadmagic_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/leadmagic"
)

// reading is one answer and what it means.
type reading struct {
	name    string
	status  int
	body    string
	outcome providers.Outcome
	reason  string
}

func read(t *testing.T, service lookup.Service, field string, cases []reading) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := leadmagic.Adapter{}.Classify(service, c.status, nil, []byte(c.body))
			if a.Outcome != c.outcome || a.Reason != c.reason || a.After != 0 {
				t.Errorf("got %v, %q, after %s", a.Outcome, a.Reason, a.After)
			}
			told := a.Outcome == providers.Hit || service == lookup.EmailValidation && a.Outcome == providers.Miss && c.status == http.StatusOK
			if told != (a.Result != nil) || told && a.Result[field] != c.reason {
				t.Errorf("outcome %v with result %v", a.Outcome, a.Result)
			}
		})
	}
}

func refused(code string) string {
	return `{"success":false,"errors":[{"type":"x","title":"…","status":0,"code":"` + code + `"}],"meta":{"request_id":"r"}}`
}

func TestClassifyFinder(t *testing.T) {
	t.Parallel()
	found := func(email, status, catchAll string) string {
		return `{"email":` + email + `,"status":` + status + `,"credits_consumed":1,"message":"Valid email found.","domain":"acme.test",` +
			`"is_domain_catch_all":` + catchAll + `,"mx_provider":"Google Workspace","mx_security_gateway":false}`
	}
	valid := found(`"ada@acme.test"`, `"valid"`, `false`)
	read(t, lookup.EmailFinder, "status", []reading{
		{"valid", 200, valid, providers.Hit, "valid"},
		{"valid, in capitals", 200, found(`"ada@acme.test"`, `"VALID"`, `false`), providers.Hit, "valid"},
		{"valid, nothing about catch-all", 200, `{"email":"ada@acme.test","status":"valid"}`, providers.Hit, "valid"},
		{"valid at a catch-all", 200, found(`"ada@acme.test"`, `"valid_catch_all"`, `true`), providers.Hit, "valid_catch_all"},
		{"valid, yet it accepts all", 200, found(`"ada@acme.test"`, `"valid"`, `true`), providers.Hit, "valid_catch_all"},
		{"the same as text", 200, found(`"ada@acme.test"`, `"valid"`, `"true"`), providers.Hit, "valid_catch_all"},
		{"catch-all", 200, found(`"ada@acme.test"`, `"catch_all"`, `true`), providers.Miss, "unverified"},
		{"an address, yet not found", 200, found(`"ada@acme.test"`, `"not_found"`, `false`), providers.Miss, "unverified"},
		{"an address without a status", 200, found(`"ada@acme.test"`, `null`, `false`), providers.Miss, "unverified"},
		{"a status nobody documented", 200, found(`"ada@acme.test"`, `"semi_valid"`, `false`), providers.Miss, "unverified"},
		{"masked", 200, found(`"a***@acme.test"`, `"valid"`, `false`), providers.Miss, "masked"},
		{"not found", 200, found(`null`, `"not_found"`, `false`), providers.Miss, "no_match"},
		{"valid without an address", 200, found(`null`, `"valid"`, `false`), providers.Miss, "no_match"},
		{"empty address", 200, found(`""`, `"valid"`, `false`), providers.Miss, "no_match"},
		{"nothing", 200, `{}`, providers.Miss, "no_match"},
		{"null", 200, `null`, providers.Transient, "undecodable"},
		{"address is no text", 200, found(`7`, `"valid"`, `false`), providers.Transient, "undecodable"},
		{"valid, yet no success", 200, `{"success":false,"email":"ada@acme.test","status":"valid"}`, providers.Transient, "unknown_answer"},
		{"valid, yet an error", 200, `{"error":"Oops","email":"ada@acme.test","status":"valid"}`, providers.Transient, "unknown_answer"},
		{"valid, yet errors", 200, `{"errors":[{}],"email":"ada@acme.test","status":"valid"}`, providers.Transient, "unknown_answer"},
		{"valid, yet no credits", 200, `{"errors":[{"code":"insufficient_credits"}],"email":"ada@acme.test","status":"valid"}`, providers.Quota, "plan_limit"},
		{"valid under another success", 222, valid, providers.Transient, "unknown_answer"},
		{"valid with 404", 404, valid, providers.Miss, "no_match"},
		{"valid with 500", 500, valid, providers.Transient, "server_error"},
		{"page", 200, `<html>`, providers.Transient, "undecodable"},
		{"truncated", 200, valid[:60], providers.Transient, "undecodable"},
		{"empty", 200, ``, providers.Transient, "undecodable"},
	})
}

func TestClassifyValidation(t *testing.T) {
	t.Parallel()
	said := func(status, catchAll string) string {
		return `{"email":"ada@acme.test","email_status":` + status + `,"credits_consumed":0.25,"message":"…","is_domain_catch_all":` + catchAll +
			`,"mx_record":"aspmx.l.google.com","mx_provider":"Google Workspace","mx_gateway":null}`
	}
	read(t, lookup.EmailValidation, "email_status", []reading{
		{"valid", 200, said(`"valid"`, `false`), providers.Hit, "valid"},
		{"valid, in capitals", 200, said(`"VALID"`, `false`), providers.Hit, "valid"},
		{"valid, address not repeated", 200, `{"email_status":"valid"}`, providers.Hit, "valid"},
		{"valid, yet it accepts all", 200, said(`"valid"`, `true`), providers.Hit, "valid_catch_all"},
		{"valid at a catch-all", 200, said(`"valid_catch_all"`, `true`), providers.Hit, "valid_catch_all"},
		{"invalid", 200, said(`"invalid"`, `false`), providers.Hit, "invalid"},
		{"invalid at a catch-all", 200, said(`"invalid"`, `true`), providers.Hit, "invalid"},
		{"catch-all", 200, said(`"catch_all"`, `true`), providers.Miss, "catch_all"},
		{"catch-all, spelt otherwise", 200, said(`"Catch-All"`, `true`), providers.Miss, "catch_all"},
		{"unknown", 200, said(`"unknown"`, `false`), providers.Miss, "unknown"},
		{"a status nobody documented", 200, said(`"semi_valid"`, `false`), providers.Miss, "unknown"},
		{"no status", 200, said(`null`, `false`), providers.Transient, "no_verdict"},
		{"the finder's status", 200, `{"email":"ada@acme.test","status":"valid"}`, providers.Transient, "no_verdict"},
		{"nothing", 200, `{}`, providers.Transient, "no_verdict"},
		{"status is no text", 200, said(`1`, `false`), providers.Transient, "undecodable"},
		{"valid, yet no success", 200, `{"success":"false","email_status":"valid"}`, providers.Transient, "unknown_answer"},
		{"valid under another success", 201, said(`"valid"`, `false`), providers.Transient, "unknown_answer"},
	})
}

// What is refused is refused alike for both services.
func TestClassifyErrors(t *testing.T) {
	t.Parallel()
	cases := []reading{
		{"wrong key", 401, refused("invalid_api_key"), providers.Auth, "key_refused"},
		{"no key", 401, refused("missing_authentication"), providers.Auth, "key_refused"},
		{"wrong key, in the older shape", 401, `{"error":"Unauthorized","message":"…"}`, providers.Auth, "key_refused"},
		{"wrong key in plain text", 401, `No.`, providers.Auth, "key_refused"},
		{"not permitted", 403, refused("insufficient_permissions"), providers.Auth, "account_restricted"},
		{"not permitted, no code", 403, `{"error":"Forbidden"}`, providers.Auth, "key_refused"},
		{"403 from a proxy", 403, `<html>`, providers.Transient, "undecodable"},
		{"no credits", 402, refused("insufficient_credits"), providers.Quota, "plan_limit"},
		{"no credits, other code", 402, refused("credits_exhausted"), providers.Quota, "plan_limit"},
		{"no credits, no code", 402, `{}`, providers.Quota, "plan_limit"},
		{"no credits in plain text", 402, `No.`, providers.Quota, "plan_limit"},
		{"no credits with 200", 200, refused("insufficient_credits"), providers.Quota, "plan_limit"},
		{"no credits with 400", 400, refused("insufficient_credits"), providers.Quota, "plan_limit"},
		{"no credits with 429", 429, refused("insufficient_credits"), providers.Quota, "plan_limit"},
		{"no credits with 500", 500, refused("INSUFFICIENT_CREDITS"), providers.Quota, "plan_limit"},
		{"no credits, in the older shape", 400, `{"error":"insufficient_credits","message":"…"}`, providers.Quota, "plan_limit"},
		{"throttled", 429, refused("rate_limit_exceeded"), providers.Throttled, "rate_limit"},
		{"throttled with 403", 403, refused("rate_limit_exceeded"), providers.Throttled, "rate_limit"},
		{"throttled, no code", 429, `{}`, providers.Throttled, "rate_limit"},
		{"throttled by a proxy", 429, `<html>`, providers.Throttled, "rate_limit"},
		{"invalid", 400, refused("validation_error"), providers.BadRequest, "not_understood"},
		{"a field is missing", 400, refused("missing_required_field"), providers.BadRequest, "not_understood"},
		{"no JSON", 400, refused("invalid_json"), providers.BadRequest, "not_understood"},
		{"a parameter is wrong", 400, refused("invalid_parameter"), providers.BadRequest, "not_understood"},
		{"a code nobody documented", 400, refused("new"), providers.BadRequest, "not_understood"},
		{"a code that is a number", 400, `{"errors":[{"code":400}]}`, providers.BadRequest, "not_understood"},
		{"400 without a code", 400, `{}`, providers.BadRequest, "not_understood"},
		{"such a code with 200", 200, refused("new"), providers.Transient, "unknown_answer"},
		{"such a code with 500", 500, refused("new"), providers.Transient, "server_error"},
		{"not found", 404, refused("resource_not_found"), providers.Miss, "no_match"},
		{"profile not found", 404, refused("profile_not_found"), providers.Miss, "no_match"},
		{"not found, nothing said", 404, `{}`, providers.Miss, "no_match"},
		{"no such path", 404, `{"error":"Not Found","message":"…"}`, providers.BadRequest, "not_understood"},
		{"no such path, a page", 404, `<html>`, providers.Transient, "undecodable"},
		{"internal error", 500, refused("INTERNAL_ERROR"), providers.Transient, "server_error"},
		{"internal error with 200", 200, refused("internal_error"), providers.Transient, "server_error"},
		{"their vendor's error", 502, refused("external_service_error"), providers.Transient, "server_error"},
		{"unavailable", 503, refused("service_unavailable"), providers.Transient, "server_error"},
		{"bad gateway", 502, `<html>`, providers.Transient, "undecodable"},
		{"objected", 451, `{}`, providers.Blocked, "person_objected"},
		{"objected in plain text", 451, `No.`, providers.Blocked, "person_objected"},
	}
	for service, field := range map[lookup.Service]string{lookup.EmailFinder: "status", lookup.EmailValidation: "email_status"} {
		t.Run(string(service), func(t *testing.T) {
			t.Parallel()
			read(t, service, field, cases)
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	cases := []struct {
		service   lookup.Service
		fields    lookup.Fields
		url, body string // "": it cannot be asked
	}{
		{lookup.EmailFinder, lookup.Fields{"first_name": "ada", "last_name": "byron", "domain": "acme.test"},
			"https://l.test/v1/people/email-finder", `{"domain":"acme.test","first_name":"ada","last_name":"byron"}`},
		{lookup.EmailFinder, lookup.Fields{"full_name": "ada king byron", "company_name": "acme"},
			"https://l.test/v1/people/email-finder", `{"company_name":"acme","full_name":"ada king byron"}`},
		{lookup.EmailValidation, lookup.Fields{"email": "ada@acme.test"},
			"https://l.test/v1/people/email-validation", `{"email":"ada@acme.test"}`},
		{lookup.EmailFinder, lookup.Fields{"last_name": "byron", "domain": "acme.test"}, "", ""},
		{lookup.EmailFinder, lookup.Fields{"full_name": "ada byron"}, "", ""},
		{lookup.EmailValidation, lookup.Fields{}, "", ""},
		{lookup.MobileFinder, lookup.Fields{"work_email": "ada@acme.test"}, "", ""},
	}
	for _, c := range cases {
		req, ok := leadmagic.Adapter{}.Request(t.Context(), "https://l.test/v1", lookup.Query{Service: c.service, Fields: c.fields})
		if ok != (c.url != "") {
			t.Errorf("%v: %v", c.fields, ok)
		}
		if !ok {
			continue
		}
		leadmagic.Adapter{}.Authorise(req, "k1")
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Method != http.MethodPost || req.URL.String() != c.url || string(body) != c.body || req.Header.Get("X-API-Key") != "k1" {
			t.Errorf("%s %s %s, %v, %v", req.Method, req.URL, body, req.Header, err)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(false, 200, `{"email":"ada@acme.test","status":"valid","is_domain_catch_all":[]}`)
	f.Add(true, 200, `{"email_status":"invalid"}`)
	f.Add(true, 402, `{"success":false,"errors":[{"code":"x"}]}`)
	f.Add(false, 999, `null`)
	f.Fuzz(func(t *testing.T, validation bool, status int, body string) {
		service := lookup.EmailFinder
		if validation {
			service = lookup.EmailValidation
		}
		a := leadmagic.Adapter{}.Classify(service, status, http.Header{"Retry-After": {body}}, []byte(body))
		if a.Outcome != providers.Hit {
			return
		}
		email, _ := a.Result["email"].(string)
		_, _, ok := providers.ParseEmail(email)
		if status != 200 || !validation && !ok || validation && a.Result["email_status"] == nil {
			t.Errorf("status %d is a hit with %v", status, a.Result)
		}
	})
}
