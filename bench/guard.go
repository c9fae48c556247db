package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// miss is a provider that costs nothing at all.
type miss struct{}

func (miss) Name() string               { return "miss" }
func (miss) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }
func (miss) Ask(context.Context, lookup.Query) providers.Answer {
	return providers.Answer{Outcome: providers.Miss}
}

// guardCall measures what a guard adds to a call that nothing holds back, with
// limits on pace and calls under way, breaker and metrics.
func guardCall(ctx context.Context, b *bed) ([]figure, error) {
	log := slog.New(slog.DiscardHandler)
	guard := providers.NewGuard(miss{}, providers.Limits{PerSecond: 1e9, Burst: 1e6, MaxConcurrent: inFlight},
		providers.NewMetrics(prometheus.NewRegistry()), log)
	calls := 10 * b.rows
	medians, err := b.interleave(ctx,
		side{"guard, ns/call", func(ctx context.Context) (float64, error) { return nsPerCall(ctx, guard, calls) }},
		side{"nothing, ns/call", func(ctx context.Context) (float64, error) { return nsPerCall(ctx, miss{}, calls) }},
	)
	if err != nil {
		return nil, err
	}
	f := b.alone("guard_ns_per_call", "ns", medians[0]-medians[1])
	f.Baseline = &medians[1]
	return []figure{f}, nil
}

func nsPerCall(ctx context.Context, p providers.Provider, calls int) (float64, error) {
	q := query(0, 0)
	began := time.Now()
	for range calls {
		if a := p.Ask(ctx, q); a.Outcome != providers.Miss || a.NotAsked {
			return 0, fmt.Errorf("bench: the guard answered %s, %s", a.Outcome, a.Reason)
		}
	}
	return float64(time.Since(began).Nanoseconds()) / float64(calls), nil
}
