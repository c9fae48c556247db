package ledger_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/ledger"
)

// start is when the tests with a clock of their own begin.
const start = int64(1_800_000_000_000)

// timed is a gate with a clock of the test's own.
type timed struct {
	*ledger.Gate
	t   *testing.T
	now int64
}

func newTimed(t *testing.T, rdb *redis.Client, lots ...ledger.Lot) *timed {
	t.Helper()
	g := &timed{Gate: ledger.New(rdb), t: t, now: start}
	g.SetClock(func() int64 { return g.now })
	s := ledger.Snapshot{Generation: 1, Grant: int64(len(lots)), Lots: lots}
	for _, l := range lots {
		s.Granted += l.Free
	}
	load(t, g.Gate, s)
	return g
}

func (g *timed) pass(d time.Duration) { g.now += d.Milliseconds() }

// want checks the totals; that they add up, the script checks at each read.
func (g *timed) want(available, held, captured, expired int64) {
	g.t.Helper()
	b, err := g.Balance(g.t.Context(), org)
	if err != nil {
		g.t.Fatal(err)
	}
	if b.Available != available || b.Held != held || b.Captured != captured || b.Expired != expired {
		g.t.Errorf("%+v; want available %d, held %d, captured %d, expired %d", b, available, held, captured, expired)
	}
}

func in(d time.Duration) int64 { return start + d.Milliseconds() }

// Lua and Go agree on which lots are burnt first.
func TestBurnOrder(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 0))
			lots := make([]ledger.Lot, ledger.MaxLots)
			for i := range lots {
				lots[i] = ledger.Lot{ID: int64(i + 1), Class: ledger.Class(r.Int64N(3)), Free: 1000}
				if soon := r.Int64N(4); soon > 0 {
					lots[i].Expires = in(time.Duration(soon) * time.Hour)
				}
			}
			r.Shuffle(len(lots), func(i, j int) { lots[i], lots[j] = lots[j], lots[i] })
			if err := rdb.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			g := newTimed(t, rdb, lots...)
			held := hold(t, g.Gate, request("a", ledger.MaxLots))
			slices.SortFunc(lots, ledger.BurnOrder)
			for i, s := range held.Slices {
				if s.Lot != lots[i].ID {
					t.Fatalf("seed %d: the gate burns %v, Go's order is %+v", seed, held.Slices, lots)
				}
			}
		}
	})
}

// A lot expires at its date, swept or not, and what a hold of before still has
// of it may be charged, but comes back to nobody.
func TestLotExpires(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		g := newTimed(t, rdb,
			ledger.Lot{ID: 1, Class: ledger.Subscription, Expires: in(time.Hour), Free: 5000},
			ledger.Lot{ID: 2, Class: ledger.Paid, Free: 2000})
		held := hold(t, g.Gate, request("a", 3))
		if !slices.Equal(held.Slices, []ledger.Slice{{Lot: 1, Amount: 3000}}) {
			t.Errorf("held from %v, want the lot that expires", held.Slices)
		}
		g.want(4000, 3000, 0, 0)
		g.pass(time.Hour)
		g.want(2000, 3000, 0, 2000)
		if held := hold(t, g.Gate, request("b", 5)); held.Units != 2 {
			t.Errorf("%d units held after the lot's end, want the 2 that were bought", held.Units)
		}
		if captured := settle(t, g.Gate, "a", 1000, 1); captured != 1000 {
			t.Errorf("captured %d of an expired lot that was held in time", captured)
		}
		g.want(0, 2000, 1000, 4000)
	})
}

// A hold that takes the place of one of before the lot's end may still use it.
func TestClosingLot(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		sub := ledger.Lot{ID: 1, Class: ledger.Subscription, Expires: in(time.Minute), Free: 3000}
		g := newTimed(t, rdb, sub)
		first := hold(t, g.Gate, request("a", 3))
		g.pass(2 * time.Minute)
		load(t, g.Gate, ledger.Snapshot{Generation: 2, Grant: 1, Granted: 3000, Lots: []ledger.Lot{sub}})
		g.want(0, 0, 0, 3000)
		if _, err := g.Hold(t.Context(), request("b", 1)); !errors.As(err, new(*ledger.InsufficientError)) {
			t.Errorf("new work may use an expired lot: %v", err)
		}
		again := request("a", 2)
		again.Opened = first.Opened
		if held := hold(t, g.Gate, again); held.Units != 2 || !held.Opened.Equal(first.Opened) {
			t.Errorf("%+v, want two units, opened at %s", held, first.Opened)
		}
		g.want(0, 2000, 0, 1000)
		settle(t, g.Gate, "a", 1000, 2)
		g.want(0, 0, 1000, 2000)
		// After the longest hold nothing can come from the lot any more.
		g.pass(ledger.LongestHold)
		late := request("c", 1)
		late.Opened = first.Opened
		if _, err := g.Hold(t.Context(), late); !errors.As(err, new(*ledger.InsufficientError)) {
			t.Errorf("held from a lot that is over: %v", err)
		}
	})
}

