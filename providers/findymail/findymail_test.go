package findymail_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/findymail"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	contact := func(email string) string {
		return `{"contact":{"name":"Ada Byron","domain":"acme.test","email":` + email + `}}`
	}
	found := contact(`"Ada@ACME.test"`)
	refused := func(text string) string { return `{"error":"` + text + `"}` }
	cases := []struct {
		name    string
		status  int
		body    string
		outcome providers.Outcome
		reason  string
	}{
		{"found", 200, found, providers.Hit, "valid"},
		{"found, in a payload", 200, `{"payload":` + found + `}`, providers.Hit, "valid"},
		{"found, with fields nobody knows", 200, `{"contact":{"email":"ada@acme.test","x":[1]},"y":{}}`, providers.Hit, "valid"},
		{"found, with an empty error", 200, `{"error":"","contact":{"email":"ada@acme.test"}}`, providers.Hit, "valid"},
		{"found, no error", 200, `{"error":false,"contact":{"email":"ada@acme.test"}}`, providers.Hit, "valid"},
		{"found, with a message", 200, `{"message":"Contact found","contact":{"email":"ada@acme.test"}}`, providers.Hit, "valid"},
		{"found, yet an error", 200, `{"error":"Server Error","contact":{"email":"ada@acme.test"}}`, providers.Transient, "unknown_answer"},
		{"found, yet an error without a text", 200, `{"error":true,"contact":{"email":"ada@acme.test"}}`, providers.Transient, "unknown_answer"},
		{"found, yet no credits", 200, `{"error":"Not enough credits","contact":{"email":"ada@acme.test"}}`, providers.Quota, "plan_limit"},
		{"masked", 200, contact(`"a***@acme.test"`), providers.Miss, "masked"},
		{"no address", 200, contact(`null`), providers.Miss, "no_email"},
		{"empty address", 200, contact(`""`), providers.Miss, "no_email"},
		{"address is no text", 200, contact(`7`), providers.Transient, "undecodable"},
		{"nobody", 200, `{"contact":null}`, providers.Miss, "no_match"},
		{"nobody, in a payload", 200, `{"payload":{"contact":null}}`, providers.Miss, "no_match"},
		{"nothing", 200, `{}`, providers.Miss, "no_match"},
		{"nobody with 404", 404, `{"contact":null}`, providers.Miss, "no_match"},
		{"nobody with 404 and a text", 404, refused("Contact not found"), providers.Miss, "no_match"},
		{"found with 404", 404, found, providers.Miss, "no_match"},
		{"no such path", 404, `{"message":"The route api/search/nam could not be found."}`, providers.BadRequest, "not_understood"},
		{"no such path, a page", 404, `<html>`, providers.Transient, "undecodable"},
		{"no credits", 402, refused("Not enough credits"), providers.Quota, "plan_limit"},
		{"no credits in plain text", 402, `No.`, providers.Quota, "plan_limit"},
		{"no credits with 200", 200, refused("Not enough credits"), providers.Quota, "plan_limit"},
		{"no credits with 200, as a message", 200, `{"message":"not enough credits"}`, providers.Quota, "plan_limit"},
		{"no credits with 400", 400, refused("Not enough credits."), providers.Quota, "plan_limit"},
		{"no credits with 429", 429, refused("Not enough credits"), providers.Quota, "plan_limit"},
		{"paused", 423, `{"message":"Subscription paused"}`, providers.Quota, "subscription_paused"},
		{"wrong key", 401, `{"message":"Unauthenticated."}`, providers.Auth, "key_refused"},
		{"wrong key in plain text", 401, `No.`, providers.Auth, "key_refused"},
		{"forbidden", 403, refused("Forbidden"), providers.Auth, "key_refused"},
		{"403 from a proxy", 403, `<html>Forbidden</html>`, providers.Transient, "undecodable"},
		{"invalid", 422, refused("The domain field is required."), providers.BadRequest, "not_understood"},
		{"another refusal", 418, `{}`, providers.BadRequest, "not_understood"},
		{"throttled", 429, refused("Too many concurrent requests"), providers.Throttled, "rate_limit"},
		{"throttled by a proxy", 429, `<html>`, providers.Throttled, "rate_limit"},
		{"objected", 451, `{}`, providers.Blocked, "person_objected"},
		{"another error with 200", 200, refused("Server Error"), providers.Transient, "unknown_answer"},
		{"a message alone", 200, `{"message":"Try later"}`, providers.Transient, "unknown_answer"},
		{"found under another success", 222, found, providers.Transient, "unknown_answer"},
		{"server error", 500, `{"message":"Server Error"}`, providers.Transient, "server_error"},
		{"found with 500", 500, found, providers.Transient, "server_error"},
		{"bad gateway", 502, `<html>`, providers.Transient, "server_error"},
		{"page", 200, `<html>`, providers.Transient, "undecodable"},
		{"truncated", 200, found[:40], providers.Transient, "undecodable"},
		{"empty", 200, ``, providers.Transient, "undecodable"},
		{"a list", 200, `[]`, providers.Transient, "undecodable"},
		{"null", 200, `null`, providers.Transient, "undecodable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := findymail.Adapter{}.Classify(lookup.EmailFinder, c.status, nil, []byte(c.body))
			if a.Outcome != c.outcome || a.Reason != c.reason || a.After != 0 {
				t.Errorf("got %v, %q, after %s", a.Outcome, a.Reason, a.After)
			}
			if (a.Outcome == providers.Hit) != (a.Result["status"] == "valid" && a.Result["domain"] == "acme.test") {
				t.Errorf("outcome %v with result %v", a.Outcome, a.Result)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	cases := []struct {
		service lookup.Service
		fields  lookup.Fields
		want    string // "": it cannot be asked
	}{
		{lookup.EmailFinder, lookup.Fields{"first_name": "ada", "last_name": "byron", "domain": "acme.test"}, `{"domain":"acme.test","name":"ada byron"}`},
		{lookup.EmailFinder, lookup.Fields{"full_name": "ada king byron", "domain": "acme.test"}, `{"domain":"acme.test","name":"ada king byron"}`},
		{lookup.EmailFinder, lookup.Fields{"full_name": "ada king byron", "company_name": "acme"}, ""},
		{lookup.EmailFinder, lookup.Fields{"last_name": "byron", "domain": "acme.test"}, ""},
		{lookup.EmailValidation, lookup.Fields{"full_name": "ada byron", "domain": "acme.test"}, ""},
	}
	for _, c := range cases {
		req, ok := findymail.Adapter{}.Request(t.Context(), "https://f.test", lookup.Query{Service: c.service, Fields: c.fields})
		if ok != (c.want != "") {
			t.Errorf("%v: %v", c.fields, ok)
		}
		if !ok {
			continue
		}
		findymail.Adapter{}.Authorise(req, "k1")
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Method != http.MethodPost || req.URL.String() != "https://f.test/api/search/name" ||
			string(body) != c.want || req.Header.Get("Authorization") != "Bearer k1" {
			t.Errorf("%s %s %s, %v, %v", req.Method, req.URL, body, req.Header, err)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(200, `{"contact":{"email":"ada@acme.test"}}`)
	f.Add(200, `{"payload":{"contact":{"email":"@"}},"error":[]}`)
	f.Add(404, `{"message":"The route x"}`)
	f.Add(999, `null`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		a := findymail.Adapter{}.Classify(lookup.EmailFinder, status, http.Header{"Retry-After": {body}}, []byte(body))
		email, _ := a.Result["email"].(string)
		_, _, ok := providers.ParseEmail(email)
		if (a.Outcome == providers.Hit) != ok || a.Outcome == providers.Hit && status != 200 {
			t.Errorf("status %d is %v with %q", status, a.Outcome, email)
		}
	})
}
