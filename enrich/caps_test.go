package enrich_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// capKey gives the bench a key with a monthly cap.
func (b *bench) capKey(most lookup.Credits) {
	b.t.Helper()
	key, err := b.db.CreateKey(b.t.Context(), org, "capped", store.NewSecret("mgp_"), most, b.clock.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	b.key = key.ID
}

func (b *bench) setCap(id string, most lookup.Credits) {
	b.t.Helper()
	if _, err := b.db.ChangeBatch(b.t.Context(), org, id, store.BatchChange{MaxCredits: &most}); err != nil {
		b.t.Fatal(err)
	}
}

// resume lets a waiting batch run if it may, and says whether it does.
func (b *bench) resume(id string) bool {
	b.t.Helper()
	_, resumed, err := b.db.ResumeWaiting(b.t.Context(), org, id, b.clock.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return resumed
}

func (b *bench) wantPaused(id, reason string, charged lookup.Credits) {
	b.t.Helper()
	if got := b.get(id); got.Status != store.Paused || got.PauseReason != reason || got.Charged != charged {
		b.t.Errorf("%s (%s) with %s charged, want paused (%s) with %s", got.Status, got.PauseReason, got.Charged, reason, charged)
	}
}

// A cap pauses a batch as an empty balance does: every credit under it is used
// first, and only room lets it go on.
func TestBatchPausesAtItsCap(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db, 100*lookup.Credit)
		id := b.capped(3*lookup.Credit, 4, append(rows("miss", 0, 5), rows("hit", 5, 7)...)...).ID
		b.drive(id)
		b.wantPaused(id, store.PauseCap, 3*lookup.Credit)
		b.grant(50 * lookup.Credit)
		if b.resume(id) {
			t.Error("a grant resumes a batch at its cap")
		}
		b.setCap(id, 2*lookup.Credit) // below what is spent
		if b.resume(id) {
			t.Error("a lower cap resumes it")
		}
		b.setCap(id, 5*lookup.Credit)
		if !b.resume(id) {
			t.Error("a higher cap does not resume it")
		}
		b.drive(id)
		b.wantPaused(id, store.PauseCap, 5*lookup.Credit)
		b.setCap(id, 0)
		b.resume(id)
		if batch := b.drive(id); batch.Status != store.Completed || batch.Charged != 7*lookup.Credit {
			t.Errorf("%s with %s charged", batch.Status, batch.Charged)
		}
		b.wantSound(id)
	})
}

// A cap that is lowered below what is spent while the batch runs pauses it.
func TestCapLoweredInMidBatch(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	id := b.batch(4, rows("hit", 0, 12)...).ID
	b.round(id, 0)
	b.setCap(id, lookup.Credit)
	if ending := b.round(id, 1); !ending.Idle {
		t.Errorf("%+v, want idle", ending)
	}
	b.wantPaused(id, store.PauseCap, 4*lookup.Credit)
	b.wantSound(id)
}

// What is left of a cap is only held: that may come back, so the batch waits.
func TestWaitsForRoomThatIsHeld(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	id := b.capped(2*lookup.Credit, 2, append(rows("miss", 0, 2), rows("hit", 2, 2)...)...).ID
	var once sync.Once
	b.vendor.meanwhile(func(lookup.Query) {
		once.Do(func() {
			if ending := b.round(id, 1); ending.Idle || !ending.BatchWaits || ending.After <= 0 {
				t.Errorf("%+v; want the batch to wait for the room that is held", ending)
			}
		})
	})
	b.round(id, 0)
	if batch := b.drive(id); batch.Status != store.Completed || batch.Charged != 2*lookup.Credit {
		t.Errorf("%s with %s charged", batch.Status, batch.Charged)
	}
	b.wantSound(id)
}

