package enrich_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// blocked makes the vendor wait. asked is closed with the first question.
func (b *bench) blocked() (asked chan struct{}, release func()) {
	asked, gate := make(chan struct{}), make(chan struct{})
	var first sync.Once
	b.vendor.meanwhile(func(lookup.Query) {
		first.Do(func() { close(asked) })
		<-gate
	})
	return asked, sync.OnceFunc(func() { close(gate) })
}

// Questions are claimed while a vendor is asked, unless asking costs nothing.
func TestLocalProvidersNeedNoClaims(t *testing.T) {
	t.Parallel()
	for local, want := range map[bool]int64{false: 1, true: 0} {
		b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
		b.local = local
		b.engine = b.newEngine(enrich.WithClaims(b.rdb))
		var claims atomic.Int64
		b.vendor.meanwhile(func(lookup.Query) { claims.Store(b.rdb.Exists(context.Background(), "magpie:asking:{"+org+"}").Val()) })
		id := b.batch(10, rows("hit", 0, 1)...).ID
		b.drive(id)
		if b.vendor.calls() != 1 || claims.Load() != want {
			t.Errorf("local %t: %d calls, %d hashes of claims meanwhile, want %d", local, b.vendor.calls(), claims.Load(), want)
		}
		b.wantSound(id)
	}
}

// Two batches and two lookups ask the same at the same time: each question goes
// to the vendor once, whether it has something or not.
func TestOneCallForAll(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db, 100*lookup.Credit)
		input := slices.Concat(rows("hit", 0, 5), rows("miss", 5, 3))
		first, second := b.batch(10, input...).ID, b.batch(10, input...).ID
		asked, release := b.blocked()
		defer release()
		var work sync.WaitGroup
		work.Go(func() { b.round(first, 0) })
		<-asked
		if ending := b.round(second, 0); ending.Next == nil || ending.After <= 0 {
			t.Errorf("%+v; want the second batch to wait", ending)
		}
		if balance, err := b.books.Balance(t.Context(), org); err != nil || balance.Held != 8*int64(lookup.Credit) {
			t.Errorf("%+v, %v; want nothing held for who waits", balance, err)
		}
		for kind, n := range map[string]int{"hit": 0, "miss": 5} {
			work.Go(func() {
				row, err := b.engine.Lookup(context.Background(), b.request(kind, n))
				if err != nil || row.Credits != 0 || (*row.Outcome == lookup.Found) != row.Reused || row.Reused != (kind == "hit") {
					t.Errorf("%s: %+v, %v; want the other's answer, free", kind, row, err)
				}
			})
		}
		release()
		work.Wait()
		b.drive(second)
		b.wantOutcome(first, store.RowCounts{Total: 8, Askable: 8, Asked: 8, Found: 5, NotFound: 3}, 5*lookup.Credit)
		b.wantOutcome(second, store.RowCounts{Total: 8, Askable: 8, Asked: 8, Found: 5, NotFound: 3, Reused: 5}, 0)
		if calls := b.vendor.calls(); calls != 8 {
			t.Errorf("the vendor was asked %d times for 8 people", calls)
		}
		b.wantSound(first, second)
		if n, err := rdb.Exists(t.Context(), "magpie:asking:{"+org+"}").Result(); err != nil {
			t.Error(err)
		} else if n == 1 { // what was told to those who waited ends by itself
			if ttl := rdb.PTTL(t.Context(), "magpie:asking:{"+org+"}").Val(); ttl <= 0 {
				t.Errorf("claims stay for ever: %s", ttl)
			}
		}
	})
}

// A row that waited for a question whose vendors could not answer asks itself.
func TestWhoWaitedAsksIfNothingWasFoundOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	first, second := b.batch(10, rows("down", 0, 1)...).ID, b.batch(10, rows("down", 0, 1)...).ID
	asked, release := b.blocked()
	defer release()
	var work sync.WaitGroup
	work.Go(func() { b.round(first, 0) })
	<-asked
	b.round(second, 0)
	release()
	work.Wait()
	b.round(second, 0)
	if calls := b.vendor.calls(); calls != 2 {
		t.Errorf("%d calls, want one of each batch", calls)
	}
}

// The worker of a chunk is silent and another takes the chunk over: it asks at
// once, although the first still has its claims.
func TestTakeOverDoesNotWaitForTheDead(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	id := b.batch(10, rows("hit", 0, 2)...).ID
	asked, release := b.blocked()
	defer release()
	var work sync.WaitGroup
	work.Go(func() { _, _ = b.engine.RunRound(context.Background(), store.Round{Batch: id}) })
	<-asked
	round := store.Round{Batch: id}
	if _, err := b.books.CloseVoid(t.Context(), org, round.String(), nil); err != nil { // which moves the chunk on
		t.Fatal(err)
	}
	b.vendor.meanwhile(func(lookup.Query) {})
	if ending := b.round(id, 0); ending.Next != nil {
		t.Errorf("%+v, want the chunk to be closed", ending)
	}
	release()
	work.Wait()
	b.wantOutcome(id, store.RowCounts{Total: 2, Askable: 2, Asked: 2, Found: 2}, 2*lookup.Credit)
	b.wantSound(id)
}

// Without a Redis for claims everything is asked and answered.
func TestClaimsNeedNoRedis(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	nowhere := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = nowhere.Close() })
	b.engine = b.newEngine(enrich.WithClaims(nowhere))
	began := time.Now()
	id := b.batch(10, rows("hit", 0, 5)...).ID
	b.drive(id)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	b.wantOutcome(id, store.RowCounts{Total: 5, Askable: 5, Asked: 5, Found: 5}, 5*lookup.Credit)
	if n := b.count("magpie_claims_failed_total"); n != 1 {
		t.Errorf("%g rounds counted that asked without a claim, want 1", n)
	}
	b.wantSound(id)
}

// Many ask the same few questions at random: each is asked and charged once.
func TestManyAskTheSame(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db, 100*lookup.Credit)
		var batches []string
		for range 6 {
			batches = append(batches, b.batch(4, rows("hit", 0, 10)...).ID)
		}
		var work sync.WaitGroup
		var charged atomic.Int64
		for _, id := range batches {
			work.Go(func() { b.drive(id) })
			work.Go(func() {
				row, err := b.engine.Lookup(context.Background(), b.request("hit", 3))
				if err != nil || *row.Outcome != lookup.Found {
					t.Errorf("%+v, %v", row, err)
				}
				charged.Add(int64(row.Credits))
			})
		}
		work.Wait()
		for _, id := range batches {
			charged.Add(int64(b.get(id).Charged))
		}
		if calls := b.vendor.calls(); calls != 10 || charged.Load() != 10*int64(lookup.Credit) {
			t.Errorf("%d calls and %d millicredits for 10 people", calls, charged.Load())
		}
		b.wantSound(batches...)
	})
}
