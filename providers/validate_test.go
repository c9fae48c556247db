package providers_test

import (
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

func TestValidateEmailFinder(t *testing.T) {
	t.Parallel()
	byDomain := map[string]string{"full_name": "ada byron", "domain": "mail.acme.co.uk"}
	byCompany := map[string]string{"full_name": "ada byron", "company_name": "acme"}
	cases := []struct {
		name   string
		asked  map[string]string
		email  any
		status any
		accept bool   // catch-all
		want   string // the address, or the reason after "!"
	}{
		{"the domain itself", byDomain, "Ada@mail.acme.co.uk", "valid", false, "Ada@mail.acme.co.uk"},
		{"domain in capitals", byDomain, "ada@MAIL.ACME.CO.UK", "valid", false, "ada@mail.acme.co.uk"},
		{"same registrant", byDomain, "ada@acme.co.uk", "valid", false, "ada@acme.co.uk"},
		{"only the suffix in common", byDomain, "ada@other.co.uk", "valid", false, "!other_domain"},
		{"contains the name", byDomain, "ada@acme.co.uk.example.test", "valid", false, "!other_domain"},
		{"no domain asked", byCompany, "ada@acme.test", "valid", false, "ada@acme.test"},
		{"a public suffix asked", map[string]string{"domain": "github.io"}, "ada@acme.github.io", "valid", false, "!other_domain"},
		{"catch-all", byCompany, "ada@acme.test", "valid_catch_all", false, "!catch_all"},
		{"catch-all accepted", byCompany, "ada@acme.test", "valid_catch_all", true, "ada@acme.test"},
		{"another status", byCompany, "ada@acme.test", "catch_all", true, "!unverified"},
		{"no status", byCompany, "ada@acme.test", nil, true, "!unverified"},
		{"masked", byCompany, "a**@acme.test", "valid", false, "!no_address"},
		{"masked with dots", byCompany, "a…@acme.test", "valid", false, "!no_address"},
		{"no address", byCompany, nil, "valid", false, "!no_address"},
		{"a boolean", byCompany, true, "valid", false, "!no_address"},
		{"no local part", byCompany, "@acme.test", "valid", false, "!no_address"},
		{"two at signs", byCompany, "a@b@acme.test", "valid", false, "!no_address"},
		{"with its name", byCompany, "Ada <ada@acme.test>", "valid", false, "!no_address"},
		{"no domain", byCompany, "ada@acme", "valid", false, "!no_address"},
		{"a web server", byCompany, "ada@WWW.acme.test", "valid", false, "!no_address"},
		{"a path", byCompany, "ada@acme.test/x", "valid", false, "!no_address"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q := lookup.Query{Service: lookup.EmailFinder, Fields: c.asked, Options: lookup.Options{AcceptCatchAll: c.accept}}
			result, ok, reason := providers.Validate(q, map[string]any{"email": c.email, "status": c.status, "extra": 1, "domain": "x"})
			if want, refused := strings.CutPrefix(c.want, "!"); refused {
				if ok || reason != want || result != nil {
					t.Errorf("got %v, %q, want %q", ok, reason, want)
				}
				return
			}
			if !ok || result["email"] != c.want || !strings.HasSuffix(c.want, "@"+result["domain"].(string)) {
				t.Errorf("got %v (%q)", result, reason)
			}
			if _, has := result["score"]; !has || len(result) != len(lookup.EmailFinder.ResultFields()) {
				t.Errorf("fields: %v", result)
			}
		})
	}
}

func TestValidateNumbers(t *testing.T) {
	t.Parallel()
	cases := []struct {
		service lookup.Service
		result  map[string]any
		reason  string
	}{
		{lookup.MobileFinder, map[string]any{"mobile_number": "+33 6 12 34 56 78"}, ""},
		{lookup.MobileFinder, map[string]any{"mobile_number": "0612345678"}, "no_number"},
		{lookup.MobileFinder, map[string]any{"mobile_number": "+33 6 12 ** ** 78"}, "no_number"},
		{lookup.MobileFinder, map[string]any{"mobile_number": "+"}, "no_number"},
		{lookup.MobileFinder, map[string]any{}, "no_number"},
		{lookup.MobileValidation, map[string]any{"number": "+33612345678", "valid": false}, ""},
		{lookup.MobileValidation, map[string]any{"number": "+33612345678", "valid": "yes"}, "no_verdict"},
		{lookup.MobileValidation, map[string]any{"number": "nonsense", "valid": true}, "no_number"},
		{lookup.JobsData, map[string]any{"postings": []any{}}, "no_postings"},
		{"horoscopes", map[string]any{}, "no_rule"},
		{lookup.MobileFinder, map[string]any{"mobile_number": "+44 20 7946 0958"}, "landline"},
		{lookup.MobileFinder, map[string]any{"mobile_number": "+10000000000"}, "no_number"},
		{lookup.MobileFinder, map[string]any{"phone": "+33612345678"}, ""},
	}
	for _, c := range cases {
		result, ok, reason := providers.Validate(lookup.Query{Service: c.service}, c.result)
		if ok != (c.reason == "") || reason != c.reason {
			t.Errorf("%s %v: %v, %q, want %q", c.service, c.result, ok, reason, c.reason)
		}
		if number := result["mobile_number"]; c.service == lookup.MobileFinder && ok && number != "+33612345678" {
			t.Errorf("normalised to %v", number)
		}
	}
}

func FuzzParseEmail(f *testing.F) {
	f.Add("ada@acme.test")
	f.Add("a\"@b@xn--.de")
	f.Fuzz(func(t *testing.T, s string) {
		email, domain, ok := providers.ParseEmail(s)
		if !ok {
			return
		}
		if again, sameDomain, ok := providers.ParseEmail(email); !ok || again != email || sameDomain != domain {
			t.Errorf("%q becomes %q and then %q", s, email, again)
		}
		if strings.ContainsAny(email, "* \n") || strings.Count(email, "@") != 1 {
			t.Errorf("%q passes as an address", email)
		}
	})
}
