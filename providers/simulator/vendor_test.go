package simulator_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// TestQuota moves the clock by hand: what is over a window is refused and
// counted, what is within is not.
func TestQuota(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	b := start(t, simulator.Config{
		Now:     func() time.Time { return time.Unix(1_800_000_000, clock.Load()) },
		Hunter:  simulator.Vendor{Quota: simulator.Quota{PerSecond: 3}},
		Prospeo: simulator.Vendor{Quota: simulator.Quota{PerSecond: 3, PerMinute: 5}},
	})
	calls := func(p providers.Provider, n int) (refused int, after time.Duration) {
		for i := range n {
			if a := p.Ask(context.Background(), someone(t, i)); a.Outcome == providers.Throttled {
				refused, after = refused+1, a.After
			}
		}
		return refused, after
	}
	steps := []struct {
		advance         time.Duration
		provider        providers.Provider
		calls, refused  int
		wantAfter       time.Duration
		second, minutes int // violations in all
	}{
		{0, b.hunter, 5, 2, 0, 2, 0},
		{999 * time.Millisecond, b.hunter, 1, 1, 0, 3, 0}, // the window slides, it does not jump
		{time.Millisecond, b.hunter, 3, 0, 0, 3, 0},
		{0, b.prospeo, 4, 1, time.Second, 1, 0},
		{time.Second, b.prospeo, 3, 1, 59 * time.Second, 1, 1},
		{59 * time.Second, b.prospeo, 3, 0, 0, 1, 1},
	}
	for i, s := range steps {
		clock.Add(int64(s.advance))
		refused, after := calls(s.provider, s.calls)
		violations := b.sim.Stats().Vendors[s.provider.Name()].Violations
		if refused != s.refused || after != s.wantAfter || violations["second"] != s.second || violations["minute"] != s.minutes {
			t.Errorf("step %d: refused %d, after %s, violations %v", i, refused, after, violations)
		}
	}
}

