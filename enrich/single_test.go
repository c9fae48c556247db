package enrich_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

func (b *bench) request(kind string, n int) enrich.Request {
	return enrich.Request{
		ID: store.NewID("lkp", b.clock.Now()), Org: org, Key: "key_test",
		Query: person(kind, n), Price: lookup.Credit,
	}
}

func TestSingleLookup(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]struct {
		outcome lookup.Outcome
		credits lookup.Credits
	}{
		"hit":   {lookup.Found, lookup.Credit},
		"miss":  {lookup.NotFound, 0},
		"panic": {lookup.Failed, 0},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
			r := b.request(kind, 1)
			for range 2 { // the second is a repeat, as after a lost answer
				row, err := b.engine.Lookup(t.Context(), r)
				if err != nil || *row.Outcome != want.outcome || row.Credits != want.credits {
					t.Errorf("%+v, %v; want %s at %s", row, err, want.outcome, want.credits)
				}
			}
			if calls := b.vendor.calls(); calls != 1 {
				t.Errorf("the vendor was asked %d times", calls)
			}
			b.wantSound()
		})
	}
}

// Both doors lead to one room: what a batch paid for, a lookup reuses.
func TestLookupReusesABatchsAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
	b.drive(b.batch(10, rows("hit", 0, 3)...).ID)
	row, err := b.engine.Lookup(t.Context(), b.request("hit", 1))
	if err != nil || !row.Reused || row.Credits != 0 || len(row.Result) == 0 {
		t.Errorf("%+v, %v; want the batch's answer, free", row, err)
	}
	b.wantSound()
}

func TestLookupWithoutCredits(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 0)
	r := b.request("hit", 1)
	_, err := b.engine.Lookup(t.Context(), r)
	refused, ok := errors.AsType[*ledger.InsufficientError](err)
	if !ok || refused.Available != 0 {
		t.Fatalf("%v, want too few credits", err)
	}
	if calls := b.vendor.calls(); calls != 0 {
		t.Errorf("the vendor was asked %d times", calls)
	}
	// The refusal is not recorded: the same request may come again.
	b.grant(lookup.Credit)
	if row, err := b.engine.Lookup(t.Context(), r); err != nil || row.Credits != lookup.Credit {
		t.Errorf("%+v, %v after the grant", row, err)
	}
	b.wantSound()
}

func TestLookupThatNobodyCanAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
	b.vendor.meanwhile(func(lookup.Query) { b.clock.advance(time.Minute) }) // patience ends
	r := b.request("down", 1)
	for range 2 {
		if _, err := b.engine.Lookup(t.Context(), r); !errors.Is(err, enrich.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
	}
	b.wantSound()
}

// The commit happened and its answer was lost; or Redis was down at the end.
func TestLookupWhoseEndIsLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
	b.vendor.meanwhile(func(lookup.Query) { b.db.fail(loseAnswer) })
	row, err := b.engine.Lookup(t.Context(), b.request("hit", 1))
	if err != nil || row.Credits != lookup.Credit {
		t.Errorf("%+v, %v", row, err)
	}
	b.wantSound()
}

// The price rises between a lookup's hold and its repeat: what was held is what
// it costs.
func TestPriceRisesInMidLookup(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
	r := b.request("hit", 1)
	_, err := b.books.Hold(t.Context(), ledger.HoldRequest{ // and then its process died
		Org: org, ID: store.LookupHold(r.ID), Want: 1, Least: 1, Price: int64(lookup.Credit), Life: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Price = 3 * lookup.Credit
	if row, err := b.engine.Lookup(t.Context(), r); err != nil || row.Credits != lookup.Credit {
		t.Errorf("%+v, %v; want it at the price that was held", row, err)
	}
	b.wantSound()
}

// Many at once with too few credits: as many answers as credits, none for free.
func TestLookupsNeverOverspend(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 5*lookup.Credit)
	var crowd sync.WaitGroup
	var mu sync.Mutex
	found, refused := 0, 0
	for n := range 20 {
		crowd.Go(func() {
			row, err := b.engine.Lookup(context.Background(), b.request("hit", n))
			mu.Lock()
			defer mu.Unlock()
			if _, ok := errors.AsType[*ledger.InsufficientError](err); ok {
				refused++
			} else if err != nil || row.Credits != lookup.Credit {
				t.Errorf("%+v, %v", row, err)
			} else {
				found++
			}
		})
	}
	crowd.Wait()
	if found != 5 || refused != 15 {
		t.Errorf("%d found, %d refused with 5 credits for 20", found, refused)
	}
	b.wantSound()
}
