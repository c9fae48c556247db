package providers_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// told builds the providers a, b, c… from their answers.
func told(answers ...providers.Answer) (*providers.Waterfall, []*fake) {
	w, fakes := &providers.Waterfall{}, []*fake{}
	for i, a := range answers {
		f := always(string(rune('a'+i)), a)
		fakes = append(fakes, f)
		w.Providers = append(w.Providers, f)
	}
	return w, fakes
}

func hit(email, status string) providers.Answer {
	return providers.Answer{Outcome: providers.Hit, Result: map[string]any{"email": email, "status": status, "secret": "x"}}
}

func TestWaterfall(t *testing.T) {
	t.Parallel()
	good, miss := hit("ada@acme.test", "valid"), outcome(providers.Miss)
	later := func(o providers.Outcome, after time.Duration) providers.Answer {
		return providers.Answer{Outcome: o, After: after, NotAsked: true}
	}
	cases := []struct {
		name    string
		answers []providers.Answer
		asked   int // how many providers
		want    lookup.Outcome
		by      string
		later   time.Duration
	}{
		{"first hits", []providers.Answer{good, miss}, 1, lookup.Found, "a", 0},
		{"second hits", []providers.Answer{miss, good}, 2, lookup.Found, "b", 0},
		{"all miss", []providers.Answer{miss, miss}, 2, lookup.NotFound, "", 0},
		{"nobody can take it", []providers.Answer{outcome(providers.Ineligible)}, 1, lookup.NotFound, "", 0},
		{"a hit that is none", []providers.Answer{hit("a**@acme.test", "valid"), good}, 2, lookup.Found, "b", 0},
		{"only hits that are none", []providers.Answer{hit("ada@other.test", "valid"), hit("ada@acme.test", "valid_catch_all")}, 2, lookup.NotFound, "", 0},
		{"blocked stops", []providers.Answer{miss, outcome(providers.Blocked), good}, 2, lookup.NotFound, "b", 0},
		{"blocked outweighs what is open", []providers.Answer{outcome(providers.Transient), outcome(providers.Blocked)}, 2, lookup.NotFound, "b", 0},
		{"a hit outweighs what is open", []providers.Answer{outcome(providers.Transient), good}, 2, lookup.Found, "b", 0},
		{"a failure leaves it open", []providers.Answer{outcome(providers.Transient), miss}, 2, "", "", 2 * time.Second},
		{"the shortest wait counts", []providers.Answer{later(providers.Quota, time.Hour), later(providers.Throttled, 3*time.Second), later(providers.Auth, time.Minute)}, 3, "", "", 3 * time.Second},
		{"pending too long", []providers.Answer{{Outcome: providers.Pending, After: 30 * time.Second}, miss}, 2, "", "", 30 * time.Second},
		{"not understood by all", []providers.Answer{outcome(providers.BadRequest), outcome(providers.BadRequest)}, 2, lookup.Failed, "", 0},
		{"not understood, nobody else can", []providers.Answer{outcome(providers.BadRequest), outcome(providers.Ineligible)}, 2, lookup.Failed, "", 0},
		{"not understood, another misses", []providers.Answer{outcome(providers.BadRequest), miss}, 2, lookup.NotFound, "", 0},
		{"not understood, another is open", []providers.Answer{outcome(providers.BadRequest), outcome(providers.Transient)}, 2, "", "", 2 * time.Second},
		{"a result that is no JSON", []providers.Answer{{Outcome: providers.Hit, Result: map[string]any{"email": "ada@acme.test", "status": "valid", "score": math.NaN()}}}, 1, lookup.Failed, "", 0},
		{"an outcome nobody knows", []providers.Answer{outcome(99)}, 1, "", "", 2 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, fakes := told(c.answers...)
			v := w.Ask(t.Context(), question("ada byron"))
			asked := 0
			for _, f := range fakes {
				asked += int(f.calls.Load())
			}
			if v.Outcome != c.want || v.Provider != c.by || v.Later != c.later || asked != c.asked {
				t.Errorf("%+v after %d calls", v, asked)
			}
			if (v.Outcome == lookup.Found) != (string(v.Result) == `{"email":"ada@acme.test","status":"valid","domain":"acme.test","mx_provider":null,"score":null}`) {
				t.Errorf("result %s", v.Result)
			}
			if (v.Outcome == lookup.Failed) != (v.Error != nil) {
				t.Errorf("error %v", v.Error)
			}
			if v.Error != nil && (v.Error.Code != "provider_error" || !strings.Contains(v.Error.Detail, "understood by a") || strings.Contains(v.Error.Detail, "acme")) {
				t.Errorf("error %+v", v.Error)
			}
		})
	}
}

