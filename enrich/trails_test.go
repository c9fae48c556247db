package enrich_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/store"
)

// A vendor that takes its time is asked once and then read, whichever process
// runs the rounds. Its job also answers whoever asks the same next.
func TestAsynchronousVendorIsAskedOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, "icypeas", simulator.Vendor{Ready: 10 * time.Second}, providers.Limits{})
	rows, known := l.people(20)
	id := l.ask(rows...).ID
	for range 3 { // ordered, not ready, ready
		if asked := l.get(id).Rows.Asked; asked != 0 {
			t.Errorf("%d rows have an answer before the vendor has one", asked)
		}
		l.round(id, 0)
		l.restart()
		l.clock.advance(5 * time.Second)
	}
	l.wantOutcome(id, store.RowCounts{Total: 20, Askable: 20, Asked: 20, Found: known, NotFound: 20 - known}, lookup.Credits(known)*lookup.Credit)
	l.wantSound(id)
	if s := l.stats(); s.Answers["accepted"] != 20 || s.Answers["pending"] != 20 || s.Calls != 60 {
		t.Errorf("the vendor saw %+v, want 20 questions, read twice each", s)
	}
	l.wantNoTrails()
}

// A single lookup runs out of patience; what it ordered is read by the next.
func TestLookupLeavesItsTicket(t *testing.T) {
	t.Parallel()
	l := newLab(t, "icypeas", simulator.Vendor{Ready: 10 * time.Second}, providers.Limits{})
	q := someone(t, "fault-gzip.test") // which the vendor has, in a compressed answer
	ask := func() (lookup.Row, error) {
		return l.engine.Lookup(t.Context(), enrich.Request{ID: store.NewID("lkp", l.clock.Now()), Org: org, Key: "key_test", Query: q, Price: lookup.Credit})
	}
	if _, err := ask(); !errors.Is(err, enrich.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	l.restart()
	l.clock.advance(11 * time.Second)
	if row, err := ask(); err != nil || *row.Outcome != lookup.Found || row.Credits != lookup.Credit {
		t.Errorf("%+v, %v", row, err)
	}
	if s := l.stats(); s.Answers["accepted"] != 1 || s.Charged != 1 {
		t.Errorf("the vendor saw %+v, want one question", s)
	}
	l.wantSound()
}

// down is a vendor that cannot answer until it is back, with nothing.
type down struct {
	calls atomic.Int64
	back  atomic.Bool
}

func (d *down) Name() string               { return "down" }
func (d *down) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }
func (d *down) Ask(context.Context, lookup.Query) providers.Answer {
	d.calls.Add(1)
	if d.back.Load() {
		return providers.Answer{Outcome: providers.Miss}
	}
	return providers.Answer{Outcome: providers.Transient}
}

// While one vendor is down, rows that another definitely has nothing for wait
// for the one that is down, whatever becomes of the processes: the other is not
// asked again in every round.
func TestMissesAreRememberedWhileAnotherIsDown(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b, second := newBench(t, rdb, db, 100*lookup.Credit), &down{}
		restart := func() {
			w := &providers.Waterfall{Providers: []providers.Provider{b.vendor, second}, Now: b.clock.Now}
			b.engine = enrich.New(enrich.Config{InFlight: 4}, b.db, b.books, providers.Waterfalls{lookup.EmailFinder: w}, nil,
				slog.New(slog.DiscardHandler), b.clock.Now, enrich.WithClaims(rdb))
		}
		restart()
		id := b.batch(10, slices.Concat(rows("miss", 0, 5), rows("hit", 5, 2))...).ID
		for range 3 {
			b.round(id, 0)
			restart()
		}
		if first, calls := b.vendor.calls(), second.calls.Load(); first != 7 || calls != 15 {
			t.Errorf("%d calls to the first vendor and %d to the second, want 7 and 15", first, calls)
		}
		second.back.Store(true)
		b.drive(id)
		b.wantOutcome(id, store.RowCounts{Total: 7, Askable: 7, Asked: 7, Found: 2, NotFound: 5}, 2*lookup.Credit)
		if first := b.vendor.calls(); first != 7 {
			t.Errorf("%d calls to the first vendor, want 7", first)
		}
		b.wantSound(id)
		b.wantNoTrails()
	})
}

func (b *bench) wantNoTrails() {
	b.t.Helper()
	var left int
	if err := b.db.QueryRowContext(b.t.Context(), `SELECT COUNT(*) FROM trails`).Scan(&left); err != nil || left != 0 {
		b.t.Errorf("%d traces of answered questions are left, %v", left, err)
	}
}

// A call that may have been charged, without an answer, is not made again at
// once, whoever asks; after a while it is, once; and then no more.
func TestLostCallsAreNotRepeatedBlindly(t *testing.T) {
	t.Parallel()
	l := newLab(t, "hunter", simulator.Vendor{Slow: 2 * time.Second}, providers.Limits{})
	q := someone(t, "fault-charged-silent.test")
	ask := func() (lookup.Row, error) {
		return l.engine.Lookup(t.Context(), enrich.Request{ID: store.NewID("lkp", l.clock.Now()), Org: org, Key: "key_test", Query: q, Price: lookup.Credit})
	}
	for _, step := range []struct {
		after time.Duration
		calls int
	}{{0, 1}, {time.Second, 1}, {time.Minute, 2}} {
		l.clock.advance(step.after)
		l.restart()
		_, err := ask()
		if calls := l.stats().Calls; calls != step.calls || step.calls == 1 && !errors.Is(err, enrich.ErrUnavailable) {
			t.Errorf("after %s: %d calls, want %d; %v", step.after, calls, step.calls, err)
		}
	}
	l.clock.advance(time.Hour)
	row, err := ask()
	if err != nil || *row.Outcome != lookup.Failed || row.Credits != 0 || l.stats().Calls != 2 {
		t.Errorf("%+v, %v after %d calls; want it to be given up", row, err, l.stats().Calls)
	}
	l.clock.advance(25 * time.Hour) // it is forgotten
	if _, err := ask(); !errors.Is(err, enrich.ErrUnavailable) || l.stats().Calls != 3 {
		t.Errorf("%v after %d calls, want a new try", err, l.stats().Calls)
	}
	l.wantSound()
}
