package books_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

const org = "org_a"

type bench struct {
	t     *testing.T
	rdb   *redis.Client
	db    *store.DB
	gate  *ledger.Gate
	books *books.Books
}

func newBench(t *testing.T, rdb *redis.Client, db *store.DB) *bench {
	t.Helper()
	if _, err := db.CreateOrg(t.Context(), org, "A", time.Now()); err != nil {
		t.Fatal(err)
	}
	gate := ledger.New(rdb)
	return &bench{t, rdb, db, gate, books.New(db, gate, slog.New(slog.DiscardHandler), time.Now)}
}

func (b *bench) grant(amount lookup.Credits, reference string) (books.Grant, bool) {
	b.t.Helper()
	g, repeated, err := b.books.Grant(b.t.Context(), books.Grant{Org: org, Source: books.Purchase, Amount: amount, Reference: reference})
	if err != nil {
		b.t.Fatal(err)
	}
	return g, repeated
}

func (b *bench) hold(id string, units int64) ledger.Hold {
	b.t.Helper()
	held, err := b.books.Hold(b.t.Context(), ledger.HoldRequest{
		Org: org, ID: id, Want: units, Least: units, Price: 1000, Life: time.Minute,
		Scopes: []ledger.Scope{{Name: "key:k:2026-11"}, {Name: "batch:bat_x"}},
	})
	if err != nil {
		b.t.Fatalf("hold %s: %v", id, err)
	}
	return held
}

// charge closes a hold in SQL, without telling the gate.
func (b *bench) charge(id string, units int64, held ledger.Hold) (books.Standing, error) {
	return b.chargeThen(id, units, held, nil)
}

// chargeThen is charge in a transaction that ends with an error, if there is one.
func (b *bench) chargeThen(id string, units int64, held ledger.Hold, then error) (books.Standing, error) {
	var s books.Standing
	closing := books.Closing{
		Hold: id, Org: org, Kind: books.Charge, Service: lookup.EmailFinder, Generation: held.Generation, Slices: held.Slices,
		Price: 1000, Units: units, Rows: []byte{1<<units - 1}, Scopes: []string{"key:k:2026-11", "batch:bat_x"},
	}
	err := b.db.Write(b.t.Context(), func(tx *store.Tx) error {
		var first bool
		var err error
		if s, first, err = books.Open(b.t.Context(), tx, closing, time.Now()); err != nil || !first {
			return err
		}
		s.Charged = closing.Charged()
		return errors.Join(books.Post(b.t.Context(), tx, closing, time.Now()), then)
	})
	return s, err
}

func (b *bench) want(available, held, captured int64) {
	b.t.Helper()
	got, err := b.books.Balance(b.t.Context(), org)
	if err != nil || got.Available != available || got.Held != held || got.Captured != captured {
		b.t.Errorf("%+v, %v; want available %d, held %d, captured %d", got, err, available, held, captured)
	}
	sums, err := books.Sums(b.t.Context(), b.db, org)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, d := range sums.Differences() {
		b.t.Error(d)
	}
}

func TestGrantCountsOncePerReference(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db)
		first, repeated := b.grant(5000, "invoice 7")
		if repeated || first.Number != 1 || !strings.HasPrefix(first.ID, "grt_") {
			t.Errorf("%+v, repeated %t", first, repeated)
		}
		if again, repeated := b.grant(5000, "invoice 7"); !repeated || again.ID != first.ID {
			t.Errorf("%+v, repeated %t; want the first grant", again, repeated)
		}
		b.grant(2000, "")
		b.want(7000, 0, 0)
		_, _, err := b.books.Grant(t.Context(), books.Grant{Org: org, Source: books.Purchase, Amount: 9000, Reference: "invoice 7"})
		if !errors.Is(err, books.ErrReference) {
			t.Errorf("the reference with another amount: %v", err)
		}
		_, _, err = b.books.Grant(t.Context(), books.Grant{Org: "org_none", Source: books.Purchase, Amount: 1})
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a grant for nobody: %v", err)
		}
		_, _, err = b.books.Grant(t.Context(), books.Grant{Org: org, Source: books.Purchase, Amount: lookup.MaxCredits})
		if !errors.Is(err, books.ErrTooMuch) {
			t.Errorf("more than can be counted: %v", err)
		}
		b.want(7000, 0, 0)
	})
}

