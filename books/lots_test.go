package books_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// clock is one for books and gate.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// watcher notes what it is told.
type watcher struct {
	mu   sync.Mutex
	fell []string
	lose error // what the next Fell answers, if anything
}

func (w *watcher) Fell(_ context.Context, _ *store.Tx, e books.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.lose; err != nil {
		w.lose = nil
		return err
	}
	w.fell = append(w.fell, e.Kind)
	return nil
}

// timedBench is a bench whose books have a clock that the test moves. The gate's
// is the server's: on an in-process Redis the test moves it along.
type timedBench struct {
	*bench
	clock    *clock
	watcher  *watcher
	registry *prometheus.Registry
	move     func(time.Time)
}

func newTimedBench(t *testing.T, db *store.DB) *timedBench {
	t.Helper()
	rdb, server := testredis.MiniServer(t)
	b := &timedBench{
		bench: newBench(t, rdb, db), clock: &clock{now: time.Now().UTC().Truncate(time.Second)},
		watcher: &watcher{}, registry: prometheus.NewRegistry(), move: server.SetTime,
	}
	b.move(b.clock.now)
	b.books = books.New(db, b.gate, slog.New(slog.DiscardHandler), b.clock.Now,
		books.WithMetrics(books.NewMetrics(b.registry)), books.WithWatcher(b.watcher))
	return b
}

func (b *timedBench) pass(d time.Duration) {
	b.clock.pass(d)
	b.move(b.clock.Now())
}

func (b *timedBench) give(source string, amount lookup.Credits, ends time.Duration) books.Grant {
	b.t.Helper()
	g := books.Grant{Org: org, Source: source, Amount: amount}
	if ends > 0 {
		g.ExpiresAt = b.clock.Now().Add(ends)
	}
	granted, _, err := b.books.Grant(b.t.Context(), g)
	if err != nil {
		b.t.Fatal(err)
	}
	return granted
}

// spend holds, charges and settles.
func (b *timedBench) spend(id string, units int64) {
	b.t.Helper()
	standing, err := b.charge(id, units, b.hold(id, units))
	if err == nil {
		err = b.books.Settle(b.t.Context(), org, id, standing)
	}
	if err != nil {
		b.t.Fatalf("spend %s: %v", id, err)
	}
}

