package providers_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// askedBy returns a waterfall of scripted vendors, and who of them was asked.
func askedBy(answers map[string]providers.Answer) (*providers.Waterfall, *[]string) {
	w, asked := &providers.Waterfall{Terms: map[string]providers.Terms{}}, &[]string{}
	for _, name := range []string{"first", "second", "third"} {
		w.Providers = append(w.Providers, &scripted{name: name, ask: func(context.Context) providers.Answer {
			*asked = append(*asked, name)
			return answers[name]
		}})
	}
	return w, asked
}

func TestConditions(t *testing.T) {
	t.Parallel()
	good := hit("ada@acme.test", "valid")
	for name, c := range map[string]struct {
		when   providers.Condition
		fields lookup.Fields
		asks   bool
	}{
		"none":             {providers.Condition{}, lookup.Fields{"domain": "acme.test"}, true},
		"the country":      {providers.Condition{Countries: []string{"AT", "DE"}}, lookup.Fields{"domain": "acme.de"}, true},
		"another country":  {providers.Condition{Countries: []string{"AT", "DE"}}, lookup.Fields{"domain": "acme.fr"}, false},
		"unknown country":  {providers.Condition{Countries: []string{"AT", "DE"}}, lookup.Fields{"domain": "acme.com"}, false},
		"has it":           {providers.Condition{Has: []string{"domain"}}, lookup.Fields{"domain": "acme.test"}, true},
		"has not":          {providers.Condition{Has: []string{"domain"}}, lookup.Fields{"company_name": "acme"}, false},
		"has one of two":   {providers.Condition{Has: []string{"domain", "full_name"}}, lookup.Fields{"domain": "acme.test"}, false},
		"country, has not": {providers.Condition{Countries: []string{"DE"}, Has: []string{"full_name"}}, lookup.Fields{"domain": "acme.de"}, false},
	} {
		w, asked := askedBy(map[string]providers.Answer{"first": good, "second": miss, "third": miss})
		w.Terms["first"] = providers.Terms{When: c.when}
		w.Ask(t.Context(), lookup.Query{Service: lookup.EmailFinder, Fields: c.fields})
		if slices.Contains(*asked, "first") != c.asks {
			t.Errorf("%s: asked %v", name, *asked)
		}
	}
	w, _ := askedBy(nil)
	for _, name := range []string{"first", "second", "third"} {
		w.Terms[name] = providers.Terms{When: providers.Condition{Has: []string{"domain"}}}
	}
	if v := w.Ask(t.Context(), lookup.Query{Service: lookup.EmailFinder, Fields: lookup.Fields{"company_name": "acme"}}); v.Outcome != lookup.NotFound {
		t.Errorf("nobody fits: %+v, want not found", v)
	}
}

func TestBudgetOfCost(t *testing.T) {
	t.Parallel()
	good, lost := hit("ada@acme.test", "valid"), providers.Answer{Outcome: providers.Transient, Lost: true}
	cases := []struct {
		name   string
		budget providers.Cost
		first  providers.Answer
		third  providers.Cost // of its hit
		asked  string
		found  bool
		spent  float64
	}{
		{"enough for all", 10, miss, 4, "first second third", true, 6},
		{"no limit", 0, miss, 4, "first second third", true, 6},
		{"not for the third", 5, miss, 4, "first second", false, 2},
		{"not for the second", 3, miss, 2, "first third", true, 3},
		{"a hit", 3, good, 4, "first", true, 2},
		{"a lost answer counts as a hit", 6, lost, 4, "first second", false, 3},
		{"refused calls cost nothing", 6, providers.Answer{Outcome: providers.Throttled}, 4, "first second third", true, 5},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewRegistry()
			w, asked := askedBy(map[string]providers.Answer{"first": c.first, "second": miss, "third": good})
			w.Budget.Cost, w.Metrics = c.budget*providers.CostUnit, providers.NewMetrics(registry)
			w.Terms["first"] = providers.Terms{PerCall: providers.CostUnit, PerHit: providers.CostUnit}
			w.Terms["second"] = providers.Terms{PerCall: providers.CostUnit, PerHit: 2 * providers.CostUnit}
			w.Terms["third"] = providers.Terms{PerHit: c.third * providers.CostUnit}
			v := w.Ask(t.Context(), question("ada"))
			if strings.Join(*asked, " ") != c.asked || (v.Outcome == lookup.Found) != c.found {
				t.Errorf("asked %v, %+v", *asked, v)
			}
			if got := counts(t, registry)["magpie_provider_cost_total"]; got != c.spent {
				t.Errorf("the metric says %g, want %g", got, c.spent)
			}
		})
	}
}

// What nobody was asked for its price is no miss, unless somebody missed.
func TestNobodyIsCheapEnough(t *testing.T) {
	t.Parallel()
	w, asked := askedBy(nil)
	w.Budget.Cost = 1
	for _, p := range w.Providers {
		w.Terms[p.Name()] = providers.Terms{PerHit: 2}
	}
	v := w.Ask(t.Context(), question("ada"))
	if len(*asked) != 0 || v.Outcome != lookup.Failed || v.Error.Code != "provider_error" {
		t.Errorf("asked %v, %+v", *asked, v)
	}
}

