package enrich_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBatchIsAnsweredAndCharged(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db, 100*lookup.Credit)
		input := slices.Concat(rows("hit", 0, 7), rows("miss", 7, 5), []store.InputRow{
			{Cells: []string{"bad"}, Error: &lookup.RowError{Code: "missing_field", Detail: "there is no name"}},
			{Cells: []string{"again"}, Fields: person("hit", 2).Fields, DuplicateOf: 2 + 1},
			{Cells: []string{"again"}, Fields: person("miss", 8).Fields, DuplicateOf: 8 + 1},
		})
		id := b.batch(4, input...).ID
		if got := b.drive(id); got.Status != store.Completed || got.FinishedAt.IsZero() {
			t.Errorf("status %s, finished %s", got.Status, got.FinishedAt)
		}
		b.wantOutcome(id, store.RowCounts{Total: 15, Askable: 12, Asked: 12, Found: 8, NotFound: 6, Invalid: 1, Duplicate: 2}, 7*lookup.Credit)
		b.wantSound(id)
	})
}

func TestPaidAnswersAreReused(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	first := b.batch(10, rows("hit", 0, 5)...).ID
	b.drive(first)
	second := b.batch(10, rows("hit", 3, 5)...).ID // two of them again
	b.drive(second)
	b.wantOutcome(second, store.RowCounts{Total: 5, Askable: 5, Asked: 5, Found: 5, Reused: 2}, 3*lookup.Credit)
	if calls := b.vendor.calls(); calls != 8 {
		t.Errorf("the vendor was asked %d times for 8 people", calls)
	}
	b.clock.advance(31 * 24 * time.Hour)
	third := b.batch(10, rows("hit", 0, 1)...).ID
	b.drive(third)
	b.wantOutcome(third, store.RowCounts{Total: 1, Askable: 1, Asked: 1, Found: 1}, lookup.Credit)
	b.wantSound(first, second, third)
}

func TestRepeatedRoundChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	id := b.batch(10, rows("hit", 0, 5)...).ID
	for range 3 {
		ending, err := b.engine.RunRound(t.Context(), store.Round{Batch: id})
		if err != nil || ending.Next != nil {
			t.Fatalf("%+v, %v; want the chunk to be closed", ending, err)
		}
	}
	if calls := b.vendor.calls(); calls != 5 {
		t.Errorf("the vendor was asked %d times for 5 people", calls)
	}
	b.wantSound(id)
}

// The commit's answer is lost, with the commit or without it.
func TestUnknownCommit(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"it happened": loseAnswer, "it did not": loseCommit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
			id := b.batch(10, rows("hit", 0, 5)...).ID
			b.vendor.meanwhile(func(lookup.Query) { b.db.fail(f) })
			ending := b.round(id, 0)
			b.vendor.meanwhile(func(lookup.Query) {})
			if happened := f == loseAnswer; happened != (ending.Next == nil) {
				t.Errorf("the chunk goes on in %v", ending.Next)
			}
			if b.drive(id).Status != store.Completed {
				t.Error("the batch did not complete")
			}
			b.wantOutcome(id, store.RowCounts{Total: 5, Askable: 5, Asked: 5, Found: 5}, 5*lookup.Credit)
			b.wantSound(id)
		})
	}
}

// Redis loses everything while a chunk is with the vendor.
func TestFlushInMidRound(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db, 5*lookup.Credit)
		id := b.batch(10, rows("hit", 0, 5)...).ID
		var once sync.Once
		b.vendor.meanwhile(func(lookup.Query) {
			once.Do(func() {
				if err := rdb.FlushDB(context.Background()).Err(); err != nil {
					t.Error(err)
				}
				// Somebody else needs the account and loads it.
				if _, err := b.books.Balance(context.Background(), org); err != nil {
					t.Error(err)
				}
			})
		})
		b.drive(id)
		b.wantOutcome(id, store.RowCounts{Total: 5, Askable: 5, Asked: 5, Found: 5}, 5*lookup.Credit)
		b.wantSound(id)
	})
}

