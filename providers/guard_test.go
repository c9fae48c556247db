package providers_test

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// fake answers as told and counts how often it was asked.
type fake struct {
	name   string
	calls  atomic.Int64
	answer func(ctx context.Context, call int) providers.Answer
}

func (f *fake) Name() string { return f.name }
func (f *fake) Services() []lookup.Service {
	return []lookup.Service{lookup.EmailFinder, lookup.EmailValidation}
}
func (f *fake) Ask(ctx context.Context, _ lookup.Query) providers.Answer {
	return f.answer(ctx, int(f.calls.Add(1)))
}

// always returns a fake with one answer.
func always(name string, a providers.Answer) *fake {
	return &fake{name: name, answer: func(context.Context, int) providers.Answer { return a }}
}

func outcome(o providers.Outcome) providers.Answer { return providers.Answer{Outcome: o} }

func guard(p providers.Provider, limits providers.Limits) *providers.Guard {
	return providers.NewGuard(p, limits, nil, nil)
}

func TestBreakerOpensOnlyOnTransient(t *testing.T) {
	t.Parallel()
	for _, o := range providers.Outcomes {
		synctest.Test(t, func(t *testing.T) {
			vendor := always("v", outcome(o))
			g := guard(vendor, providers.Limits{})
			opened := false
			for range 50 {
				g.Ask(t.Context(), question("ada"))
				opened = opened || g.State().Condition == "open"
				time.Sleep(5 * time.Minute / 100)
			}
			if opened != (o == providers.Transient) {
				t.Errorf("after 50 times %v: open is %v", o, opened)
			}
		})
	}
}

func TestBreakerOpensOnHalfFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vendor := &fake{name: "v", answer: func(_ context.Context, call int) providers.Answer {
			return []providers.Answer{outcome(providers.Transient), outcome(providers.Miss)}[call%2]
		}}
		g := guard(vendor, providers.Limits{})
		for range 50 {
			g.Ask(t.Context(), question("ada"))
		}
		if vendor.calls.Load() > 11 || g.State().Condition != "open" {
			t.Errorf("%d calls to a vendor that fails half of them, state %+v", vendor.calls.Load(), g.State())
		}
	})
}

// TestBreakerProbes lets a vendor die and come back.
func TestBreakerProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		vendor := &fake{name: "v", answer: func(context.Context, int) providers.Answer {
			time.Sleep(100 * time.Millisecond)
			if down.Load() {
				return outcome(providers.Transient)
			}
			return outcome(providers.Miss)
		}}
		g := guard(vendor, providers.Limits{OpenFor: 5 * time.Second})
		for range 5 {
			g.Ask(t.Context(), question("ada"))
		}
		a := g.Ask(t.Context(), question("ada"))
		if !a.NotAsked || a.Outcome != providers.Transient || a.After != 5*time.Second || vendor.calls.Load() != 5 {
			t.Fatalf("an open breaker answers %+v after %d calls", a, vendor.calls.Load())
		}
		time.Sleep(6 * time.Second)
		if held := askMany(t, g); held != 19 || vendor.calls.Load() != 6 {
			t.Errorf("half-open: %d of 20 held back, %d calls in all, want one probe", held, vendor.calls.Load())
		}
		down.Store(false)
		time.Sleep(6 * time.Second)
		if held := askMany(t, g); held != 19 || vendor.calls.Load() != 7 {
			t.Errorf("half-open again: %d of 20 held back, %d calls in all", held, vendor.calls.Load())
		}
		if held := askMany(t, g); held != 0 || g.State().Condition != "closed" {
			t.Errorf("after a good probe %d of 20 were held back, state %+v", held, g.State())
		}
	})
}

// askMany asks twenty times at once and returns how many were held back.
func askMany(t *testing.T, g *providers.Guard) int {
	t.Helper()
	var wg sync.WaitGroup
	var held atomic.Int64
	for range 20 {
		wg.Go(func() {
			if g.Ask(t.Context(), question("ada")).NotAsked {
				held.Add(1)
			}
		})
	}
	wg.Wait()
	return int(held.Load())
}