func (b *timedBench) sweep() {
	b.t.Helper()
	if _, err := b.books.Sweep(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// same checks that the gate is what a load of SQL makes it.
func (b *timedBench) same() {
	b.t.Helper()
	before, err := b.books.Balance(b.t.Context(), org)
	if err == nil {
		err = b.books.Load(b.t.Context(), org)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	after, err := b.books.Balance(b.t.Context(), org)
	if err != nil {
		b.t.Fatal(err)
	}
	after.Generation, after.Clock, after.Epoch = before.Generation, before.Clock, before.Epoch
	if fmt.Sprintf("%+v", before) != fmt.Sprintf("%+v", after) {
		b.t.Errorf("the gate was\n%+v, SQL has\n%+v", before, after)
	}
}

func (b *timedBench) wantRemaining(want ...lookup.Credits) {
	b.t.Helper()
	grants, err := b.books.Grants(b.t.Context(), org)
	if err != nil {
		b.t.Fatal(err)
	}
	var remaining []lookup.Credits
	for _, g := range grants {
		remaining = append(remaining, g.Remaining)
	}
	if !slices.Equal(remaining, want) {
		b.t.Errorf("remaining %v, want %v", remaining, want)
	}
}

func bothDatabases(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	teststore.Each(t, test)
}

const day = 24 * time.Hour

// A billing cycle ends: what is unused of it expires and the new grant arrives,
// with a hold open across it. Purchases stay.
func TestRefresh(t *testing.T) {
	t.Parallel()
	bothDatabases(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		b.give(books.Purchase, 10_000, 0)
		b.give(books.Subscription, 5000, 30*day)
		b.spend("before", 1)
		open := b.hold("across", 2)
		b.pass(29 * day)
		b.give(books.Subscription, 6000, 31*day)
		b.want(16_000, 2000, 1000)
		standing, err := b.charge("across", 1, open)
		if err == nil {
			err = b.books.Settle(t.Context(), org, "across", standing)
		}
		if err != nil {
			t.Fatalf("a charge across the refresh: %v", err)
		}
		b.want(16_000, 0, 2000)
		b.wantRemaining(10_000, 0, 6000)
		b.same()
		b.pass(2 * time.Hour)
		b.sweep()
		b.want(16_000, 0, 2000)
		if sums, err := books.Sums(t.Context(), b.db, org); err != nil || sums.Expired != 3000 || sums.Available != 16_000 {
			t.Errorf("%+v, %v; want 3 credits expired", sums, err)
		}
		b.same()
	})
}

// The payment of a cycle comes late. Until then the old grant ends at its date;
// and a cycle that is paid after the next does not end the next.
func TestLatePaymentDoesNotRefresh(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Subscription, 5000, 30*day)
	b.pass(31 * day)
	b.want(0, 0, 0)
	b.give(books.Subscription, 7000, 30*day)
	b.give(books.Subscription, 1000, 10*day)
	b.want(8000, 0, 0)
	b.wantRemaining(0, 7000, 1000)
	b.same()
	for name, g := range map[string]books.Grant{
		"a cycle that is over":       {Source: books.Subscription, ExpiresAt: b.clock.Now().Add(-day)},
		"a cycle without end":        {Source: books.Subscription},
		"a purchase that would end":  {Source: books.Purchase, ExpiresAt: b.clock.Now().Add(day)},
		"something that is no grant": {Source: "gift"},
	} {
		g.Org, g.Amount = org, 1000
		_, _, err := b.books.Grant(t.Context(), g)
		if !errors.Is(err, books.ErrExpiry) && !errors.Is(err, books.ErrSource) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A lot that has ended is worth nothing at once, and breakage only when no hold
// of before can be open.
func TestBreakage(t *testing.T) {
	t.Parallel()
	bothDatabases(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		b.give(books.Promotion, 5000, time.Hour)
		b.pass(50 * time.Minute)
		open := b.hold("h1", 3)
		if _, err := b.books.Extend(t.Context(), org, "h1", 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		b.pass(11 * time.Minute)
		b.sweep()
		b.want(0, 3000, 0)
		standing, err := b.charge("h1", 2, open)
		if err == nil {
			err = b.books.Settle(t.Context(), org, "h1", standing)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.want(0, 0, 2000)
		b.same()
		b.pass(2 * time.Hour)
		b.sweep()
		b.sweep()
		b.want(0, 0, 2000)
		lines, err := b.books.Statement(t.Context(), org, 0, 10)
		if err != nil || len(lines) != 3 || lines[0].Kind != books.KindExpiry || lines[0].Amount != -3000 || lines[0].Balance != 0 {
			t.Errorf("the statement is %+v, %v", lines, err)
		}
		b.same()
	})
}

// A load in between does not take from a hold what it was opened for in time.
func TestFencedAcrossTheEnd(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Subscription, 5000, time.Hour)
	open := b.hold("h1", 3)
	b.pass(time.Hour + time.Minute)
	if err := b.books.Load(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	if _, err := b.charge("h1", 2, open); !errors.Is(err, books.ErrFenced) {
		t.Fatalf("a charge of before the load: %v", err)
	}
	again, err := b.books.Hold(t.Context(), ledger.HoldRequest{
		Org: org, ID: "h1", Want: 2, Least: 1, Price: 1000, Life: time.Minute, Opened: open.Opened,
	})
	if err != nil {
		t.Fatalf("hold again: %v", err)
	}
	if _, err := b.charge("h1", 2, again); err != nil {
		t.Errorf("charge again: %v", err)
	}
}

func TestRefund(t *testing.T) {
	t.Parallel()
	bothDatabases(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		b.give(books.Subscription, 2000, day)
		b.give(books.Purchase, 5000, 0)
		b.spend("h1", 4) // two of each
		for range 3 {
			if amount, err := b.books.Refund(t.Context(), org, "h1", 0); err != nil || amount != 1000 {
				t.Fatalf("refunded %s, %v", amount, err)
			}
		}
		b.want(4000, 0, 3000)
		b.wantRemaining(0, 4000)
		for row := range int64(2) {
			if _, err := b.books.Refund(t.Context(), org, "h1", row+1); err != nil {
				t.Fatal(err)
			}
		}
		b.wantRemaining(1000, 5000)
		b.same()
		// The cycle is over: what comes back is a short lot of its own.
		b.pass(2 * day)
		b.want(5000, 0, 1000)
		if _, err := b.books.Refund(t.Context(), org, "h1", 3); err != nil {
			t.Fatal(err)
		}
		b.want(6000, 0, 0)
		b.same()
		b.pass(31 * day)
		b.want(5000, 0, 0)
		if _, err := b.books.Refund(t.Context(), org, "h1", 4); !errors.Is(err, books.ErrNotCharged) {
			t.Errorf("a row that was not charged: %v", err)
		}
		if _, err := b.books.Refund(t.Context(), org, "h2", 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a hold that nobody knows: %v", err)
		}
	})
}

// A refund comes before the charge is settled.
func TestRefundOfAnUnsettledCharge(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Purchase, 5000, 0)
	standing, err := b.charge("h1", 2, b.hold("h1", 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.books.Refund(t.Context(), org, "h1", 1); err != nil {
		t.Fatal(err)
	}
	if err := b.books.Settle(t.Context(), org, "h1", standing); err != nil {
		t.Fatal(err)
	}
	b.want(4000, 0, 1000)
	b.same()
}

// A payment is taken back twice, after most of it was spent, while credits of it
// are held.
func TestRevoke(t *testing.T) {
	t.Parallel()
	bothDatabases(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		g := b.give(books.Purchase, 5000, 0)
		b.give(books.Subscription, 1000, day)
		b.spend("h1", 4)
		open := b.hold("h2", 1)
		for range 2 {
			revoked, err := b.books.Revoke(t.Context(), org, g.ID, "dispute 1", 5000)
			if err != nil || revoked != 2000 {
				t.Fatalf("revoked %s, %v; want what was left of it", revoked, err)
			}
		}
		b.want(0, 0, 4000)
		if _, err := b.charge("h2", 1, open); !errors.Is(err, books.ErrFenced) {
			t.Errorf("a charge of what was taken back: %v", err)
		}
		now, err := b.books.Balance(t.Context(), org)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.charge("h3", 1, ledger.Hold{Generation: now.Generation, Slices: []ledger.Slice{{Lot: g.Number, Amount: 1000}}}); !errors.Is(err, books.ErrOverdrawn) {
			t.Errorf("a charge that no lot has: %v", err)
		}
		b.same()
		var loss lookup.Credits
		err = b.db.QueryRowContext(t.Context(), `SELECT SUM(amount) FROM entries WHERE debit = 'absorbed_loss'`).Scan(&loss)
		if err != nil || loss != 3000 {
			t.Errorf("absorbed %s, %v; want the 3 credits that were spent", loss, err)
		}
	})
}

// More lots than the gate can have are merged in the customer's favour.
func TestManyLotsAreMerged(t *testing.T) {
	t.Parallel()
	bothDatabases(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		b.give(books.Purchase, 1000, 0)
		for i := range 20 {
			b.give(books.Promotion, 1000, time.Duration(i+1)*day+time.Duration(i*i)*time.Minute)
			b.same()
		}
		b.want(21_000, 0, 0)
		balance, err := b.books.Balance(t.Context(), org)
		if err != nil || len(balance.Lots) != ledger.MaxLots {
			t.Errorf("%d lots, %v", len(balance.Lots), err)
		}
		b.spend("h1", 3)
		b.same()
		b.sweep()
		b.want(18_000, 0, 3000)
	})
}

// Redis was promoted from a replica that lagged: a settle is lost together with
// its hold, and nobody asks for either.
func TestUnknownRedisEndsTheEpoch(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db)
		meet := func(runID string) {
			t.Helper()
			if err := b.books.Meet(t.Context(), runID); err != nil {
				t.Fatal(err)
			}
		}
		meet("primary")
		b.grant(10_000, "")
		b.want(10_000, 0, 0)
		replica := rdb.Get(t.Context(), b.accountKey()).Val()
		held := b.hold("h1", 4)
		standing, err := b.charge("h1", 3, held)
		if err == nil {
			err = b.books.Settle(t.Context(), org, "h1", standing)
		}
		if err == nil {
			err = rdb.FlushDB(t.Context()).Err()
		}
		if err == nil {
			err = rdb.Set(t.Context(), b.accountKeyOf(), replica, 0).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		meet("primary") // nothing new
		if balance, err := b.books.Balance(t.Context(), org); err != nil || balance.Available != 10_000 {
			t.Fatalf("%+v, %v; want what the replica has", balance, err)
		}
		meet("promoted")
		b.want(7000, 0, 3000)
		// Another process learns of it by its own first connection.
		other := books.New(b.db, ledger.New(rdb), slog.New(slog.DiscardHandler), time.Now)
		if err := other.Meet(t.Context(), "promoted"); err != nil {
			t.Fatal(err)
		}
		b.want(7000, 0, 3000)
	})
}

