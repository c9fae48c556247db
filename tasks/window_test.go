package tasks

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// stored returns accepted batches of the given numbers of chunks.
func stored(t *testing.T, db *store.DB, chunks ...int) []store.Batch {
	t.Helper()
	if _, err := db.CreateOrg(t.Context(), "org_a", "A", time.Now()); err != nil {
		t.Fatal(err)
	}
	var batches []store.Batch
	for _, n := range chunks {
		up, err := db.BeginUpload(t.Context(), store.Batch{
			ID: store.NewID("bat", time.Now()), Org: "org_a", Service: lookup.EmailFinder, ChunkRows: 1, CreatedAt: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := up.Add(t.Context(), store.InputRow{Object: []byte(`{}`), Fields: lookup.Fields{}}); err != nil {
				t.Fatal(err)
			}
		}
		b, err := up.Accept(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, b)
	}
	return batches
}

func testWindow(rdb redis.UniversalClient, size int) window {
	return window{rdb: rdb, org: "org_a", service: lookup.EmailFinder, size: size}
}

func names(rounds []store.Round) []string {
	var s []string
	for _, r := range rounds {
		s = append(s, r.String())
	}
	return s
}

func TestSecondFinishGetsNothing(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		db := teststore.SQLite(t)
		b, w := stored(t, db, 5)[0], testWindow(rdb, 2)
		if err := w.admit(t.Context(), db, b); err != nil {
			t.Fatal(err)
		}
		handed, err := w.fill(t.Context())
		if err != nil || len(handed) != 2 {
			t.Fatalf("%v, %v", names(handed), err)
		}
		next := handed[0]
		next.Round++
		ending := enrich.Ending{Next: &next, After: time.Hour}
		if got, err := w.finish(t.Context(), handed[0], ending); err != nil || len(got) != 1 {
			t.Errorf("the first finish hands out %v, %v; want one round", names(got), err)
		}
		// Its answer was lost, and it comes again with another idea of what is next.
		ending.After = 0
		if got, err := w.finish(t.Context(), handed[0], ending); err != nil || len(got) != 0 {
			t.Errorf("the second finish hands out %v, %v; want nothing", names(got), err)
		}
		v, err := w.look(t.Context())
		if err != nil || len(v.inflight) != 2 || len(v.returned) != 1 {
			t.Errorf("%d in flight, %v returned, %v", len(v.inflight), v.returned, err)
		}
		if due, err := rdb.ZScore(t.Context(), w.keys()[3], next.String()).Result(); err != nil || due < float64(v.now.Add(time.Minute).UnixMilli()) {
			t.Errorf("the second finish moved the round that waits forward: %v", err)
		}
	})
}

func TestBatchesTakeTurns(t *testing.T) {
	t.Parallel()
	rdb, db := testredis.Mini(t), teststore.SQLite(t)
	batches, w := stored(t, db, 100, 3), testWindow(rdb, 4)
	for _, b := range batches {
		if err := w.admit(t.Context(), db, b); err != nil {
			t.Fatal(err)
		}
	}
	handed, err := w.fill(t.Context())
	var order []string
	for _, r := range handed {
		order = append(order, r.Batch)
	}
	if want := []string{batches[0].ID, batches[1].ID, batches[0].ID, batches[1].ID}; err != nil || !slices.Equal(order, want) {
		t.Errorf("handed out %v, %v; want the batches in turn", names(handed), err)
	}
}

// A batch that waits for credits lets the others pass.
func TestWaitingBatchIsPassedOver(t *testing.T) {
	t.Parallel()
	rdb, db := testredis.Mini(t), teststore.SQLite(t)
	batches, w := stored(t, db, 10, 10), testWindow(rdb, 2)
	for _, b := range batches {
		if err := w.admit(t.Context(), db, b); err != nil {
			t.Fatal(err)
		}
	}
	handed, err := w.fill(t.Context())
	if err != nil || len(handed) != 2 {
		t.Fatalf("%v, %v", names(handed), err)
	}
	next := handed[0]
	next.Round++
	got, err := w.finish(t.Context(), handed[0], enrich.Ending{Next: &next, After: time.Hour, BatchWaits: true})
	if err != nil || len(got) != 1 || got[0].Batch != batches[1].ID {
		t.Errorf("handed out %v, %v; want a chunk of the other batch", names(got), err)
	}
}

// Random finishes, duplicates, lost messages and repairs: never more outstanding
// than the window, and every chunk finished once.
func TestWindowUnderRandomFinishes(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rdb, db := testredis.Mini(t), teststore.SQLite(t)
	size := 1 + random.IntN(6)
	batches, w := stored(t, db, 1+random.IntN(30), 1+random.IntN(30)), testWindow(rdb, size)
	model := finishes{t: t, random: random, w: w, done: map[string]int{}}
	for _, b := range batches {
		if err := w.admit(t.Context(), db, b); err != nil {
			t.Fatal(err)
		}
	}
	total := int(batches[0].Chunks + batches[1].Chunks)
	for range 2000 {
		if len(model.done) == total {
			return
		}
		model.step()
		v, err := w.look(t.Context())
		if err != nil || len(v.inflight) > size {
			t.Fatalf("%d in flight in a window of %d, %v", len(v.inflight), size, err)
		}
	}
	t.Errorf("%d of %d chunks finished", len(model.done), total)
}

// finishes plays the workers of a window.
type finishes struct {
	t      *testing.T
	random *rand.Rand
	w      window
	out    []store.Round // rounds whose message is with a worker
	over   []store.Round // rounds that were finished
	done   map[string]int
}