// A key's cap is for its batches and lookups together, and for a calendar month.
func TestKeyPausesAtItsMonthlyCap(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db, 100*lookup.Credit)
		b.clock.advance(time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC).Sub(b.clock.Now()))
		b.capKey(4 * lookup.Credit)
		ask := func(n int) error {
			r := b.request("hit", n)
			r.Key, r.KeyCap = b.key, 4*lookup.Credit
			_, err := b.engine.Lookup(t.Context(), r)
			return err
		}
		if err := ask(100); err != nil {
			t.Fatal(err)
		}
		one, two := b.batch(2, rows("hit", 0, 2)...).ID, b.batch(2, rows("hit", 2, 4)...).ID
		b.drive(one)
		b.drive(two)
		b.wantPaused(two, store.PauseCap, lookup.Credit)
		refused, ok := errors.AsType[*ledger.InsufficientError](ask(101))
		if !ok || refused.Reason != ledger.AtLimit || refused.ScopeUsed != int64(4*lookup.Credit) {
			t.Errorf("a lookup over the cap: %v", refused)
		}
		b.grant(10 * lookup.Credit)
		if b.resume(two) {
			t.Error("a grant resumes a batch at its key's cap")
		}
		b.clock.advance(2 * time.Minute) // the next month
		if !b.resume(two) {
			t.Fatal("the batch does not go on in the next month")
		}
		b.drive(two)
		if err := ask(102); err != nil {
			t.Error(err)
		}
		if spent, err := store.Spent(t.Context(), b.db, org, store.KeyScope(b.key, b.clock.Now())); err != nil || spent != 4*lookup.Credit {
			t.Errorf("%s spent in the new month, %v", spent, err)
		}
		b.wantSound(one, two)
	})
}

// The month turns over while a lookup is under way, and its process dies before
// the commit: whoever repeats it charges the month in which the credits were
// held, in SQL as in the gate.
func TestChargeIsOfTheMonthOfItsHold(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	b.clock.advance(time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC).Sub(b.clock.Now()))
	r := b.request("hit", 1)
	old := store.KeyScope(r.Key, b.clock.Now())
	_, err := b.books.Hold(t.Context(), ledger.HoldRequest{ // and then its process died
		Org: org, ID: store.LookupHold(r.ID), Want: 1, Least: 1, Price: int64(lookup.Credit), Life: time.Minute, Scopes: []ledger.Scope{{Name: old}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.clock.advance(2 * time.Minute)
	if _, err := b.engine.Lookup(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[string]lookup.Credits{old: lookup.Credit, store.KeyScope(r.Key, b.clock.Now()): 0} {
		spent, err := store.Spent(t.Context(), b.db, org, scope)
		used, usedErr := b.gate.Used(t.Context(), org, scope)
		if err != nil || usedErr != nil || spent != want || used != int64(want) {
			t.Errorf("%s: %s in SQL, %d in the gate, %v %v; want %s", scope, spent, used, err, usedErr, want)
		}
	}
}

// Batches hold at most their share of the balance, together: single lookups find
// credits beside them. The last credits are used all the same.
func TestBatchesLeaveCreditsForLookups(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBenchSharing(t, rdb, db, 20*lookup.Credit, 500)
		one, two := b.batch(30, rows("hit", 0, 30)...).ID, b.batch(30, rows("hit", 50, 30)...).ID
		var met atomic.Bool // what runs beside the first batch asks as well
		b.vendor.meanwhile(func(lookup.Query) {
			if !met.CompareAndSwap(false, true) {
				return
			}
			if ending := b.round(two, 0); ending.Idle || !ending.BatchWaits {
				t.Errorf("%+v; want the second batch to wait, not to pause", ending)
			}
			balance, err := b.books.Balance(context.Background(), org)
			if err != nil || balance.Held != int64(10*lookup.Credit) {
				t.Errorf("batches hold %d, %v", balance.Held, err)
			}
			if _, err := b.engine.Lookup(context.Background(), b.request("hit", 500)); err != nil {
				t.Errorf("a lookup beside two batches that would hold everything: %v", err)
			}
		})
		b.round(one, 0)
		b.drive(one)
		b.drive(two)
		if all := b.get(one).Charged + b.get(two).Charged; all != 19*lookup.Credit {
			t.Errorf("charged %s, want all but the lookup's", all)
		}
		b.wantPaused(one, store.PauseCredits, b.get(one).Charged)
		b.wantPaused(two, store.PauseCredits, b.get(two).Charged)
		b.wantSound(one, two)
	})
}

// A round that held its share before Redis lost everything has asked: what it
// found is not dropped because others have the share now.
func TestShareDoesNotDropWhatWasFound(t *testing.T) {
	t.Parallel()
	b := newBenchSharing(t, testredis.Mini(t), teststore.SQLite(t), 20*lookup.Credit, 500)
	id := b.batch(10, rows("hit", 0, 20)...).ID
	var once sync.Once
	b.vendor.meanwhile(func(lookup.Query) {
		once.Do(func() {
			if err := b.rdb.FlushDB(context.Background()).Err(); err != nil {
				t.Error(err)
			}
			_, err := b.books.Hold(context.Background(), ledger.HoldRequest{
				Org: org, ID: "another", Want: 10, Least: 10, Price: int64(lookup.Credit), Life: time.Minute,
				Scopes: []ledger.Scope{{Name: "batches", Share: 500, HeldOnly: true}},
			})
			if err != nil {
				t.Error(err)
			}
		})
	})
	b.round(id, 0)
	if got := b.get(id); got.Charged != 10*lookup.Credit {
		t.Errorf("charged %s, want what was held for", got.Charged)
	}
}

// Retried holds, loads and flushes at random: no scope is ever charged beyond its
// cap, and gate and SQL agree on what each has spent.
func TestCapsUnderFaults(t *testing.T) {
	t.Parallel()
	for range 8 {
		seed := rand.Uint64()
		t.Run("", func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			b := newBenchSharing(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit, 1+random.Int64N(1000))
			keyCap := lookup.Credits(3+random.IntN(10)) * lookup.Credit
			b.capKey(keyCap)
			caps := map[string]lookup.Credits{}
			for i := range 2 {
				most := lookup.Credits(1+random.IntN(8)) * lookup.Credit
				caps[b.capped(most, 3, append(rows("hit", i*10, 8), rows("miss", 100+i*10, 4)...)...).ID] = most
			}
			one, two := pair(caps)
			for range 40 {
				b.randomStep(random, one, two)
				b.wantUnderCaps(caps, keyCap)
			}
			b.db.fail()
			if err := b.books.Load(t.Context(), org); err != nil {
				t.Fatal(err)
			}
			b.drive(one)
			b.drive(two)
			b.wantUnderCaps(caps, keyCap)
			b.wantSpentAlike(one, two)
			b.wantSound(one, two)
		})
	}
}