// Each crossing is told once, whatever Redis loses.
func TestLowBalanceIsToldOnce(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Purchase, 10_000, 0)
	if err := b.books.SetThreshold(t.Context(), org, 5000); err != nil {
		t.Fatal(err)
	}
	want := func(kinds ...string) {
		t.Helper()
		b.sweep()
		if !slices.Equal(b.watcher.fell, kinds) {
			t.Errorf("told %v, want %v", b.watcher.fell, kinds)
		}
	}
	b.spend("h1", 5)
	want()
	b.spend("h2", 1)
	want(books.CreditsLow)
	if err := b.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b.spend("h3", 1)
	want(books.CreditsLow)
	b.give(books.Purchase, 7000, 0)
	b.spend("h4", 7) // 3 left
	want(books.CreditsLow, books.CreditsLow)
	b.spend("h5", 3)
	want(books.CreditsLow, books.CreditsLow, books.CreditsExhausted)
	// Credits that are there again in one process and were never told to the gate.
	b.give(books.Purchase, 1000, 0)
	b.spend("h6", 1)
	want(books.CreditsLow, books.CreditsLow, books.CreditsExhausted, books.CreditsExhausted)
}

// Whoever is to be told cannot be, or the process dies before: the sweeper of
// any process tells what was marked, once.
func TestEventIsNotLost(t *testing.T) {
	t.Parallel()
	bothDatabases(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		b.give(books.Purchase, 3000, 0)
		if err := b.books.SetThreshold(t.Context(), org, 2500); err != nil {
			t.Fatal(err)
		}
		b.watcher.lose = errors.New("the process died")
		b.spend("h1", 1)
		if len(b.watcher.fell) != 0 {
			t.Fatalf("told %v", b.watcher.fell)
		}
		var sweeps sync.WaitGroup
		for range 4 {
			sweeps.Go(func() {
				if _, err := b.books.Sweep(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		sweeps.Wait()
		if !slices.Equal(b.watcher.fell, []string{books.CreditsLow}) {
			t.Errorf("told %v, want the crossing once", b.watcher.fell)
		}
	})
}

// A key that no script wrote is put right without anybody's help.
func TestCorruptKeysHeal(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db)
		b.grant(10_000, "")
		spoil := func(key string) {
			if err := errors.Join(rdb.Del(t.Context(), key).Err(), rdb.LPush(t.Context(), key, "x").Err()); err != nil {
				t.Fatal(err)
			}
		}
		account := b.accountKey()
		spoil(account)
		held := b.hold("h1", 4)
		standing, err := b.charge("h1", 3, held)
		if err != nil {
			t.Fatal(err)
		}
		holds, err := rdb.Keys(t.Context(), "*:hold:*").Result()
		if err != nil || len(holds) != 1 {
			t.Fatalf("%v, %v", holds, err)
		}
		spoil(holds[0])
		if err := b.books.Settle(t.Context(), org, "h1", standing); err != nil {
			t.Fatal(err)
		}
		b.want(7000, 0, 3000)
		spoil(account)
		if repaired, err := b.books.Sweep(t.Context()); err != nil || repaired != 1 {
			t.Errorf("%d repaired, %v", repaired, err)
		}
		b.want(7000, 0, 3000)
	})
}