func (f *finishes) step() {
	switch f.random.IntN(6) {
	case 0: // the sweeper: hands out, and repeats messages that were lost
		handed, err := f.w.fill(f.t.Context())
		f.take(handed, err)
		v, err := f.w.look(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		f.out = f.out[:0]
		for member := range v.inflight {
			r, err := store.ParseRound(member)
			f.take([]store.Round{r}, err)
		}
	case 1: // a message is lost
		if len(f.out) > 0 {
			f.out = f.out[1:]
		}
	case 2: // a finish comes twice
		if len(f.over) > 0 {
			handed, err := f.w.finish(f.t.Context(), f.over[f.random.IntN(len(f.over))], enrich.Ending{})
			if len(handed) > 0 {
				f.t.Fatalf("a second finish hands out %v", names(handed))
			}
			f.take(nil, err)
		}
	default:
		if len(f.out) > 0 {
			f.finish()
		}
	}
}

func (f *finishes) finish() {
	r := f.out[0]
	f.out = f.out[1:]
	var ending enrich.Ending
	if f.random.IntN(3) == 0 {
		next := r
		next.Round++
		ending.Next = &next
	} else {
		key := r.Batch + string(rune(r.Chunk))
		if f.done[key]++; f.done[key] > 1 {
			f.t.Fatalf("chunk %d is finished twice", r.Chunk)
		}
	}
	f.over = append(f.over, r)
	handed, err := f.w.finish(f.t.Context(), r, ending)
	f.take(handed, err)
}

func (f *finishes) take(handed []store.Round, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	f.out = append(f.out, handed...)
}

// A first chunk that runs for long on the express queue is not put on the bulk
// queue beside it, where its id is free: it would be asked twice. One that was
// lost is.
func TestLongFirstChunkIsNotEnqueuedTwice(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		ctx := t.Context()
		d := NewDispatcher(rdb, db, 2, slog.New(slog.DiscardHandler))
		r := NewRunner(Config{Worker: "one"}, d, nil, nil, time.Now)
		b := stored(t, db, 3)[0]
		if err := d.start(ctx, b); err != nil {
			t.Fatal(err)
		}
		first := store.Round{Batch: b.ID}.String()
		sweep := func(wantExpress, wantBulk int64) {
			t.Helper()
			old := redis.Z{Member: first, Score: float64(time.Now().Add(-time.Minute).UnixMilli())}
			if err := rdb.ZAdd(ctx, testWindow(rdb, 2).keys()[2], old).Err(); err != nil {
				t.Fatal(err)
			}
			if err := r.sweepWindows(ctx); err != nil {
				t.Fatal(err)
			}
			express, bulk := rdb.LLen(ctx, "asynq:{express}:pending").Val(), rdb.LLen(ctx, "asynq:{bulk}:pending").Val()
			if express != wantExpress || bulk != wantBulk {
				t.Errorf("%d express and %d bulk tasks, want %d and %d", express, bulk, wantExpress, wantBulk)
			}
		}
		sweep(1, 1)
		sweep(1, 1)
		if err := asynq.NewInspectorFromRedisClient(rdb).DeleteTask(Express, first); err != nil {
			t.Fatal(err)
		}
		sweep(0, 2)
		sweep(0, 2)
	})
}

// Of several processes one resumes batches of an organization at a time.
func TestOneProcessWakes(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		may := func(org string, pause int) bool {
			t.Helper()
			n, err := wakeScript.Run(t.Context(), rdb, []string{wakingKey}, org, pause).Int()
			if err != nil {
				t.Fatal(err)
			}
			return n == 1
		}
		for i, step := range []struct {
			org   string
			pause int
			want  bool
		}{{"a", 30_000, true}, {"a", 30_000, false}, {"b", 0, true}, {"b", 30_000, true}, {"b", 0, false}} {
			if got := may(step.org, step.pause); got != step.want {
				t.Errorf("step %d: %t", i, got)
			}
		}
		// The clock ran ahead and went back.
		if err := rdb.HSet(t.Context(), wakingKey, "a", "9000000000000").Err(); err != nil {
			t.Fatal(err)
		}
		if !may("a", 0) {
			t.Error("nobody resumes batches until the clock is there again")
		}
	})
}

// A batch that was resumed for the last credit has not held it yet, since every
// worker is busy: no other is resumed for the same credit.
func TestCreditOfAResumedBatchIsLeftToIt(t *testing.T) {
	t.Parallel()
	rdb, db, log := testredis.Mini(t), teststore.SQLite(t), slog.New(slog.DiscardHandler)
	stored(t, db, 1, 1)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE batches SET price = 1000, status = 'paused', pause_reason = ?, paused_at = 1`, store.PauseCredits)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b := books.New(db, ledger.New(rdb), log, time.Now)
	if _, _, err := b.Grant(t.Context(), books.Grant{Org: "org_a", Source: books.Purchase, Amount: lookup.Credit}); err != nil {
		t.Fatal(err)
	}
	r := NewRunner(Config{}, NewDispatcher(rdb, db, 4, log), nil, b, time.Now) // not started: nobody works
	for _, want := range []int{1, 0} {
		waiting, err := store.ListBatches(t.Context(), db, store.BatchFilter{Statuses: []store.Status{store.Paused}})
		if err != nil {
			t.Fatal(err)
		}
		if resumed, err := r.resumeWaiting(t.Context(), waiting); err != nil || resumed != want {
			t.Errorf("%d resumed, %v; want %d", resumed, err, want)
		}
		if err := rdb.Del(t.Context(), wakingKey).Err(); err != nil { // its time has passed
			t.Fatal(err)
		}
	}
}