func TestHoldCannotOutliveTheLongest(t *testing.T) {
	t.Parallel()
	g := newTimed(t, testredis.Mini(t), ledger.Lot{ID: 1, Class: ledger.Paid, Free: 9000})
	hold(t, g.Gate, request("a", 1))
	for range 5 {
		g.pass(20 * time.Minute)
		if _, err := g.Extend(t.Context(), org, "a", 50*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	again := request("b", 1)
	again.Opened = time.UnixMilli(start)
	hold(t, g.Gate, again)
	overdue, _, err := g.Overdue(t.Context(), 10)
	if err != nil || len(overdue) != 2 || overdue[0].Since != start+longest || overdue[1].Since != start+longest {
		t.Errorf("overdue %v, %v; want both since the longest life of a hold had passed", overdue, err)
	}
}

// A subscription is refreshed while a thousand holds are open across it.
func TestRefreshUnderHolds(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		const holds = 1000
		g := newTimed(t, rdb,
			ledger.Lot{ID: 1, Class: ledger.Subscription, Expires: in(24 * time.Hour), Free: 5_000_000},
			ledger.Lot{ID: 2, Class: ledger.Paid, Free: 1_000_000})
		for i := range holds {
			hold(t, g.Gate, request(strconv.Itoa(i), 2))
		}
		for range 2 { // the second is a repeat
			_, err := g.Refresh(t.Context(), ledger.Grant{
				Org: org, Number: 3, Amount: 4_000_000, Lot: ledger.Lot{ID: 3, Class: ledger.Subscription, Expires: in(48 * time.Hour)},
			}, []int64{1}, time.UnixMilli(start))
			if err != nil {
				t.Fatal(err)
			}
		}
		g.want(5_000_000, 2_000_000, 0, 3_000_000)
		for i := range holds {
			settle(t, g.Gate, strconv.Itoa(i), 1000, 1)
		}
		g.want(5_000_000, 0, 1_000_000, 4_000_000)
	})
}

func TestRefundGoesBackToItsLot(t *testing.T) {
	t.Parallel()
	g := newTimed(t, testredis.Mini(t), ledger.Lot{ID: 1, Class: ledger.Paid, Free: 2000})
	hold(t, g.Gate, request("a", 2))
	back := []ledger.Lot{{ID: 1, Class: ledger.Paid, Free: 1000}}
	// The charge stands in SQL, but was not settled yet.
	if _, err := g.Refund(t.Context(), org, 2, back); !errors.Is(err, ledger.ErrGap) {
		t.Errorf("a refund of what was not captured: %v", err)
	}
	settle(t, g.Gate, "a", 2000, 1)
	for range 2 {
		if _, err := g.Refund(t.Context(), org, 2, back); err != nil {
			t.Fatal(err)
		}
	}
	g.want(1000, 0, 1000, 0)
}

func TestLotsAreFew(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		var lots []ledger.Lot
		for i := range int64(ledger.MaxLots) {
			lots = append(lots, ledger.Lot{ID: i + 1, Class: ledger.Paid, Expires: in(time.Hour) + i, Free: 1000})
		}
		g := newTimed(t, rdb, lots...)
		one := ledger.Grant{Org: org, Number: 17, Amount: 1000, Lot: ledger.Lot{ID: 17, Class: ledger.Paid}}
		if _, err := g.Grant(t.Context(), one); !errors.Is(err, ledger.ErrGap) {
			t.Errorf("a lot too many: %v", err)
		}
		one.Lot = lots[3]
		if _, err := g.Grant(t.Context(), one); err != nil {
			t.Errorf("more for a lot that is there: %v", err)
		}
		g.want(17_000, 0, 0, 0)
	})
}

// Redis was promoted from a replica that lagged: what it has is of an epoch ago.
func TestEpoch(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 5000)
		hold(t, gate, request("a", 1))
		gate.SetEpoch(2)
		gate.SetEpoch(1) // never back
		_, holdErr := gate.Hold(t.Context(), request("b", 1))
		_, settleErr := gate.Settle(t.Context(), org, "a", 0, 1)
		_, balanceErr := gate.Balance(t.Context(), org)
		_, grantErr := gate.Grant(t.Context(), grantOf(2, 1000))
		for call, err := range map[string]error{"hold": holdErr, "settle": settleErr, "balance": balanceErr, "grant": grantErr} {
			if !errors.Is(err, ledger.ErrMissing) {
				t.Errorf("%s in a new epoch: %v, want ErrMissing", call, err)
			}
		}
		s := snapshot(2, 5000, 0)
		s.Epoch = 2
		load(t, gate, s)
		wantBalance(t, gate, 5000, 0, 0)
		// Another process has not noticed; what was loaded since is as good for it.
		behind := ledger.New(rdb)
		hold(t, behind, request("b", 1))
	})
}