// After a flush, others take the credits before the round commits: what it
// cannot pay stays open.
func TestFencedRoundDropsWhatItCannotPay(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 5*lookup.Credit)
	slow := b.batch(10, append(rows("hit", 0, 4), rows("miss", 10, 1)...)...).ID
	fast := b.batch(10, rows("hit", 20, 3)...).ID
	var once sync.Once
	b.vendor.meanwhile(func(q lookup.Query) {
		if q.Get("last_name") != "p0" {
			return
		}
		once.Do(func() {
			if err := b.rdb.FlushDB(context.Background()).Err(); err != nil {
				t.Error(err)
			}
			b.drive(fast)
		})
	})
	b.round(slow, 0)
	b.wantOutcome(slow, store.RowCounts{Total: 5, Askable: 5, Asked: 3, Found: 2, NotFound: 1}, 2*lookup.Credit)
	b.wantSound(slow, fast)
}

// The gate says that there is more than SQL has: the round pays what it can, and
// the gate is put right.
func TestGateAboveSQL(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 2*lookup.Credit)
	known, err := b.gate.Balance(t.Context(), org)
	if err == nil {
		err = b.rdb.FlushDB(t.Context()).Err()
	}
	if err == nil {
		_, err = b.gate.Load(t.Context(), ledger.Snapshot{
			Org: org, Generation: known.Generation, Grant: known.Grant, Granted: 9000,
			Lots: []ledger.Lot{{ID: 1, Class: ledger.Paid, Free: 9000}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	id := b.batch(10, rows("hit", 0, 5)...).ID
	if batch := b.drive(id); batch.Status != store.Paused || batch.Charged != 2*lookup.Credit {
		t.Errorf("%s with %s charged, want the two credits used and a pause", batch.Status, batch.Charged)
	}
	if calls := b.vendor.calls(); calls != 5 {
		t.Errorf("the vendor was asked %d times for 5 people", calls)
	}
	b.wantSound(id)
}

// SQL was set back to an older state than the gate's.
func TestGateOfANewerGeneration(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
	for range 3 {
		if err := b.books.Load(t.Context(), org); err != nil {
			t.Fatal(err)
		}
	}
	err := b.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE accounts SET generation = 1 WHERE org = ?`, org)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	id := b.batch(10, rows("hit", 0, 5)...).ID
	b.drive(id)
	b.wantOutcome(id, store.RowCounts{Total: 5, Askable: 5, Asked: 5, Found: 5}, 5*lookup.Credit)
	b.wantSound(id)
}

// Redis is away for a moment just when credits must be held again: what was asked
// is not asked again.
func TestFencedWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	rdb := testredis.Mini(t)
	b := newBench(t, rdb, teststore.SQLite(t), 100*lookup.Credit)
	id := b.batch(10, rows("hit", 0, 3)...).ID
	var gone away
	rdb.AddHook(&gone)
	b.vendor.meanwhile(func(lookup.Query) {
		if err := b.books.Load(context.Background(), org); err != nil {
			t.Error(err)
		}
	})
	b.db.couple = func(w store.Write) error {
		err := b.db.DB.WriteGrouped(context.Background(), w)
		if errors.Is(err, books.ErrFenced) {
			gone.pipelines.Store(1)
		}
		return err
	}
	b.round(id, 0)
	if calls := b.vendor.calls(); calls != 3 {
		t.Errorf("%d calls for 3 rows", calls)
	}
	b.wantOutcome(id, store.RowCounts{Total: 3, Askable: 3, Asked: 3, Found: 3}, 3*lookup.Credit)
	b.wantSound(id)
}

// away lets pipelines end as if the server was not there.
type away struct{ pipelines atomic.Int64 }

func (*away) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*away) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (a *away) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if a.pipelines.Add(-1) < 0 {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(io.EOF)
		}
		return io.EOF
	}
}

// Two workers run the same round at the same time.
func TestSameRoundTwiceAtOnce(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db, 100*lookup.Credit)
		id := b.batch(10, rows("hit", 0, 6)...).ID
		both := make(chan struct{})
		arrivals := make(chan struct{}, 100)
		b.vendor.meanwhile(func(q lookup.Query) {
			if q.Get("last_name") == "p0" {
				arrivals <- struct{}{}
				if len(arrivals) == 2 {
					close(both)
				}
			}
			<-both // nobody commits before both have asked
		})
		var two sync.WaitGroup
		for range 2 {
			two.Go(func() {
				if _, err := b.engine.RunRound(context.Background(), store.Round{Batch: id}); err != nil {
					t.Error(err)
				}
			})
		}
		two.Wait()
		b.wantOutcome(id, store.RowCounts{Total: 6, Askable: 6, Asked: 6, Found: 6}, 6*lookup.Credit)
		b.wantSound(id)
	})
}

// Two runs of a round meet in one transaction. The one that comes second must
// not take the closing for one that charged nothing, although its charge was
// not posted when it looked.
func TestSameRoundTwiceInOneTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	id := b.batch(10, rows("hit", 0, 6)...).ID
	firstIsTold := make(chan struct{})
	b.db.couple = couple(b.db.DB, firstIsTold)
	ended := make(chan error)
	for range 2 {
		go func() {
			_, err := b.engine.RunRound(context.Background(), store.Round{Batch: id})
			ended <- err
		}()
	}
	for _, then := range []func(){func() { close(firstIsTold) }, func() {}} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
		b.wantSound(id) // also while only the second has settled
		then()
	}
	b.wantOutcome(id, store.RowCounts{Total: 6, Askable: 6, Asked: 6, Found: 6}, 6*lookup.Credit)
}

// couple returns a WriteGrouped for two writes, which share a transaction. The
// first is told of its end when firstIsTold is closed.
func couple(db *store.DB, firstIsTold <-chan struct{}) func(w store.Write) error {
	var mu sync.Mutex
	var first *store.Write
	var err error
	return func(w store.Write) error {
		mu.Lock()
		if first == nil {
			first = &w
			mu.Unlock()
			<-firstIsTold
			return err
		}
		defer mu.Unlock()
		ctx := context.Background()
		err = db.Write(ctx, func(tx *store.Tx) error {
			for _, step := range []func(context.Context, *store.Tx) error{first.Rows, w.Rows, first.Counts, w.Counts, first.Last, w.Last} {
				if err := step(ctx, tx); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}
}

// Two batches ask the same questions at the same time, and Redis keeps neither
// from it: the charge is SQL's to decide.
func TestSameQuestionTwiceAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	b.engine = b.newEngine()
	one, two := b.batch(10, rows("hit", 0, 4)...).ID, b.batch(10, rows("hit", 0, 4)...).ID
	both := make(chan struct{})
	arrivals := make(chan struct{}, 100)
	b.vendor.meanwhile(func(q lookup.Query) {
		if q.Get("last_name") == "p0" {
			arrivals <- struct{}{}
			if len(arrivals) == 2 {
				close(both)
			}
		}
		<-both
	})
	var work sync.WaitGroup
	for _, id := range []string{one, two} {
		work.Go(func() {
			if _, err := b.engine.RunRound(context.Background(), store.Round{Batch: id}); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if charged := b.get(one).Charged + b.get(two).Charged; charged != 4*lookup.Credit {
		t.Errorf("four questions cost %s", charged)
	}
	b.wantSound(one, two)
}

func TestOutOfCredits(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		b := newBench(t, rdb, db, 3*lookup.Credit)
		id := b.batch(4, slices.Concat(rows("hit", 0, 2), rows("miss", 2, 3), rows("hit", 5, 5))...).ID
		batch := b.drive(id)
		if batch.Status != store.Paused || batch.PauseReason != store.PauseCredits {
			t.Fatalf("status %s (%s), want paused for credits", batch.Status, batch.PauseReason)
		}
		if batch.Charged != 3*lookup.Credit {
			t.Errorf("charged %s: the last credit was not used", batch.Charged)
		}
		b.wantSound(id)
		b.grant(4 * lookup.Credit)
		if _, err := b.db.ResumeBatch(t.Context(), org, id); err != nil {
			t.Fatal(err)
		}
		if batch := b.drive(id); batch.Status != store.Completed {
			t.Errorf("status %s after the grant", batch.Status)
		}
		b.wantOutcome(id, store.RowCounts{Total: 10, Askable: 10, Asked: 10, Found: 7, NotFound: 3}, 7*lookup.Credit)
		b.wantSound(id)
	})
}

// A grant that arrives between the refusal and the pause is not overlooked.
func TestNoPauseAfterANewerGrant(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), lookup.Credit)
	id := b.batch(10, rows("hit", 0, 2)...).ID
	b.grant(5 * lookup.Credit)
	paused, err := b.db.PauseForCredits(t.Context(), id, 1, b.clock.Now())
	if err != nil || paused {
		t.Errorf("paused %t, %v, although grant 2 came after grant 1", paused, err)
	}
}

// While credits are held that may come back, a batch waits and does not pause.
func TestWaitsForOpenLookups(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 2*lookup.Credit)
	holder, waiter := b.batch(10, rows("miss", 0, 2)...).ID, b.batch(10, rows("hit", 10, 1)...).ID
	var once sync.Once
	b.vendor.meanwhile(func(lookup.Query) {
		once.Do(func() {
			ending := b.round(waiter, 0)
			if ending.Idle || !ending.BatchWaits || ending.Next == nil || ending.After <= 0 {
				t.Errorf("%+v; want the batch to wait for the two credits that are held", ending)
			}
		})
	})
	b.round(holder, 0)
	b.drive(waiter)
	b.wantOutcome(waiter, store.RowCounts{Total: 1, Askable: 1, Asked: 1, Found: 1}, lookup.Credit)
	b.wantSound(holder, waiter)
}

func TestUnanswerableRowsFailAtTheDeadline(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
	id := b.batch(10, append(rows("down", 0, 2), rows("hit", 2, 1)...)...).ID
	if ending := b.round(id, 0); ending.Next == nil || ending.After <= 0 {
		t.Fatalf("%+v; want another round later", ending)
	}
	b.wantOutcome(id, store.RowCounts{Total: 3, Askable: 3, Asked: 1, Found: 1}, lookup.Credit)
	b.clock.advance(time.Hour)
	b.round(id, 0)
	b.wantOutcome(id, store.RowCounts{Total: 3, Askable: 3, Asked: 3, Found: 1, Failed: 2}, lookup.Credit)
	b.wantSound(id)
}

// The time a batch was paused does not count against its rows.
func TestPausedTimeIsNotHeldAgainstRows(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
	id := b.batch(10, rows("down", 0, 2)...).ID
	b.round(id, 0)
	if _, err := b.db.PauseBatch(t.Context(), org, id, b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(24 * time.Hour)
	if _, err := b.db.ResumeBatch(t.Context(), org, id); err != nil {
		t.Fatal(err)
	}
	if ending := b.round(id, 0); ending.Next == nil {
		t.Errorf("%+v; want another try", ending)
	}
	b.wantOutcome(id, store.RowCounts{Total: 2, Askable: 2}, 0)
}

func TestPanicFailsItsRowAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 10*lookup.Credit)
	id := b.batch(10, append(rows("panic", 0, 1), rows("hit", 1, 3)...)...).ID
	b.drive(id)
	b.wantOutcome(id, store.RowCounts{Total: 4, Askable: 4, Asked: 4, Found: 3, Failed: 1}, 3*lookup.Credit)
	err := store.EachResult(t.Context(), b.db, b.get(id), lookup.Failed, func(r store.ResultRow) error {
		if r.Error == nil || !strings.Contains(r.Error.Detail, "err_") {
			t.Errorf("error %+v, want one with a reference", r.Error)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantSound(id)
}

// A worker that is stopping stores what it has and gives the rest back.
func TestStoppingGivesTheRestBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	id := b.batch(50, rows("hit", 0, 50)...).ID
	ctx, stop := context.WithCancel(t.Context())
	b.vendor.meanwhile(func(lookup.Query) { stop() })
	ending, err := b.engine.RunRound(ctx, store.Round{Batch: id})
	if err != nil || ending.Next == nil || ending.Next.Round != 1 {
		t.Fatalf("%+v, %v; want the chunk to go on in round 1", ending, err)
	}
	asked := b.vendor.calls()
	if got := b.get(id).Rows.Asked; got != int64(asked) || asked == 0 || asked == 50 {
		t.Errorf("%d rows stored, %d asked", got, asked)
	}
	b.drive(id)
	if calls := b.vendor.calls(); calls != 50 {
		t.Errorf("the vendor was asked %d times for 50 people", calls)
	}
	b.wantSound(id)
}

func TestCancelledBatchAsksNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit)
	id := b.batch(10, rows("hit", 0, 5)...).ID
	if _, err := b.db.CancelBatch(t.Context(), org, id, b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if ending := b.round(id, 0); !ending.Idle {
		t.Errorf("%+v, want idle", ending)
	}
	if calls := b.vendor.calls(); calls != 0 {
		t.Errorf("%d calls for a cancelled batch", calls)
	}
	b.wantSound(id)
}

// Random faults at random moments, between rounds and in the middle of them: lost
// commits, lost answers, flushes, sweeps, repeated rounds, and clocks, of the
// process and of Redis, that jump an hour forward or back. A failure prints its
// seed. With MAGPIE_SOAK there are many more.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	seeds := 12
	if os.Getenv("MAGPIE_SOAK") != "" {
		seeds = 1000
	}
	for range seeds {
		seed := rand.Uint64()
		t.Run("", func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			rdb, server := testredis.MiniServer(t)
			b := newBench(t, rdb, teststore.SQLite(t), lookup.Credits(random.IntN(15))*lookup.Credit)
			one := b.batch(3, slices.Concat(rows("hit", 0, 8), rows("miss", 8, 4))...).ID
			two := b.batch(4, rows("hit", 4, 8)...).ID // four of them are the same people
			b.vendor.meanwhile(b.disturb(seed, server.SetTime))
			for range 40 {
				b.randomStep(random, one, two)
			}
			b.vendor.meanwhile(func(lookup.Query) {})
			server.SetTime(b.clock.Now())
			b.db.fail()
			b.settleDown(one, two)
			b.wantSound(one, two)
		})
	}
}

// disturb breaks something while the vendor is asked, now and then.
func (b *bench) disturb(seed uint64, setTime func(time.Time)) func(lookup.Query) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	return func(lookup.Query) {
		mu.Lock()
		defer mu.Unlock()
		jump := []time.Duration{time.Hour, -time.Hour, 0}[random.IntN(3)]
		switch random.IntN(20) {
		case 0:
			b.flush()
		case 1:
			b.clock.advance(jump)
		case 2:
			setTime(b.clock.Now().Add(jump))
		case 3:
			_, _ = b.books.Sweep(context.Background()) // the next commits may be lost, its own too
		}
	}
}

func (b *bench) flush() {
	if err := b.rdb.FlushDB(context.Background()).Err(); err != nil {
		b.t.Error(err)
	}
}

// randomStep runs a round of either batch, or breaks something.
func (b *bench) randomStep(random *rand.Rand, one, two string) {
	ctx := b.t.Context()
	switch random.IntN(8) {
	case 0:
		b.flush()
	case 1:
		b.db.fail(fault(random.IntN(3)), fault(random.IntN(3)))
	case 2:
		b.clock.advance(time.Minute)
	default:
		batch := b.get([]string{one, two}[random.IntN(2)])
		if batch.Status == store.Paused {
			b.db.fail()
			b.grant(lookup.Credits(1+random.IntN(3)) * lookup.Credit)
			if _, err := b.db.ResumeBatch(ctx, org, batch.ID); err != nil {
				b.t.Fatal(err)
			}
			return
		}
		chunk := random.Int64N(batch.Chunks)
		state, err := store.GetChunkState(ctx, b.db, batch.ID, chunk)
		if err != nil {
			b.t.Fatal(err)
		}
		// Sometimes a round that is long over.
		round := store.Round{Batch: batch.ID, Chunk: chunk, Round: max(0, state.Round-random.Int64N(2))}
		// An error is what Asynq would try again; later steps do.
		_, _ = b.engine.RunRound(ctx, round)
	}
}

// settleDown lets the batches end, with as many grants as they need.
func (b *bench) settleDown(batches ...string) {
	b.t.Helper()
	// Holds whose settling was lost are the sweeper's, once they are overdue; a
	// load ends them too.
	if err := b.books.Load(b.t.Context(), org); err != nil {
		b.t.Fatal(err)
	}
	for _, id := range batches {
		for range 30 {
			if b.drive(id).Status == store.Completed {
				break
			}
			b.grant(2 * lookup.Credit)
			if _, err := b.db.ResumeBatch(b.t.Context(), org, id); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}