// What the sweeper finds is counted: nothing while nothing fails.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Purchase, 10_000, 0)
	b.spend("h1", 2)
	b.sweep()
	count := func(name string, want float64) {
		t.Helper()
		families, err := b.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				m := f.GetMetric()[0]
				if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != want {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
				return
			}
		}
		t.Errorf("there is no %s", name)
	}
	count("magpie_ledger_differences_total", 0)
	count("magpie_voids_total", 0)
	b.hold("h2", 1)
	b.pass(3 * time.Minute)
	b.sweep()
	count("magpie_voids_total", 1)
	count("magpie_overdue_hold_age_seconds", 120)
	b.sweep()
	count("magpie_overdue_hold_age_seconds", 0)
	err := b.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE accounts SET generation = generation + 1`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.sweep()
	count("magpie_ledger_differences_total", 1)
}

// A new cycle needs room for its lot while another lot ends shortly before the
// old cycle: it must not be merged into what has just ended.
func TestRefreshMergesNothingIntoTheEndedCycle(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Subscription, 1000, 300*day)
	for i := range ledger.MaxLots - 2 {
		b.give(books.Adjustment, 1000, time.Duration(i+1)*10*day)
	}
	b.give(books.Adjustment, 1000, 300*day-time.Minute)
	b.give(books.Subscription, 2000, 330*day)
	b.want(2000+1000*(ledger.MaxLots-1), 0, 0)
	b.same()
}

// One payment is refunded and then disputed: it is taken back once.
func TestRevokeTakesAGrantBackOnce(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	g := b.give(books.Purchase, 5000, 0)
	b.give(books.Purchase, 3000, 0)
	for i, want := range []lookup.Credits{4000, 1000, 0} {
		revoked, err := b.books.Revoke(t.Context(), org, g.ID, []string{"refund", "dispute", "again"}[i], 4000)
		if err != nil || revoked != want {
			t.Errorf("revoked %s, %v; want %s", revoked, err, want)
		}
	}
	b.want(3000, 0, 0)
	b.same()
}

// A charge of before there were lots is given back to the lot that it was of.
func TestRefundOfAChargeWithoutLots(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Purchase, 10_000, 0)
	b.spend("h1", 3)
	b.exec(`UPDATE closings SET slices = '[]'`)
	if _, err := b.books.Refund(t.Context(), org, "h1", 1); err != nil {
		t.Fatal(err)
	}
	b.want(8000, 0, 2000)
	b.same()
}

// A hold is settled as if its closing had charged nothing.
func TestSweepSeesWhatTheGateDidNotCapture(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Purchase, 10_000, 0)
	if _, err := b.charge("h1", 3, b.hold("h1", 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.gate.Settle(t.Context(), org, "h1", 0, 0); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	b.want(7000, 0, 3000)
}

// SQL was set back to before a grant that the gate has: the next one must not
// count as a repetition.
func TestSweepSeesAGrantThatSQLLost(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	b.give(books.Purchase, 10_000, 0)
	b.give(books.Purchase, 5000, 0)
	b.exec(`UPDATE accounts SET grants = 1, granted = 10000, available = 10000, seq = 1`)
	b.exec(`UPDATE lots SET remaining = 10000`)
	b.exec(`DELETE FROM entries WHERE seq = 2`)
	b.exec(`DELETE FROM grants WHERE number = 2`)
	b.sweep()
	b.give(books.Purchase, 2000, 0)
	b.want(12_000, 0, 0)
	b.same()
}

// One organization's books are broken: what others have left expires all the same.
func TestBrokenBooksHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := newTimedBench(t, teststore.SQLite(t))
	const other = "org_b"
	if _, err := b.db.CreateOrg(t.Context(), other, "B", b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	b.give(books.Subscription, 2000, day)
	g := books.Grant{Org: other, Source: books.Subscription, Amount: 3000, ExpiresAt: b.clock.Now().Add(day)}
	if _, _, err := b.books.Grant(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE accounts SET available = 1000 WHERE org = '` + org + `'`)
	b.pass(2 * day)
	if closed, err := b.books.Expire(t.Context()); closed != 1 || err == nil {
		t.Errorf("%d lots closed, %v; want the other's, and the mistake", closed, err)
	}
	sums, err := books.Sums(t.Context(), b.db, other)
	if err != nil || sums.Expired != 3000 {
		t.Errorf("%+v, %v; want 3 expired", sums, err)
	}
}