// The same purchase arrives many times within milliseconds.
func TestGrantArrivesManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t))
	var crowd sync.WaitGroup
	for range 20 {
		crowd.Go(func() {
			g := books.Grant{Org: org, Source: books.Purchase, Amount: 1000, Reference: "invoice"}
			if _, _, err := b.books.Grant(context.Background(), g); err != nil {
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	b.want(1000, 0, 0)
}

// The gate misses grants: it was not reachable, or has lost the account.
func TestGateCatchesUpWithGrants(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t))
	b.grant(1000, "")
	before := b.rdb.Get(t.Context(), b.accountKey()).Val()
	forget := func() {
		// As if the last grants never reached the gate.
		if err := b.rdb.Set(t.Context(), b.accountKey(), before, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b.grant(1000, "")
	forget()
	b.grant(1000, "") // sees the gap
	b.want(3000, 0, 0)
	before = b.rdb.Get(t.Context(), b.accountKey()).Val()
	b.grant(1000, "")
	forget()
	if repaired, err := b.books.Sweep(t.Context()); err != nil || repaired != 1 {
		t.Errorf("%d repaired, %v", repaired, err)
	}
	b.want(4000, 0, 0)
	if repaired, err := b.books.Sweep(t.Context()); err != nil || repaired != 0 {
		t.Errorf("%d repaired in a sound account, %v", repaired, err)
	}
}

// accountKeyOf is the account's key where it is not there.
func (b *bench) accountKeyOf() string {
	b.t.Helper()
	if _, err := b.books.Balance(b.t.Context(), org); err != nil {
		b.t.Fatal(err)
	}
	return b.accountKey()
}

func (b *bench) accountKey() string {
	b.t.Helper()
	keys, err := b.rdb.Keys(b.t.Context(), "*:account:"+org).Result()
	if err != nil || len(keys) != 1 {
		b.t.Fatalf("%v, %v", keys, err)
	}
	return keys[0]
}

func TestChargeAndSettle(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db)
		b.grant(10_000, "")
		held := b.hold("h1", 4)
		standing, err := b.charge("h1", 3, held)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.books.Settle(t.Context(), org, "h1", standing); err != nil {
				t.Fatal(err)
			}
		}
		b.want(7000, 0, 3000)
		// A second closing obeys the first.
		again, err := b.charge("h1", 1, held)
		if err != nil || again != standing {
			t.Errorf("%+v, %v; want %+v to stand", again, err, standing)
		}
		b.want(7000, 0, 3000)
	})
}

// A charge burns its lots and lowers the account together, or neither: not when
// its transaction is lost after that, and not again when it is repeated.
func TestLotsAndAccountAreBurntTogether(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db)
		b.grant(10_000, "")
		want := func(left lookup.Credits) {
			t.Helper()
			var account, lots lookup.Credits
			err := b.db.QueryRowContext(t.Context(), `SELECT available, (SELECT SUM(remaining) FROM lots WHERE lots.org = accounts.org) FROM accounts WHERE org = ?`, org).
				Scan(&account, &lots)
			if err != nil || account != left || lots != left {
				t.Errorf("the account has %s and its lots have %s, %v; want %s", account, lots, err, left)
			}
		}
		held := b.hold("h1", 4)
		lost := errors.New("the commit is lost")
		if _, err := b.chargeThen("h1", 3, held, lost); !errors.Is(err, lost) {
			t.Fatal(err)
		}
		want(10_000)
		for range 3 {
			if _, err := b.charge("h1", 3, held); err != nil {
				t.Fatal(err)
			}
			want(7000)
		}
	})
}

func TestFencedChargeIsRolledBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t))
	b.grant(10_000, "")
	held := b.hold("h1", 4)
	if err := b.books.Load(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	if _, err := b.charge("h1", 3, held); !errors.Is(err, books.ErrFenced) {
		t.Fatalf("a charge of an older generation: %v", err)
	}
	if _, err := books.Find(t.Context(), b.db, "h1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the fenced closing stands: %v", err)
	}
	b.want(10_000, 0, 0)
}

// Redis loses everything at each moment between hold and settle.
func TestFlushAnywhere(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db)
		flush := func() {
			if err := rdb.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		b.grant(10_000, "")
		flush()
		held := b.hold("h1", 4)
		standing, err := b.charge("h1", 3, held)
		if err != nil {
			t.Fatal(err)
		}
		flush()
		if err := b.books.Settle(t.Context(), org, "h1", standing); err != nil {
			t.Fatal(err)
		}
		b.want(7000, 0, 3000)
		flush()
		b.grant(1000, "")
		b.want(8000, 0, 3000)
	})
}

