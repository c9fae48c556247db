package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBatchesRunToTheirEnd(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f := newFleet(t, rdb, db)
		f.worker("one")
		f.worker("two")
		var batches []store.Batch
		for i := range 3 {
			org := f.org(fmt.Sprintf("org_%d", i), 1000*lookup.Credit)
			batches = append(batches, f.batch(org, 60), f.batch(org, 7))
		}
		for _, b := range batches {
			f.wantPaid(b)
		}
	})
}

// A batch that was accepted while Redis could not be reached, or whose process
// died before it was started, is found by the sweeper.
func TestSweeperStartsForgottenBatches(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	b := f.batch(f.org("org_a", 100*lookup.Credit), 30)
	if err := f.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.worker("one")
	f.wantPaid(b)
}

// Redis loses everything, again and again, while the batch runs.
func TestFlushesInMidBatch(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f := newFleet(t, rdb, db)
		var calls atomic.Int64
		f.vendor.meanwhile(func() {
			if calls.Add(1)%40 == 0 && calls.Load() < 200 {
				if err := f.rdb.FlushDB(context.Background()).Err(); err != nil {
					t.Error(err)
				}
			}
		})
		f.worker("one")
		f.wantPaid(f.batch(f.org("org_a", 500*lookup.Credit), 150))
	})
}

func TestPausesWithoutCreditsAndResumesByItself(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f := newFleet(t, rdb, db)
		f.worker("one")
		org := f.org("org_a", 12*lookup.Credit)
		b := f.awaitStatus(f.batch(org, 40), store.Paused)
		if b.PauseReason != store.PauseCredits || b.Charged != 12*lookup.Credit {
			t.Errorf("paused for %q with %s charged, want all 12 credits used", b.PauseReason, b.Charged)
		}
		f.grant(org, 100*lookup.Credit)
		f.dispatcher.Wake(t.Context(), org)
		f.wantPaid(b)
	})
}

// The wake-up of a grant is lost; the sweeper notices the credits.
func TestLostWakeUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	f.worker("one")
	org := f.org("org_a", 2*lookup.Credit)
	b := f.awaitStatus(f.batch(org, 10), store.Paused)
	f.grant(org, 100*lookup.Credit)
	f.wantPaid(b)
}

// One organization cannot be swept. The holds of others are released all the same.
func TestOneOrganizationsTroubleHoldsUpNobodysCredits(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	f.batch(f.org("org_a", 100*lookup.Credit), 60)
	f.spoilWindow("org_a")
	other := f.org("org_b", 10*lookup.Credit)
	_, err := f.books.Hold(t.Context(), ledger.HoldRequest{ // and then its process died
		Org: other, ID: store.LookupHold("lkp_1"), Want: 1, Least: 1, Price: int64(lookup.Credit), Life: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.worker("one")
	f.wantSound(other)
}

func TestPauseAndResumeByTheOwner(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	org := f.org("org_a", 100*lookup.Credit)
	started, pause := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.vendor.meanwhile(func() { once.Do(func() { close(started) }); <-pause })
	f.worker("one")
	b := f.batch(org, 80)
	<-started
	if _, err := f.db.PauseBatch(t.Context(), org, b.ID, b.CreatedAt); err != nil {
		t.Fatal(err)
	}
	close(pause)
	f.wantSound(org) // what was under way is stored and settled
	paused := f.awaitStatus(b, store.Paused)
	if paused.Rows.Asked == 0 || paused.Rows.Asked == 80 {
		t.Errorf("%d of 80 rows asked when paused", paused.Rows.Asked)
	}
	resumed, err := f.db.ResumeBatch(t.Context(), org, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	f.dispatcher.Start(t.Context(), resumed)
	f.wantPaid(b)
}

// A worker dies in the middle of a chunk. Others take the chunk over.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f := newFleet(t, rdb, db)
		b := f.batch(f.org("org_a", 100*lookup.Credit), 20)
		f.dies("dead", 1, b)
		f.worker("one")
		f.wantPaid(b)
		f.wantDeath(b)
	})
}

// A task is taken off its queue, and the answer is lost on its way to the worker.
func TestTaskThatNobodyGot(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f := newFleet(t, rdb, db)
		b := f.batch(f.org("org_a", 100*lookup.Credit), 20)
		var lost atomic.Bool
		rdb.AddHook(lossy{lose: func(cmd redis.Cmder) bool {
			text := fmt.Sprint(cmd.Args()...)
			return strings.Contains(text, "asynq:{express}:pending") && strings.Contains(text, ":lease") && !lost.Swap(true)
		}})
		began := time.Now()
		f.worker("one")
		f.wantPaid(b)
		if took := time.Since(began); !lost.Load() || took > 25*time.Second {
			t.Errorf("lost %t, completed after %s", lost.Load(), took)
		}
	})
}

// Two workers die, and what one of them ran cannot be rescued.
func TestTakeOverOfTheOthers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	lost, b := f.batch(f.org("org_a", 100*lookup.Credit), 60), f.batch(f.org("org_b", 100*lookup.Credit), 20)
	f.dies("first", 1, lost)
	f.dies("second", 2, b)
	f.breakBooks("org_a")
	f.worker("one")
	f.wantPaid(b)
	f.wantDeath(b)
}

