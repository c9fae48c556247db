package providers_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// member is a process of a fleet with one vendor.
type member struct {
	board *providers.Board
	guard *providers.Guard
	w     *providers.Waterfall
}

func newMember(rdb redis.UniversalClient, id string, a providers.Answer, limits providers.Limits) *member {
	metrics := providers.NewMetrics(nil)
	g := providers.NewGuard(always("vendor", a), limits, metrics, nil)
	w := &providers.Waterfall{
		Providers: []providers.Provider{g}, Metrics: metrics,
		Terms: map[string]providers.Terms{"vendor": {PerCall: providers.CostUnit / 2}},
	}
	return &member{providers.NewBoard(rdb, id, metrics, []*providers.Guard{g}, slog.New(slog.DiscardHandler)), g, w}
}

// Several processes report; whoever reads sees them as one fleet.
func TestBoard(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		one := newMember(rdb, "one", outcome(providers.Miss), providers.Limits{PerSecond: 100, Burst: 100})
		two := newMember(rdb, "two", outcome(providers.Quota), providers.Limits{PerSecond: 100, Burst: 100})
		for range 3 {
			one.w.Ask(t.Context(), question("ada"))
			two.w.Ask(t.Context(), question("ada")) // parked after the first
		}
		for _, m := range []*member{one, two} {
			if err := m.board.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		all, err := one.board.Read(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v; want one vendor", all, err)
		}
		got := all[0]
		if got.Provider != "vendor" || got.Processes != 2 || got.Services[0] != lookup.EmailFinder || got.Cost != 1.5 {
			t.Errorf("%+v", got)
		}
		if got.Calls["miss"] != 3 || got.Calls["quota"] != 1 || got.HeldBack["parked"] != 2 || got.Condition != "parked" || !got.Until.After(time.Now()) {
			t.Errorf("calls %v, held back %v, %s until %s", got.Calls, got.HeldBack, got.Condition, got.Until)
		}
		// One that goes takes its report along.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		two.board.Run(ctx)
		if all, err := one.board.Read(t.Context()); err != nil || all[0].Processes != 1 || all[0].Condition != "closed" || all[0].Calls["quota"] != 0 {
			t.Errorf("%+v, %v; want one process", all, err)
		}
	})
}

// A process that is silent does not count, nor does what another version wrote.
func TestBoardForgets(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		one := newMember(rdb, "one", outcome(providers.Miss), providers.Limits{})
		for process, text := range map[string]string{
			"dead": `1000 [{"state":{"Provider":"vendor"}}]`, "newer": "99999999999999 {}", "odd": "x",
		} {
			if err := rdb.HSet(t.Context(), "magpie:providers", process, text).Err(); err != nil {
				t.Fatal(err)
			}
		}
		all, err := one.board.Read(t.Context())
		if err != nil || len(all) != 1 || all[0].Processes != 1 {
			t.Errorf("%+v, %v", all, err)
		}
		if there, err := rdb.HExists(t.Context(), "magpie:providers", "dead").Result(); err != nil || there {
			t.Errorf("the report of a dead process is kept: %v", err)
		}
	})
}

// Latencies are those of recent calls, of all processes together.
func TestLatencies(t *testing.T) {
	t.Parallel()
	rdb := testredis.Mini(t)
	quick := newMember(rdb, "quick", outcome(providers.Miss), providers.Limits{})
	if all, err := quick.board.Read(t.Context()); err != nil || all[0].P50 != 0 || all[0].P95 != 0 {
		t.Errorf("%+v, %v; want none without calls", all, err)
	}
	for range 100 {
		quick.w.Ask(t.Context(), question("ada"))
	}
	all, err := quick.board.Read(t.Context())
	if err != nil || all[0].P50 <= 0 || all[0].P50 > all[0].P95 || all[0].P95 > time.Second {
		t.Errorf("%+v, %v", all, err)
	}
}