// The gate loses a hold alone, and the charge arrives.
func TestSettleOfALostHoldLoads(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t))
	b.grant(10_000, "")
	held := b.hold("h1", 4)
	standing, err := b.charge("h1", 3, held)
	if err != nil {
		t.Fatal(err)
	}
	holds, err := b.rdb.Keys(t.Context(), "*:hold:*").Result()
	if err != nil || len(holds) != 1 {
		t.Fatalf("%v, %v", holds, err)
	}
	if err := b.rdb.Del(t.Context(), holds...).Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.books.Settle(t.Context(), org, "h1", standing); err != nil {
		t.Fatal(err)
	}
	b.want(7000, 0, 3000)
}

// A load brings the scopes' spending back, except for batches that are gone.
func TestLoadRestoresScopes(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t))
	b.grant(10_000, "")
	held := b.hold("h1", 4)
	if _, err := b.charge("h1", 3, held); err != nil {
		t.Fatal(err)
	}
	if err := b.books.Load(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[string]int64{"key:k:2026-11": 3000, "batch:bat_x": 0} {
		if used, err := b.gate.Used(t.Context(), org, scope); err != nil || used != want {
			t.Errorf("%s uses %d, %v; want %d", scope, used, err, want)
		}
	}
}

// The worker is gone. The sweeper closes its overdue hold in SQL first; when the
// worker comes back, its charge finds the void and gives way.
func TestSweepVoidsBeforeItReleases(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db)
		b.grant(10_000, "")
		held := b.hold("h1", 4)
		b.makeOverdue()
		if repaired, err := b.books.Sweep(t.Context()); err != nil || repaired != 1 {
			t.Fatalf("%d repaired, %v", repaired, err)
		}
		b.want(10_000, 0, 0)
		standing, err := b.charge("h1", 3, held)
		if err != nil || standing.Kind != books.Void || standing.Charged != 0 {
			t.Errorf("%+v, %v; want the void to stand", standing, err)
		}
		b.want(10_000, 0, 0)
	})
}

// The worker died after its commit: the sweeper settles to the charge.
func TestSweepObeysACharge(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t))
	b.grant(10_000, "")
	held := b.hold("h1", 4)
	if _, err := b.charge("h1", 3, held); err != nil {
		t.Fatal(err)
	}
	b.makeOverdue()
	if repaired, err := b.books.Sweep(t.Context()); err != nil || repaired != 1 {
		t.Fatalf("%d repaired, %v", repaired, err)
	}
	b.want(7000, 0, 3000)
}

func (b *bench) makeOverdue() {
	b.t.Helper()
	keys, err := b.rdb.Keys(b.t.Context(), "*:deadlines").Result()
	if err != nil || len(keys) != 1 {
		b.t.Fatalf("%v, %v", keys, err)
	}
	for _, member := range b.rdb.ZRange(b.t.Context(), keys[0], 0, -1).Val() {
		if err := b.rdb.ZAdd(b.t.Context(), keys[0], redis.Z{Score: 1, Member: member}).Err(); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestOldestGrantIsUsedFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t))
	b.grant(2000, "")
	b.grant(3000, "")
	b.grant(5000, "")
	held := b.hold("h1", 4)
	if _, err := b.charge("h1", 4, held); err != nil {
		t.Fatal(err)
	}
	grants, err := b.books.Grants(t.Context(), org)
	if err != nil {
		t.Fatal(err)
	}
	var remaining []lookup.Credits
	for _, g := range grants {
		remaining = append(remaining, g.Remaining)
	}
	if !slices.Equal(remaining, []lookup.Credits{0, 1000, 5000}) {
		t.Errorf("remaining %v of 2, 3 and 5 after 4 were used", remaining)
	}
}

// Loads at the same time do not chase each other's generation.
func TestLoadsAtOnceAreFew(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t))
	b.grant(1000, "")
	if err := b.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	var crowd sync.WaitGroup
	for range 50 {
		crowd.Go(func() {
			if _, err := b.books.Balance(context.Background(), org); err != nil {
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	b.want(1000, 0, 0)
	balance, err := b.books.Balance(t.Context(), org)
	if err != nil || balance.Generation > 25 {
		t.Errorf("generation %d after 50 callers missed the account at once, %v", balance.Generation, err)
	}
}