// dies lets a worker take a batch's first chunk off its queue, say so, and be
// silent since some seconds after 1970 began.
func (f *fleet) dies(worker string, since float64, b store.Batch) {
	f.t.Helper()
	round := store.Round{Batch: b.ID}.String()
	err := errors.Join(asynq.NewInspectorFromRedisClient(f.rdb).DeleteTask(tasks.Express, round),
		f.rdb.HSet(f.t.Context(), "magpie:running", round, worker).Err(),
		f.rdb.ZAdd(f.t.Context(), "magpie:workers", redis.Z{Member: worker, Score: since}).Err())
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) wantDeath(b store.Batch) {
	f.t.Helper()
	chunk, err := store.GetChunk(f.t.Context(), f.db, b.ID, 0)
	if err != nil || chunk.Deaths != 1 || chunk.Round < 2 {
		f.t.Errorf("chunk 0 ended in round %d after %d deaths, %v; want a voided round and one death", chunk.Round, chunk.Deaths, err)
	}
}

// breakBooks makes an account one that no gate loads, and lets the gate lose it.
func (f *fleet) breakBooks(org string) {
	f.t.Helper()
	err := f.db.Write(f.t.Context(), func(tx *store.Tx) error {
		_, err := tx.ExecContext(f.t.Context(), `UPDATE lots SET remaining = remaining + 1 WHERE org = ?`, org)
		return err
	})
	keys, keysErr := f.rdb.Keys(f.t.Context(), "*:account:"+org).Result()
	if err := errors.Join(err, keysErr); err != nil {
		f.t.Fatal(err)
	}
	if err := f.rdb.Del(f.t.Context(), keys...).Err(); err != nil {
		f.t.Fatal(err)
	}
}

// spoilWindow makes the window of an organization unreadable.
func (f *fleet) spoilWindow(org string) {
	f.t.Helper()
	key := "{magpie:window:" + org + ":" + string(lookup.EmailFinder) + "}:state"
	if err := errors.Join(f.rdb.Del(f.t.Context(), key).Err(), f.rdb.Set(f.t.Context(), key, "x", 0).Err()); err != nil {
		f.t.Fatal(err)
	}
}

// A worker that is told to stop and waits for a slow vendor is alive: its chunk
// is not given to others, and nothing is asked twice.
func TestStoppingWorkerIsAlive(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.vendor.meanwhile(func() { once.Do(func() { close(asked) }); <-answer })
	slow := f.worker("slow")
	b := f.batch(f.org("org_a", 100*lookup.Credit), 5)
	<-asked
	other := f.worker("other")
	stopped := make(chan struct{})
	go func() { slow.Stop(); close(stopped) }()
	f.await("the other worker steady for longer than a silence", func() bool { return other.Steady() > 2*time.Second })
	close(answer)
	<-stopped
	f.wantPaid(b)
	if calls := f.vendor.calls.Load(); calls != 5 {
		t.Errorf("the vendor was asked %d times for 5 people", calls)
	}
}

// Each answer of finish is lost once: the work is done, its caller learns
// nothing, and Asynq runs the round again.
func TestLostAnswersOfTheWindow(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f := newFleet(t, rdb, db)
		var seen sync.Map
		rdb.AddHook(lossy{lose: func(cmd redis.Cmder) bool {
			text := fmt.Sprint(cmd.Args()...)
			if !strings.Contains(text, ":inflight") || !strings.Contains(text, "done") && !strings.Contains(text, "again") {
				return false
			}
			_, again := seen.LoadOrStore(text, true)
			return !again
		}})
		f.worker("one")
		f.wantPaid(f.batch(f.org("org_a", 100*lookup.Credit), 40))
	})
}

// Asynq v0.26 repeats a failed Done with a cancelled context. With the hook the
// repeat succeeds and nothing stays active.
func TestLostDoneIsRepeated(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f := newFleet(t, rdb, db)
		var failed atomic.Bool
		// Done is the script that is given the active list and the processed
		// counter of a queue.
		rdb.AddHook(refuse(func(cmd redis.Cmder) bool {
			text := fmt.Sprint(cmd.Args()...)
			return strings.Contains(text, ":active") && strings.Contains(text, ":processed:") && failed.CompareAndSwap(false, true)
		}))
		f.worker("one")
		f.wantPaid(f.batch(f.org("org_a", 100*lookup.Credit), 20))
		f.await("a Done that fails", failed.Load)
		inspector := asynq.NewInspectorFromRedisClient(f.rdb)
		f.await("no task active", func() bool {
			for _, queue := range []string{tasks.Express, tasks.Bulk} {
				info, err := inspector.GetQueueInfo(queue)
				if err != nil || info.Active > 0 {
					return false
				}
			}
			return true
		})
	})
}

// refuse fails commands before they are sent.
type refuse func(cmd redis.Cmder) bool

func (r refuse) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r refuse) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if r(cmd) {
			cmd.SetErr(errLost)
			return errLost
		}
		return next(ctx, cmd)
	}
}

func (r refuse) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Payloads refer to rows; they carry nothing that a customer sent.
func TestPayloadsCarryReferencesOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	f.batch(f.org("org_a", 100*lookup.Credit), 40)
	inspector := asynq.NewInspectorFromRedisClient(f.rdb)
	infos, err := inspector.ListPendingTasks(tasks.Bulk)
	if err != nil || len(infos) != windowSize-1 {
		t.Fatalf("%d bulk tasks, %v; want a window of %d less the express one", len(infos), err, windowSize)
	}
	for _, info := range infos {
		if payload := string(info.Payload); strings.Contains(payload, "example.com") || strings.Contains(payload, "last_name") {
			t.Errorf("payload %s", payload)
		}
	}
}