// A batch holds at most its share, though never less than one unit.
func TestShareOfTheBalance(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 10_000)
		greedy := func(id string) ledger.HoldRequest {
			r := request(id, 100)
			r.Scopes = []ledger.Scope{{Name: "batch:b", Share: 500}, {Name: "key:k"}}
			return r
		}
		if held := hold(t, gate, greedy("a")); held.Units != 5 {
			t.Errorf("%d units of a balance of 10, want half", held.Units)
		}
		var refused *ledger.InsufficientError
		if _, err := gate.Hold(t.Context(), greedy("b")); !errors.As(err, &refused) || refused.Reason != ledger.AboveShare || refused.Scope != "batch:b" {
			t.Errorf("more than its share: %v", err)
		}
		hold(t, gate, request("single", 5))
		settle(t, gate, "single", 5000, 1)
		settle(t, gate, "a", 4000, 1)
		// One credit is left: half of it is no unit, but one unit may be held.
		if held := hold(t, gate, greedy("c")); held.Units != 1 {
			t.Errorf("%d units, want the last one", held.Units)
		}
		settle(t, gate, "c", 1000, 1)
		if _, err := gate.Hold(t.Context(), greedy("d")); !errors.As(err, &refused) || refused.Reason != ledger.NoCredits || refused.Held != 0 {
			t.Errorf("nothing is left: %v", err)
		}
	})
}

// Batches share what they hold together; nothing is charged to that.
func TestShareOfAllBatches(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 10_000)
		of := func(batch string) ledger.HoldRequest {
			r := request(batch, 4)
			r.Scopes = []ledger.Scope{{Name: "batch:" + batch}, {Name: "batches", Share: 500, HeldOnly: true}}
			return r
		}
		one, two := hold(t, gate, of("one")), hold(t, gate, of("two"))
		if one.Units != 4 || two.Units != 1 || !slices.Equal(one.Scopes, []string{"batch:one"}) {
			t.Errorf("%+v and %+v, want 4 and 1 units", one, two)
		}
		if again := hold(t, gate, of("one")); !slices.Equal(again.Scopes, one.Scopes) {
			t.Errorf("a repeat counts in %q", again.Scopes)
		}
		settle(t, gate, "one", 2000, 1)
		for scope, want := range map[string]int64{"batch:one": 2000, "batch:two": 1000, "batches": 0, "#batches": 1000} {
			if used, err := gate.Used(t.Context(), org, scope); err != nil || used != want {
				t.Errorf("%s uses %d, %v; want %d", scope, used, err, want)
			}
		}
	})
}

// An account falls below its threshold once, and again only after it rose well
// above it. Holds that are released again do not count.
func TestLowBalanceOncePerCrossing(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := ledger.New(rdb)
		s := snapshot(1, 10_000, 0)
		s.Threshold = 5000
		load(t, gate, s)
		spend := func(id string, want, units int64) ledger.Level {
			held := hold(t, gate, request(id, want))
			if held.Fell != ledger.Plenty {
				t.Errorf("hold %s fell to %d: what is held is not gone", id, held.Fell)
			}
			settled, err := gate.Settle(t.Context(), org, id, units*1000, 1)
			if err != nil {
				t.Fatal(err)
			}
			return settled.Fell
		}
		for i, step := range []struct {
			want, units, grant int64
			fell               ledger.Level
		}{
			{want: 9, units: 0, fell: ledger.Plenty},
			{want: 5, units: 5, fell: ledger.Plenty},
			{want: 5, units: 1, fell: ledger.Low}, // 4 left
			{want: 1, units: 1, fell: ledger.Plenty},
			{grant: 2000}, // 5: at the threshold, not well above it
			{want: 1, units: 1, fell: ledger.Plenty},
			{grant: 2000}, // 6
			{want: 2, units: 2, fell: ledger.Low},
			{want: 4, units: 4, fell: ledger.Exhausted},
			{grant: 1000},
			{want: 1, units: 1, fell: ledger.Exhausted},
		} {
			if step.grant > 0 {
				b, err := gate.Balance(t.Context(), org)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := gate.Grant(t.Context(), grantOf(b.Grant+1, step.grant)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if fell := spend(strconv.Itoa(i), step.want, step.units); fell != step.fell {
				t.Errorf("step %d: fell to %d, want %d", i, fell, step.fell)
			}
		}
	})
}