// Who validates an address and is not sure has nothing that is charged, but the
// customer is told. What would be charged is never told that way.
func TestRemarks(t *testing.T) {
	t.Parallel()
	says := func(o providers.Outcome, email, status string) providers.Answer {
		return providers.Answer{Outcome: o, Result: map[string]any{"email": email, "email_status": status, "secret": "x", "is_role": "false"}}
	}
	const address = "ada@acme.test"
	remarked := func(status string) string {
		return `{"email":"ada@acme.test","email_status":"` + status + `","reason":null,"mx_record":null,"mx_provider":null,"is_disposable":null,"is_role":false,"is_free":null}`
	}
	cases := []struct {
		name     string
		answers  []providers.Answer
		want     lookup.Outcome
		by, told string
	}{
		{"catch-all", []providers.Answer{says(providers.Miss, address, "catch_all")}, lookup.NotFound, "a", remarked("catch_all")},
		{"called a hit", []providers.Answer{says(providers.Hit, address, "Catch-All")}, lookup.NotFound, "a", remarked("catch_all")},
		{"unknown", []providers.Answer{says(providers.Miss, address, "spamtrap")}, lookup.NotFound, "a", remarked("unknown")},
		{"the first counts", []providers.Answer{outcome(providers.Miss), says(providers.Miss, address, "catch_all"), says(providers.Miss, address, "unknown")}, lookup.NotFound, "b", remarked("catch_all")},
		{"another is sure", []providers.Answer{says(providers.Miss, address, "unknown"), says(providers.Hit, address, "valid")}, lookup.Found, "b", remarked("valid")},
		{"sure, yet no hit", []providers.Answer{says(providers.Miss, address, "valid")}, lookup.NotFound, "", ""},
		{"of another address", []providers.Answer{says(providers.Miss, "eve@acme.test", "catch_all")}, lookup.NotFound, "", ""},
		{"nothing said", []providers.Answer{outcome(providers.Miss)}, lookup.NotFound, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, _ := told(c.answers...)
			v := w.Ask(t.Context(), lookup.Query{Service: lookup.EmailValidation, Fields: lookup.Fields{"email": address}})
			if v.Outcome != c.want || v.Provider != c.by || string(v.Result) != c.told {
				t.Errorf("%+v %s", v, v.Result)
			}
		})
	}
	w, _ := told(says(providers.Miss, address, "catch_all"), hit(address, "catch_all"))
	if v := w.Ask(t.Context(), question("ada byron")); v.Outcome != lookup.NotFound || v.Result != nil || v.Provider != "" {
		t.Errorf("an address that was not paid for is given away: %+v", v)
	}
}

func TestWaterfallPolls(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		pendings  int
		after     time.Duration
		allowed   time.Duration
		calls     int
		want      lookup.Outcome
		took      time.Duration
		laterThan time.Duration
	}{
		{"ready at the third time", 2, 0, time.Minute, 3, lookup.Found, 2 * time.Second, 0},
		{"as the vendor says", 2, 3 * time.Second, time.Minute, 3, lookup.Found, 6 * time.Second, 0},
		{"never ready", 99, 0, time.Minute, 6, "", 5 * time.Second, time.Second},
		{"the deadline is nearer", 99, 4 * time.Second, 6 * time.Second, 2, "", 4 * time.Second, 3 * time.Second},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			vendor := &fake{name: "a", answer: func(_ context.Context, call int) providers.Answer {
				if call <= c.pendings {
					return providers.Answer{Outcome: providers.Pending, After: c.after}
				}
				return hit("ada@acme.test", "valid")
			}}
			ctx, cancel := context.WithTimeout(t.Context(), c.allowed)
			defer cancel()
			start := time.Now()
			v := (&providers.Waterfall{Providers: []providers.Provider{vendor}}).Ask(ctx, question("ada"))
			if v.Outcome != c.want || int(vendor.calls.Load()) != c.calls || time.Since(start) != c.took || v.Later < c.laterThan {
				t.Errorf("%s: %+v after %d calls and %s", c.name, v, vendor.calls.Load(), time.Since(start))
			}
		})
	}
}

func TestWaterfallEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	first := &fake{name: "a", answer: func(context.Context, int) providers.Answer { cancel(); return outcome(providers.Miss) }}
	second := always("b", hit("ada@acme.test", "valid"))
	w := &providers.Waterfall{Providers: []providers.Provider{first, second}}
	v := w.Ask(ctx, question("ada"))
	if second.calls.Load() != 0 || v.Outcome != "" || v.Later <= 0 {
		t.Errorf("%+v after %d calls to the second provider", v, second.calls.Load())
	}
}

func TestWaterfallSkipsOtherServices(t *testing.T) {
	t.Parallel()
	w, fakes := told(hit("ada@acme.test", "valid"))
	v := w.Ask(t.Context(), lookup.Query{Service: lookup.JobsData})
	if fakes[0].calls.Load() != 0 || v.Outcome != lookup.Failed || !strings.Contains(v.Error.Detail, "jobs-data") {
		t.Errorf("%+v after %d calls", v, fakes[0].calls.Load())
	}
}

func TestWaterfallsFor(t *testing.T) {
	t.Parallel()
	w, _ := told(outcome(providers.Miss))
	all := providers.Waterfalls{lookup.EmailFinder: w, lookup.JobsData: {}}
	for service, want := range map[lookup.Service]bool{lookup.EmailFinder: true, lookup.JobsData: false, lookup.MobileFinder: false} {
		if _, ok := all.For(service); ok != want {
			t.Errorf("%s: %v", service, ok)
		}
	}
}