func pair(caps map[string]lookup.Credits) (one, two string) {
	for id := range caps {
		one, two = id, one
	}
	return one, two
}

func (b *bench) wantUnderCaps(caps map[string]lookup.Credits, keyCap lookup.Credits) {
	b.t.Helper()
	var all lookup.Credits
	for id, most := range caps {
		charged := b.get(id).Charged
		if all += charged; charged > most {
			b.t.Fatalf("charged %s under a cap of %s", charged, most)
		}
	}
	if all > keyCap {
		b.t.Fatalf("a key with a cap of %s was charged %s", keyCap, all)
	}
}

// wantSpentAlike checks that gate and SQL agree on what each scope has spent, as
// they are and after a load.
func (b *bench) wantSpentAlike(batches ...string) {
	b.t.Helper()
	ctx := b.t.Context()
	scopes := []string{store.KeyScope(b.key, b.clock.Now())}
	for _, id := range batches {
		if !b.get(id).Status.Ended() { // a load forgets it else
			scopes = append(scopes, store.BatchScope(id))
		}
	}
	for range 2 {
		for _, scope := range scopes {
			spent, err := store.Spent(ctx, b.db, org, scope)
			used, usedErr := b.gate.Used(ctx, org, scope)
			if err != nil || usedErr != nil || used != int64(spent) {
				b.t.Errorf("%s: %s in SQL, %d in the gate, %v %v", scope, spent, used, err, usedErr)
			}
		}
		if err := b.books.Load(ctx, org); err != nil {
			b.t.Fatal(err)
		}
	}
}

// One credit is left for 200 workers that run a round of the same batch at the
// same time, again and again. Nobody pauses it while the credit is held, the
// credit is used, it pauses once, and after a top-up it is resumed once.
func TestLastCreditOfManyWorkers(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		const workers = 200
		b := newBenchSharing(t, rdb, db, lookup.Credit, 500)
		id := b.batch(1, append(rows("miss", 0, workers/2), rows("hit", 500, workers/2)...)...).ID
		for charged := lookup.Credit; charged <= 2*lookup.Credit; charged += lookup.Credit {
			for all := 0; b.get(id).Status != store.Paused; all++ {
				if all == 2*workers {
					t.Fatalf("no end after %d rounds of all workers: %+v", all, b.get(id).Rows)
				}
				var crowd sync.WaitGroup
				for chunk := range int64(workers) {
					crowd.Go(func() { b.round(id, chunk) })
				}
				crowd.Wait()
			}
			b.wantPaused(id, store.PauseCredits, charged)
			b.wantSound(id)
			if b.grant(lookup.Credit); !b.resume(id) {
				t.Fatal("the batch does not go on after a top-up")
			}
		}
	})
}