// Time counts over all tries; waiting for a turn does not.
func TestBudgetOfTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		vendor := func(name string, took time.Duration, a providers.Answer) providers.Provider {
			return &scripted{name: name, ask: func(context.Context) providers.Answer {
				asked = append(asked, name)
				time.Sleep(took)
				return a
			}}
		}
		w := &providers.Waterfall{Budget: providers.Budget{Time: 20 * time.Second}, Providers: []providers.Provider{
			vendor("slow", 15*time.Second, miss), vendor("busy", time.Minute, providers.Answer{Outcome: providers.Throttled, NotAsked: true}),
			vendor("down", 4*time.Second, outcome(providers.Transient)),
		}}
		v := w.Ask(t.Context(), question("ada"))
		if v.Later == 0 || v.Trail["slow"].Took != 15*time.Second || v.Trail["down"].Took != 4*time.Second || len(v.Trail) != 2 {
			t.Fatalf("%+v", v)
		}
		v = w.Ask(providers.WithTrail(t.Context(), v.Trail), question("ada"))
		v = w.Ask(providers.WithTrail(t.Context(), v.Trail), question("ada"))
		if v.Outcome != lookup.NotFound || v.Later != 0 || !slices.Equal(asked, []string{"slow", "busy", "down", "busy", "down"}) {
			t.Errorf("%+v after %v", v, asked)
		}
	})
}

// A provider's time is that of one call, not of the wait before it.
func TestTimeoutOfAProvider(t *testing.T) {
	t.Parallel()
	url := vendorServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := providers.NewHTTP(echo{}, providers.HTTPConfig{BaseURL: url + "/", Timeout: time.Minute})
	w := &providers.Waterfall{Providers: []providers.Provider{p}, Terms: map[string]providers.Terms{p.Name(): {Timeout: 50 * time.Millisecond}}}
	if v := w.Ask(t.Context(), question("ada")); v.Later == 0 || v.Trail[p.Name()].Lost != 1 {
		t.Errorf("%+v, want a lost answer", v)
	}
}

// A question that stays open is asked again only of those who may have
// something.
func TestWhoIsAskedAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	down, lost := outcome(providers.Transient), providers.Answer{Outcome: providers.Transient, Lost: true}
	cases := []struct {
		name    string
		first   providers.Answer // the others: a miss, then what is down
		free    bool
		after   []time.Duration // of the tries after the first
		asked   string          // the first letters of who was
		outcome lookup.Outcome  // "" if it stays open
	}{
		{"a miss is not asked again", miss, false, []time.Duration{0, time.Hour}, "fsttt", ""},
		{"an error is", down, false, []time.Duration{0}, "fstft", ""},
		{"a hit that is none is not", hit("a**@acme.test", "valid"), false, []time.Duration{0}, "fstt", ""},
		{"a lost answer not at once", lost, false, []time.Duration{time.Second}, "fstt", ""},
		{"a lost answer once more", lost, false, []time.Duration{time.Second, time.Minute}, "fsttft", ""},
		{"a lost answer never a third time", lost, false, []time.Duration{time.Minute, time.Hour}, "fstftt", ""},
		{"a lost answer of one whose repeats are free", lost, true, []time.Duration{0, 0, 0}, "fstftftft", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, asked := askedBy(map[string]providers.Answer{"first": c.first, "second": miss, "third": down})
			clock := now
			w.Now = func() time.Time { return clock }
			w.Terms["first"] = providers.Terms{FreeRepeats: c.free}
			v := w.Ask(t.Context(), question("ada"))
			for _, after := range c.after {
				clock = clock.Add(after)
				v = w.Ask(providers.WithTrail(t.Context(), v.Trail), question("ada"))
			}
			var initials strings.Builder
			for _, name := range *asked {
				initials.WriteString(name[:1])
			}
			if got := initials.String(); got != c.asked || v.Outcome != c.outcome {
				t.Errorf("asked %s, want %s; %+v", got, c.asked, v)
			}
		})
	}
}

// Whose answers are lost twice is given up: that is no miss, and ends the row.
func TestLostTwice(t *testing.T) {
	t.Parallel()
	w, asked := askedBy(map[string]providers.Answer{"first": {Outcome: providers.Transient, Lost: true}, "second": miss, "third": miss})
	clock := time.Now()
	w.Now = func() time.Time { return clock }
	v := w.Ask(t.Context(), question("ada"))
	for range 3 {
		clock = clock.Add(time.Minute)
		v = w.Ask(providers.WithTrail(t.Context(), v.Trail), question("ada"))
	}
	if v.Outcome != lookup.Failed || v.Later != 0 || v.Trail["first"].Lost != 2 || !strings.Contains(v.Error.Detail, "answers of first did not arrive") {
		t.Errorf("%+v", v)
	}
	if got := strings.Join(*asked, " "); got != "first second third first" {
		t.Errorf("asked %s", got)
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	var live providers.Live
	if _, ok := live.For(lookup.EmailFinder); ok {
		t.Error("nothing was set, and there is a waterfall")
	}
	one, _ := told(miss)
	two, _ := told(miss)
	live.Set(providers.Waterfalls{lookup.EmailFinder: one})
	live.Set(providers.Waterfalls{lookup.EmailFinder: two})
	if w, ok := live.For(lookup.EmailFinder); !ok || w != two {
		t.Error("not the waterfall that was set last")
	}
}
