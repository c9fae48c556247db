package providers_test

import (
	"testing"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

func TestValidateRecords(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	address := lookup.Fields{"email": "ada@acme.test"}
	profile := lookup.Fields{"profile_url": "linkedin.com/in/ada"}
	byDomain, byName := lookup.Fields{"domain": "acme.test"}, lookup.Fields{"company_name": "Acme Ltd"}
	byPerson := lookup.Fields{"full_name": "ada byron", "company_name": "acme"}
	jobs := lookup.Fields{"company_domain": "acme.test"}
	cases := []struct {
		service lookup.Service
		asked   lookup.Fields
		given   m
		reason  string
		field   string
		want    any
	}{
		{lookup.EmailFinder, byPerson, m{"email": "info@acme.test", "status": "valid"}, "placeholder", "", nil},
		{lookup.EmailFinder, byPerson, m{"email": "NoReply+x@acme.test", "status": "valid"}, "placeholder", "", nil},
		{lookup.EmailFinder, byPerson, m{"email": "ada@gmail.com", "status": "valid"}, "no_work_address", "", nil},
		{lookup.EmailFinder, byPerson, m{"email": "ada@domain.com", "status": "valid"}, "no_work_address", "", nil},
		{lookup.EmailFinder, byPerson, m{"valid_email": "ada@acme.test", "email_status": "VALID"}, "", "email", "ada@acme.test"},
		{lookup.EmailValidation, address, m{"address": "Ada@ACME.test", "status": "Invalid", "free_email": "true"}, "", "is_free", true},
		{lookup.EmailValidation, address, m{"email_status": "valid_catch_all"}, "", "email", "ada@acme.test"},
		{lookup.EmailValidation, address, m{"email_status": "catch-all"}, "catch_all", "", nil},
		{lookup.EmailValidation, address, m{"email_status": "unknown"}, "unverified", "", nil},
		{lookup.EmailValidation, address, m{"email_status": "spamtrap"}, "unverified", "", nil},
		{lookup.EmailValidation, address, m{}, "unverified", "", nil},
		{lookup.EmailValidation, address, m{"email": "eve@acme.test", "email_status": "valid"}, "other_address", "", nil},
		{lookup.ProfileSearch, profile, m{"firstName": "Ada", "lastName": "Byron", "job_title": "CTO"}, "", "full_name", "Ada Byron"},
		{lookup.ProfileSearch, profile, m{"full_name": "Ada", "linkedin_url": "https://www.linkedin.com/in/Ada/?x=1"}, "", "full_name", "Ada"},
		{lookup.ProfileSearch, profile, m{"full_name": "Eve", "profile_url": "linkedin.com/in/eve"}, "other_profile", "", nil},
		{lookup.ProfileSearch, profile, m{"full_name": "A** B**"}, "no_name", "", nil},
		{lookup.ProfileSearch, profile, m{"full_name": true, "headline": "CTO"}, "no_name", "", nil},
		{lookup.CompanyFinder, byDomain, m{"name": "Acme", "website": "https://www.ACME.test/x", "employeeCount": "42", "founded": 2012.0}, "", "employee_count", int64(42)},
		{lookup.CompanyFinder, byDomain, m{"name": "Acme", "website": "https://acme.test", "founded": 12.0}, "", "founded", nil},
		{lookup.CompanyFinder, byDomain, m{"name": "Acme"}, "other_company", "", nil},
		{lookup.CompanyFinder, byDomain, m{"name": "Acme", "domain": "acme.example"}, "other_company", "", nil},
		{lookup.CompanyFinder, byDomain, m{"domain": "acme.test", "name": "null"}, "no_name", "", nil},
		{lookup.CompanyFinder, byName, m{"name": "ACME Group, Inc."}, "", "name", "ACME Group, Inc."},
		{lookup.CompanyFinder, byName, m{"name": "Umbrella Ltd"}, "other_company", "", nil},
		{lookup.CompanyFinder, byName, m{"name": "Acmetron Ltd"}, "other_company", "", nil},
		{lookup.JobsData, jobs, m{"jobs": []any{m{"title": "Gardener"}, "x", m{"text": "Cook", "hostedUrl": "ftp://x"}}}, "no_postings", "", nil},
	}
	for _, c := range cases {
		result, ok, reason := providers.Validate(lookup.Query{Service: c.service, Fields: c.asked}, c.given)
		if ok != (c.reason == "") || reason != c.reason || ok && result[c.field] != c.want {
			t.Errorf("%s %v: %v, %q, want %q and %s %v", c.service, c.given, result, reason, c.reason, c.field, c.want)
		}
		if ok && len(result) != len(c.service.ResultFields()) {
			t.Errorf("%s has the fields %v", c.service, result)
		}
	}
	result, ok, _ := providers.Validate(lookup.Query{Service: lookup.JobsData, Fields: jobs}, m{"jobs": []any{
		m{"title": "Gardener"}, m{"text": "Cook", "hostedUrl": "https://x.test/1", "secret": 1}}})
	postings, _ := result["postings"].([]any)
	if !ok || len(postings) != 1 || len(postings[0].(m)) != 2 || postings[0].(m)["title"] != "Cook" {
		t.Errorf("postings: %v", result)
	}
}

func TestCatchAllSpellings(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"catch-all", "catchall", "catch_all", "accept_all", "valid_catch_all", "Catch All"} {
		if !providers.CatchAll(word) {
			t.Errorf("%q is a catch-all", word)
		}
	}
	for _, word := range []string{"", "valid", "all", "catch"} {
		if providers.CatchAll(word) {
			t.Errorf("%q is no catch-all", word)
		}
	}
}
