package providers_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/hunter"
	"github.com/magpie-hq/magpie/providers/prospeo"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// TestWaterfallOverSimulator asks about some hundreds of people through real
// guards and sockets while one vendor browns out and both strike with faults.
// Whatever happens on the way, every question ends as the truth says, and no
// quota is exceeded.
func TestWaterfallOverSimulator(t *testing.T) {
	t.Parallel()
	faults := simulator.Faults{Error: 0.02, HTML: 0.02, Truncated: 0.02, Reset: 0.02}
	sim, err := simulator.New(simulator.Config{
		Seed: 11,
		Hunter: simulator.Vendor{
			Key: "k1", Faults: faults, Latency: time.Millisecond, Jitter: time.Millisecond,
			Quota:    simulator.Quota{PerSecond: 500, PerMinute: 30_000, Concurrent: 6},
			BrownOut: simulator.BrownOut{AfterCalls: 100, For: 300 * time.Millisecond, ErrorRate: 0.8, LatencyFactor: 2},
		},
		Prospeo: simulator.Vendor{Key: "k2", Faults: faults, Quota: simulator.Quota{PerSecond: 800}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	registry := prometheus.NewRegistry()
	metrics := providers.NewMetrics(registry)
	around := func(a providers.Adapter, path, key string, limits providers.Limits) *providers.Guard {
		limits.OpenFor = 20 * time.Millisecond
		return providers.NewGuard(providers.NewHTTP(a, providers.HTTPConfig{BaseURL: server.URL + path, Key: key}), limits, metrics, nil)
	}
	waterfall := &providers.Waterfall{Providers: []providers.Provider{
		around(hunter.Adapter{}, simulator.HunterPath, "k1", providers.Limits{PerSecond: 400, Burst: 20, MaxConcurrent: 5}),
		around(prospeo.Adapter{}, simulator.ProspeoPath, "k2", providers.Limits{PerSecond: 600, Burst: 40}),
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, reasked := askEverybody(ctx, t, sim, waterfall, 400)
	stats := sim.Stats()
	if found < 100 || reasked == 0 {
		t.Errorf("%d found, %d asked again: the run proved little", found, reasked)
	}
	if stats.Violated() != 0 || found > stats.ServedValid {
		t.Errorf("%d violations; %d found of %d served", stats.Violated(), found, stats.ServedValid)
	}
	calls := float64(stats.Vendors["hunter"].Calls + stats.Vendors["prospeo"].Calls)
	if counted := counts(t, registry)["magpie_provider_call_seconds"]; counted != calls {
		t.Errorf("the guards counted %g calls, the vendors %g", counted, calls)
	}
}

// askEverybody asks about n people, eight at a time, and each again until the
// verdict is final.
func askEverybody(ctx context.Context, t *testing.T, sim *simulator.Simulator, waterfall *providers.Waterfall, n int) (found, reasked int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	people := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range people {
				q := lookup.Query{Service: lookup.EmailFinder, Fields: map[string]string{
					"first_name": fmt.Sprint("zoe", i), "last_name": "o'neill", "domain": fmt.Sprintf("firm%d.test", i%53)}}
				verdict, again := untilFinal(ctx, waterfall, q)
				truth, _ := sim.Truth(q)
				said := (verdict.Outcome == lookup.Found) && strings.Contains(string(verdict.Result), `"email":"`+truth.Email+`"`)
				if said != truth.Found || verdict.Later > 0 {
					t.Errorf("person %d: %s %s, the truth is %v %q", i, verdict.Outcome, verdict.Result, truth.Found, truth.Email)
				}
				mu.Lock()
				reasked += again
				if verdict.Outcome == lookup.Found {
					found++
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		people <- i
	}
	close(people)
	wg.Wait()
	return found, reasked
}

// untilFinal asks again at once where a real caller would wait.
func untilFinal(ctx context.Context, waterfall *providers.Waterfall, q lookup.Query) (verdict providers.Verdict, again int) {
	for {
		verdict = waterfall.Ask(ctx, q)
		if verdict.Later == 0 || ctx.Err() != nil {
			return verdict, again
		}
		again++
	}
}
