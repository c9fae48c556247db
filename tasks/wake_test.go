package tasks_test

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

// resumptions is a log that notes which batches were resumed, and when.
type resumptions struct {
	slog.Handler

	mu      sync.Mutex
	batches []string
	at      []time.Time
}

func (r *resumptions) Enabled(context.Context, slog.Level) bool { return true }

func (r *resumptions) Handle(_ context.Context, line slog.Record) error {
	if !strings.HasPrefix(line.Message, "batch resumed") {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	line.Attrs(func(a slog.Attr) bool {
		if a.Key == "batch" {
			r.batches, r.at = append(r.batches, a.Value.String()), append(r.at, line.Time)
		}
		return true
	})
	return nil
}

func (r *resumptions) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.batches)
}

// noting makes a fleet whose resumptions are noted.
func noting(t *testing.T, rdb *redis.Client, db *store.DB) (*fleet, *resumptions) {
	t.Helper()
	f, r := newFleet(t, rdb, db), &resumptions{Handler: slog.DiscardHandler}
	f.dispatcher = tasks.NewDispatcher(f.rdb, db, windowSize, slog.New(r))
	return f, r
}

// paused returns n batches of an organization that have paused, longest-waiting
// first.
func (f *fleet) paused(org string, n, rows int) []store.Batch {
	f.t.Helper()
	var batches []store.Batch
	for range n {
		batches = append(batches, f.batch(org, rows))
	}
	for i, b := range batches {
		batches[i] = f.awaitStatus(b, store.Paused)
	}
	slices.SortFunc(batches, func(a, b store.Batch) int {
		return cmp.Or(a.PausedAt.Compare(b.PausedAt), cmp.Compare(a.ID, b.ID))
	})
	return batches
}

func (f *fleet) charged(org string) (sum lookup.Credits) {
	f.t.Helper()
	list, err := store.ListBatches(f.t.Context(), f.db, store.BatchFilter{Org: org})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, b := range list {
		sum += b.Charged
	}
	return sum
}

// One credit for many batches: the one that has waited longest is resumed, by one
// of the workers, once; it uses the credit and pauses again.
func TestTopUpOfOneCreditResumesOneBatch(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f, resumed := noting(t, rdb, db)
		for _, name := range []string{"one", "two", "three"} {
			f.worker(name)
		}
		org := f.org("org_a", 0)
		batches := f.paused(org, 6, 10)
		var want []string
		for i := range 3 {
			f.grant(org, lookup.Credit)
			f.dispatcher.Wake(t.Context(), org)
			want = append(want, batches[i].ID)
			f.await("the credit used", func() bool { return f.charged(org) == lookup.Credits(i+1)*lookup.Credit })
			f.awaitStatus(batches[i], store.Paused)
			// It is noted after it is done, by when others may have run it.
			f.await("the resumption noted", func() bool { return len(resumed.seen()) > i })
			f.wantSound(org)
		}
		if got := resumed.seen(); !slices.Equal(got, want) {
			t.Errorf("resumed %q, want %q", got, want)
		}
		f.grant(org, 1000*lookup.Credit)
		for _, b := range batches {
			f.awaitStatus(b, store.Completed)
		}
		f.wantSound(org)
	})
}

// A top-up that is enough for all does not start all of them together.
func TestResumptionsAreSpread(t *testing.T) {
	t.Parallel()
	f, resumed := noting(t, testredis.Mini(t), teststore.SQLite(t))
	f.worker("one")
	f.worker("two")
	org := f.org("org_a", 0)
	batches := f.paused(org, 20, 1)
	f.grant(org, 1000*lookup.Credit)
	f.dispatcher.Wake(t.Context(), org)
	var want []string
	for _, b := range batches {
		f.awaitStatus(b, store.Completed)
		want = append(want, b.ID)
	}
	resumed.mu.Lock()
	defer resumed.mu.Unlock()
	if !slices.Equal(resumed.batches, want) {
		t.Errorf("resumed %q\nwant %q, each once, longest-waiting first", resumed.batches, want)
	}
	if took := resumed.at[19].Sub(resumed.at[0]); took < 450*time.Millisecond {
		t.Errorf("all 20 were resumed within %s", took)
	}
}

// A batch at its cap is not resumed by a grant that resumes another, but by a
// raised cap, of which nobody need tell.
func TestCapIsNotMetByAGrant(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f, resumed := noting(t, rdb, db)
		f.worker("one")
		org := f.org("org_a", 5*lookup.Credit)
		capped := f.batch(org, 10)
		f.setCap(capped, 3*lookup.Credit)
		capped = f.awaitStatus(capped, store.Paused)
		if capped.PauseReason != store.PauseCap {
			t.Fatalf("paused for %s", capped.PauseReason)
		}
		poor := f.awaitStatus(f.batch(org, 10), store.Paused)
		if poor.PauseReason != store.PauseCredits {
			t.Fatalf("paused for %s", poor.PauseReason)
		}
		f.grant(org, 100*lookup.Credit)
		f.dispatcher.Wake(t.Context(), org)
		f.awaitStatus(poor, store.Completed)
		if got := resumed.seen(); slices.Contains(got, capped.ID) {
			t.Errorf("a grant resumed %q", got)
		}
		f.setCap(capped, 100*lookup.Credit)
		f.awaitStatus(capped, store.Completed)
		f.wantSound(org)
	})
}

func (f *fleet) setCap(b store.Batch, most lookup.Credits) {
	f.t.Helper()
	if _, err := f.db.ChangeBatch(f.t.Context(), b.Org, b.ID, store.BatchChange{MaxCredits: &most}); err != nil {
		f.t.Fatal(err)
	}
}

// While a batch waits for credits its cap is lowered: it now waits for room, and
// says so; and the other way round.
func TestReasonOfAPauseFollows(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	f.worker("one")
	org := f.org("org_a", 2*lookup.Credit)
	b := f.awaitStatus(f.batch(org, 10), store.Paused)
	reason := func(want string) {
		t.Helper()
		f.await("the pause for "+want, func() bool {
			now, err := store.BatchByID(t.Context(), f.db, b.ID)
			return err == nil && now.Status == store.Paused && now.PauseReason == want
		})
	}
	reason(store.PauseCredits)
	f.setCap(b, lookup.Credit)
	reason(store.PauseCap)
	f.setCap(b, 50*lookup.Credit)
	reason(store.PauseCredits)
}