func TestPanicIsContained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		vendor := &fake{name: "v", answer: func(context.Context, int) providers.Answer { panic("ada@acme.test") }}
		g := providers.NewGuard(vendor, providers.Limits{MaxConcurrent: 1}, nil, slog.New(slog.NewTextHandler(&log, nil)))
		for range 5 {
			if a := g.Ask(t.Context(), question("ada")); a.Outcome != providers.Transient || a.Reason != "panic" || a.NotAsked {
				t.Errorf("a panic is answered with %+v", a)
			}
		}
		if s := g.State(); s.Condition != "open" || s.InFlight != 0 {
			t.Errorf("state %+v", s)
		}
		if !strings.Contains(log.String(), "provider panicked") || strings.Contains(log.String(), "ada@acme.test") {
			t.Errorf("log: %s", log.String())
		}
	})
}

func TestCancelledCallsDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vendor := &fake{name: "v", answer: func(ctx context.Context, _ int) providers.Answer {
			<-ctx.Done()
			return outcome(providers.Transient)
		}}
		g := guard(vendor, providers.Limits{})
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			g.Ask(ctx, question("ada"))
		}
		if s := g.State().Condition; s != "closed" {
			t.Errorf("callers who left made the breaker %s", s)
		}
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			g.Ask(ctx, question("ada"))
			cancel()
		}
		if s := g.State().Condition; s != "open" {
			t.Errorf("a vendor that never answers in time left the breaker %s", s)
		}
	})
}

func TestQuotaAndAuthPark(t *testing.T) {
	t.Parallel()
	for _, o := range []providers.Outcome{providers.Quota, providers.Auth} {
		checkParks(t, o)
	}
}

// checkParks has a vendor refuse three times, and then serve again.
func checkParks(t *testing.T, o providers.Outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		vendor := &fake{name: "v", answer: func(_ context.Context, call int) providers.Answer {
			if call <= 3 {
				return outcome(o)
			}
			return outcome(providers.Miss)
		}}
		g := providers.NewGuard(vendor, providers.Limits{ParkFor: time.Minute}, nil, slog.New(slog.NewTextHandler(&log, nil)))
		for range 3 { // parked, tried again, parked
			g.Ask(t.Context(), question("ada"))
			a := g.Ask(t.Context(), question("ada"))
			if !a.NotAsked || a.Outcome != o || a.After != time.Minute || g.State().Condition != "parked" {
				t.Errorf("parked: %+v, state %+v", a, g.State())
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Second)
		if a := g.Ask(t.Context(), question("ada")); a.Outcome != providers.Miss || vendor.calls.Load() != 4 {
			t.Errorf("after the park: %+v, %d calls", a, vendor.calls.Load())
		}
		if n := strings.Count(log.String(), "is parked"); n != 1 || !strings.Contains(log.String(), "serves again") {
			t.Errorf("log: %s", log.String())
		}
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	metrics := providers.NewMetrics(registry)
	g := providers.NewGuard(always("v", outcome(providers.Quota)), providers.Limits{}, metrics, nil)
	providers.NewGuard(always("w", outcome(providers.Miss)), providers.Limits{}, providers.NewMetrics(nil), nil).Ask(t.Context(), question("ada"))
	for range 3 {
		g.Ask(t.Context(), question("ada"))
	}
	got := counts(t, registry)
	want := map[string]float64{"magpie_provider_call_seconds": 1, "magpie_provider_cost_total": 0}
	for _, o := range providers.Outcomes {
		want["magpie_provider_calls_total "+o.String()] = 0
	}
	for _, reason := range []string{"parked", "breaker_open", "busy", "paced", "cancelled"} {
		want["magpie_provider_held_back_total "+reason] = 0
	}
	want["magpie_provider_calls_total quota"] = 1
	want["magpie_provider_held_back_total parked"] = 2
	for _, condition := range []string{"closed", "half-open", "open", "parked"} {
		want["magpie_provider_condition "+condition] = 0
	}
	want["magpie_provider_condition parked"] = 1
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// counts reads every series, over all providers: counters by their other
// label, histograms by how often something was observed.
func counts(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := []string{family.GetName()}
			for _, label := range m.GetLabel() {
				if label.GetName() != "provider" {
					name = append(name, label.GetValue())
				}
			}
			all[strings.Join(name, " ")] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func BenchmarkGuard(b *testing.B) {
	g := providers.NewGuard(always("v", outcome(providers.Miss)), providers.Limits{PerSecond: 1e9, Burst: 1e6, MaxConcurrent: 64}, providers.NewMetrics(nil), nil)
	q := question("ada")
	b.ReportAllocs()
	for b.Loop() {
		if g.Ask(context.Background(), q).NotAsked {
			b.Fatal("held back")
		}
	}
}
