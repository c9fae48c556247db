package phonecheck_test

import (
	"context"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/phonecheck"
)

func TestAsk(t *testing.T) {
	t.Parallel()
	cases := []struct {
		number   string
		valid    bool
		country  any
		lineType string
	}{
		{"+447400123456", true, "GB", "mobile"},
		{"+33612345678", true, "FR", "mobile"},
		{"+442079460958", true, "GB", "landline"},
		{"+14155552671", true, "US", "fixed_or_mobile"}, // cannot be told apart offline
		{"+18002345678", true, "US", "toll_free"},
		{"+80012345678", true, nil, "toll_free"}, // belongs to no country
		{"+1415", false, nil, "unknown"},
		{"+336123456789", false, "FR", "unknown"}, // a digit too many
	}
	for _, c := range cases {
		q := lookup.Query{Service: lookup.MobileValidation, Fields: map[string]string{"number": c.number}}
		a := phonecheck.Provider{}.Ask(context.Background(), q)
		result, ok, reason := providers.Validate(q, a.Result)
		if a.Outcome != providers.Hit || !ok {
			t.Errorf("%s: %v, %s", c.number, a.Outcome, reason)
			continue
		}
		want := map[string]any{"number": c.number, "valid": c.valid, "country": c.country, "line_type": c.lineType, "carrier": nil, "confirmed": false}
		for field, value := range want {
			if result[field] != value {
				t.Errorf("%s: %s is %v, want %v", c.number, field, result[field], value)
			}
		}
	}
}

func TestAskNonsense(t *testing.T) {
	t.Parallel()
	for _, q := range []lookup.Query{
		{Service: lookup.MobileValidation, Fields: map[string]string{"number": "nonsense"}},
		{Service: lookup.MobileFinder, Fields: map[string]string{"number": "+33612345678"}},
	} {
		if a := (phonecheck.Provider{}).Ask(context.Background(), q); a.Outcome != providers.Ineligible || !a.NotAsked {
			t.Errorf("%v: %v", q, a)
		}
	}
}

func FuzzAsk(f *testing.F) {
	f.Add("+33612345678")
	f.Add("+1415")
	f.Fuzz(func(t *testing.T, given string) {
		q, err := lookup.Normalise(lookup.MobileValidation, map[string]string{"number": given, "country": "US"}, lookup.Options{})
		if err != nil {
			return
		}
		a := phonecheck.Provider{}.Ask(context.Background(), q)
		if _, ok, reason := providers.Validate(q, a.Result); a.Outcome != providers.Hit || !ok {
			t.Errorf("a number that was understood is %v, %s", a.Outcome, reason)
		}
	})
}
