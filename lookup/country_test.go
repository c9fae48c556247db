package lookup_test

import (
	"testing"

	"github.com/magpie-hq/magpie/lookup"
)

func TestCountry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fields lookup.Fields
		want   string
	}{
		{lookup.Fields{"domain": "acme.de"}, "DE"},
		{lookup.Fields{"domain": "acme.co.uk"}, "GB"},
		{lookup.Fields{"domain": "acme.com"}, ""},
		{lookup.Fields{"domain": "acme.io"}, ""},
		{lookup.Fields{"domain": "acme.eu"}, ""},
		{lookup.Fields{"company_domain": "acme.at"}, "AT"},
		{lookup.Fields{"email": "ada@acme.fr"}, "FR"},
		{lookup.Fields{"work_email": "ada@acme.ch"}, "CH"},
		{lookup.Fields{"number": "+442079460018"}, "GB"},
		{lookup.Fields{"number": "+12025550123"}, "US"},
		{lookup.Fields{"number": "+80012345678"}, ""}, // of no country
		{lookup.Fields{"number": "nothing"}, ""},
		{lookup.Fields{"company_name": "acme"}, ""},
		{nil, ""},
	} {
		if got := (lookup.Query{Fields: c.fields}).Country(); got != c.want {
			t.Errorf("%v: %q, want %q", c.fields, got, c.want)
		}
	}
	for code, want := range map[string]bool{"DE": true, "GB": true, "UK": false, "de": false, "XX": false, "": false} {
		if lookup.KnownCountry(code) != want {
			t.Errorf("%q is known: %t", code, !want)
		}
	}
}
