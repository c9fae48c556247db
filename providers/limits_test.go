package providers_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/magpie-hq/magpie/providers"
)

func TestLimiterHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		var mu sync.Mutex
		vendor := &fake{name: "v", answer: func(context.Context, int) providers.Answer {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, time.Now())
			return outcome(providers.Miss)
		}}
		g := guard(vendor, providers.Limits{PerSecond: 10, Burst: 5, Patience: 1900 * time.Millisecond})
		var held atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				a := g.Ask(t.Context(), question("ada"))
				if a.NotAsked {
					held.Add(1)
					if a.Outcome != providers.Throttled || a.After <= 0 {
						t.Errorf("held back with %+v", a)
					}
				}
			})
		}
		wg.Wait()
		if at, early := starts[4].Sub(starts[0]), starts[5].Sub(starts[0]); at > 10*time.Millisecond || early < 50*time.Millisecond {
			t.Errorf("five calls within %s, the sixth after %s: want a burst of five", at, early)
		}
		if len(starts) < 18 || len(starts) > 20 || len(starts)+int(held.Load()) != 40 {
			t.Errorf("%d calls started in two seconds, %d held back", len(starts), held.Load())
		}
		for i := range len(starts) - 10 {
			if d := starts[i+10].Sub(starts[i]); d < time.Second {
				t.Errorf("11 calls within %s", d)
			}
		}
	})
}

func TestConcurrencyHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var most atomic.Int64
		var g *providers.Guard
		vendor := &fake{name: "v", answer: func(context.Context, int) providers.Answer {
			most.Store(max(most.Load(), int64(g.State().InFlight)))
			time.Sleep(time.Second)
			return outcome(providers.Miss)
		}}
		g = guard(vendor, providers.Limits{MaxConcurrent: 3, Patience: 1500 * time.Millisecond})
		var busy atomic.Int64
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if a := g.Ask(t.Context(), question("ada")); a.NotAsked && a.Reason == "busy" {
					busy.Add(1)
				}
			})
		}
		wg.Wait()
		if most.Load() != 3 || vendor.calls.Load() != 6 || busy.Load() != 4 {
			t.Errorf("at most %d at once, %d calls, %d found it busy", most.Load(), vendor.calls.Load(), busy.Load())
		}
	})
}

func TestWaitEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vendor := always("v", outcome(providers.Miss))
		g := guard(vendor, providers.Limits{PerSecond: 1, MaxConcurrent: 1})
		g.Ask(t.Context(), question("ada"))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		a := g.Ask(ctx, question("ada"))
		if waited := time.Since(start); waited != 100*time.Millisecond || !a.NotAsked || a.Reason != "cancelled" {
			t.Errorf("after %s: %+v", waited, a)
		}
		time.Sleep(time.Second) // neither the place nor the turn is lost
		if a := g.Ask(t.Context(), question("ada")); a.NotAsked {
			t.Errorf("the next caller is held back: %+v", a)
		}
	})
}

// TestThrottlePauses checks the pause a vendor asks for, and the rate after it.
func TestThrottlePauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := map[int]providers.Answer{1: {Outcome: providers.Throttled, After: 30 * time.Second}}
		vendor := &fake{name: "v", answer: func(_ context.Context, call int) providers.Answer {
			if a, ok := answers[call]; ok {
				return a
			}
			return outcome(providers.Miss)
		}}
		g := guard(vendor, providers.Limits{PerSecond: 100, Burst: 1})
		g.Ask(t.Context(), question("ada"))
		if a := g.Ask(t.Context(), question("ada")); !a.NotAsked || a.Outcome != providers.Throttled || a.After != 30*time.Second {
			t.Errorf("in the pause: %+v", a)
		}
		if rate := g.State().Rate; rate != 50 {
			t.Errorf("the rate is %g after a throttle, want half of 100", rate)
		}
		time.Sleep(29 * time.Second)
		if a := g.Ask(t.Context(), question("ada")); a.NotAsked { // waits for the last second
			t.Errorf("at the end of the pause: %+v", a)
		}
		time.Sleep(4 * time.Second)
		if rate := g.State().Rate; rate < 69 || rate > 71 {
			t.Errorf("the rate is %g four seconds after the pause, want 70", rate)
		}
		time.Sleep(time.Minute)
		if rate := g.State().Rate; rate != 100 {
			t.Errorf("the rate ends at %g", rate)
		}
	})
}

// TestWaitersHearBadNews has one call refused while another waits for its turn.
func TestWaitersHearBadNews(t *testing.T) {
	t.Parallel()
	for _, news := range []providers.Answer{{Outcome: providers.Throttled, After: 10 * time.Second}, {Outcome: providers.Quota}, {Outcome: providers.Auth}} {
		synctest.Test(t, func(t *testing.T) {
			vendor := &fake{name: "v", answer: func(context.Context, int) providers.Answer {
				time.Sleep(500 * time.Millisecond)
				return news
			}}
			g := guard(vendor, providers.Limits{PerSecond: 1, Patience: 2 * time.Second})
			var wg sync.WaitGroup
			wg.Go(func() { g.Ask(t.Context(), question("ada")) })
			synctest.Wait() // it has taken the first turn
			a := g.Ask(t.Context(), question("grace"))
			wg.Wait()
			if !a.NotAsked || a.Outcome != news.Outcome || vendor.calls.Load() != 1 {
				t.Errorf("%v: the waiting call ended as %+v after %d calls", news.Outcome, a, vendor.calls.Load())
			}
		})
	}
}

// TestBlindBackOff meets a vendor that throttles without saying for how long.
func TestBlindBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var good atomic.Bool
		vendor := &fake{name: "v", answer: func(context.Context, int) providers.Answer {
			time.Sleep(100 * time.Millisecond)
			if good.Load() {
				return outcome(providers.Miss)
			}
			return outcome(providers.Throttled)
		}}
		g := guard(vendor, providers.Limits{PerSecond: 1000, Burst: 10})
		pause := func() time.Duration { return time.Until(g.State().NotBefore) }
		for _, seconds := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
			var wg sync.WaitGroup
			for range 3 { // a burst of refusals is one refusal
				wg.Go(func() { g.Ask(t.Context(), question("ada")) })
			}
			wg.Wait()
			if got := pause().Round(100 * time.Millisecond).Seconds(); got != seconds {
				t.Errorf("paused for %g s, want %g", got, seconds)
			}
			time.Sleep(pause() + time.Second)
		}
		good.Store(true)
		g.Ask(t.Context(), question("ada"))
		good.Store(false)
		g.Ask(t.Context(), question("ada"))
		if got := pause(); got != time.Second {
			t.Errorf("after a good answer paused for %s, want 1s again", got)
		}
	})
}

// TestRateIsCutOnceASecond sends a burst of refusals, and then more.
func TestRateIsCutOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guard(always("v", providers.Answer{Outcome: providers.Throttled, After: time.Millisecond}),
			providers.Limits{PerSecond: 64, Burst: 64})
		for range 5 {
			g.Ask(t.Context(), question("ada"))
		}
		if rate := g.State().Rate; rate < 32 || rate > 33 {
			t.Errorf("five refusals at once left a rate of %g, want 32", rate)
		}
		for range 100 {
			time.Sleep(time.Second)
			g.Ask(t.Context(), question("ada"))
		}
		if rate := g.State().Rate; rate < 1 || rate > 8 {
			t.Errorf("a hundred refusals left a rate of %g", rate)
		}
	})
}