func TestConcurrentQuota(t *testing.T) {
	t.Parallel()
	looked := make(chan struct{}, 16) // the vendor looks at the clock as it lets a call in
	sim, err := simulator.New(simulator.Config{
		Now:    func() time.Time { looked <- struct{}{}; return time.Unix(1_800_000_000, 0) },
		Hunter: simulator.Vendor{Latency: time.Hour, Quota: simulator.Quota{Concurrent: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for len(looked) > 0 { // at its start
		<-looked
	}
	target := simulator.HunterPath + "/email-finder?full_name=ada+byron&domain=acme.test"
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		defer func() {
			err, _ := recover().(error)
			done <- err
		}()
		sim.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil).WithContext(ctx))
	}()
	<-looked
	second := httptest.NewRecorder()
	sim.ServeHTTP(second, httptest.NewRequest("GET", target, nil))
	cancel()
	if aborted := <-done; !errors.Is(aborted, http.ErrAbortHandler) {
		t.Errorf("the abandoned call ended with %v", aborted)
	}
	stats := sim.Stats().Vendors["hunter"]
	if second.Code != http.StatusForbidden || stats.Violations["concurrent"] != 1 || stats.MostConcurrent != 1 {
		t.Errorf("status %d, stats %+v", second.Code, stats)
	}
}

func TestBrownOut(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	b := start(t, simulator.Config{
		Now: func() time.Time { return time.Unix(1_800_000_000, clock.Load()) },
		Hunter: simulator.Vendor{BrownOut: simulator.BrownOut{
			AfterCalls: 11, For: time.Minute, ErrorRate: 0.5}},
		Prospeo: simulator.Vendor{BrownOut: simulator.BrownOut{At: time.Hour, For: time.Minute, ErrorRate: 1}},
	})
	failed := func(p providers.Provider, n int) (failed int) {
		for i := range n {
			if p.Ask(context.Background(), someone(t, i)).Outcome == providers.Transient {
				failed++
			}
		}
		return failed
	}
	if n := failed(b.hunter, 10); n != 0 {
		t.Errorf("%d of 10 calls failed before the brown-out", n)
	}
	if n := failed(b.hunter, 200); n < 60 || n > 140 {
		t.Errorf("%d of 200 calls failed in the brown-out, want about half", n)
	}
	if n := failed(b.prospeo, 10); n != 0 {
		t.Errorf("%d calls to the other vendor failed", n)
	}
	clock.Add(int64(time.Hour))
	if n := failed(b.hunter, 10); n != 0 {
		t.Errorf("%d of 10 calls failed after the brown-out", n)
	}
	if n := failed(b.prospeo, 10); n != 10 {
		t.Errorf("%d of 10 calls failed in a total brown-out", n)
	}
}

func TestForcedFaults(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	cases := map[string][2]providers.Outcome{ // Hunter, Prospeo
		"error":          {providers.Transient, providers.Transient},
		"html":           {providers.Transient, providers.Transient},
		"truncated":      {providers.Transient, providers.Transient},
		"reset":          {providers.Transient, providers.Transient},
		"throttled":      {providers.Throttled, providers.Throttled},
		"plan_used_up":   {providers.Quota, providers.Quota},
		"key_refused":    {providers.Auth, providers.Auth},
		"not_understood": {providers.BadRequest, providers.BadRequest},
		"pending":        {providers.Pending, providers.Transient},
	}
	for fault, want := range cases {
		q := finder(t, map[string]string{"full_name": "Ada Byron", "domain": "fault-" + strings.ReplaceAll(fault, "_", "-") + ".test"})
		for i, p := range []providers.Provider{b.hunter, b.prospeo} {
			if got := p.Ask(context.Background(), q).Outcome; got != want[i] {
				t.Errorf("%s, forced %s: %v, want %v", p.Name(), fault, got, want[i])
			}
		}
		if truth, _ := b.sim.Truth(q); truth.Found {
			t.Errorf("%s: the truth promises a result", fault)
		}
	}
	// Each call above was made once: the transport repeated none by itself.
	if calls := b.sim.Stats().Vendors["hunter"].Calls; calls != len(cases) {
		t.Errorf("Hunter saw %d calls, want %d", calls, len(cases))
	}
}

// TestSeededFaults checks that faults come in about their share, strike the
// same calls again after a reset, and pass when the call is repeated.
func TestSeededFaults(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Seed: 5, Hunter: simulator.Vendor{Faults: simulator.Faults{
		Error: 0.1, HTML: 0.1, Truncated: 0.1, Reset: 0.1, Pending: 0.1}}})
	run := func() (outcomes []providers.Outcome, faulty int) {
		for i := range 300 {
			o := b.hunter.Ask(context.Background(), someone(t, i)).Outcome
			outcomes = append(outcomes, o)
			if o == providers.Transient || o == providers.Pending {
				faulty++
			}
		}
		return outcomes, faulty
	}
	first, faulty := run()
	if faulty < 100 || faulty > 200 {
		t.Errorf("%d of 300 calls were faulty, want about half", faulty)
	}
	if again, _ := run(); slices.Equal(again, first) {
		t.Error("a repeated call meets the same fault for ever")
	}
	b.sim.Reset()
	if again, _ := run(); !slices.Equal(again, first) {
		t.Error("after a reset other calls are faulty")
	}
}

func TestKeyAndPlan(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{
		Hunter:  simulator.Vendor{Key: "another"},
		Prospeo: simulator.Vendor{Key: "prospeo-key", Plan: 5},
	})
	if a := b.hunter.Ask(context.Background(), someone(t, 1)); a.Outcome != providers.Auth {
		t.Errorf("a wrong key is answered with %v", a.Outcome)
	}
	hits := 0
	for i := range 100 {
		if b.prospeo.Ask(context.Background(), someone(t, i)).Outcome == providers.Hit {
			hits++
		}
	}
	if a := b.prospeo.Ask(context.Background(), someone(t, 1)); hits != 5 || a.Outcome != providers.Quota {
		t.Errorf("%d hits of a plan of 5, then %v", hits, a.Outcome)
	}
	if served := b.sim.Stats().ServedValid; served != 5 {
		t.Errorf("%d questions counted as served, want 5", served)
	}
}
