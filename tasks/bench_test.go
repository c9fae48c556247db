package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

// fleet is workers over one Redis and one database, with everything real but
// the vendor.
type fleet struct {
	t          *testing.T
	rdb        redis.UniversalClient
	db         *store.DB
	books      *books.Books
	dispatcher *tasks.Dispatcher
	vendor     vendor
}

const windowSize = 4

func newFleet(t *testing.T, rdb *redis.Client, db *store.DB) *fleet {
	t.Helper()
	f := &fleet{t: t, rdb: tasks.WithLateScripts(rdb), db: db}
	f.books = books.New(db, ledger.New(rdb), slog.New(slog.DiscardHandler), time.Now)
	f.dispatcher = tasks.NewDispatcher(f.rdb, db, windowSize, slog.New(slog.DiscardHandler))
	return f
}

// worker starts a worker, which the test stops at its end at the latest.
func (f *fleet) worker(name string) *tasks.Runner {
	f.t.Helper()
	return f.workerWith(name, func(*tasks.Config) {})
}

// workerWith starts a worker whose configuration the test changes.
func (f *fleet) workerWith(name string, change func(*tasks.Config)) *tasks.Runner {
	f.t.Helper()
	log := slog.New(slog.DiscardHandler)
	waterfalls := providers.Waterfalls{lookup.EmailFinder: {Providers: []providers.Provider{&f.vendor}}}
	engine := enrich.New(enrich.Config{}, f.db, f.books, waterfalls, nil, log, time.Now)
	cfg := tasks.Config{
		Worker: name, Poll: 10 * time.Millisecond, Sweep: 50 * time.Millisecond, Silence: time.Second, StopTime: 5 * time.Second,
	}
	change(&cfg)
	r := tasks.NewRunner(cfg, f.dispatcher, engine, f.books, time.Now)
	if err := r.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(r.Stop)
	return r
}

// vendor finds everybody.
type vendor struct {
	calls  atomic.Int64
	before atomic.Pointer[func()]
}

func (v *vendor) Name() string               { return "stub" }
func (v *vendor) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }

func (v *vendor) Ask(_ context.Context, q lookup.Query) providers.Answer {
	v.calls.Add(1)
	if before := v.before.Load(); before != nil {
		(*before)()
	}
	return providers.Answer{Outcome: providers.Hit, Result: map[string]any{
		"email": q.Get("last_name") + "@" + q.Get("domain"), "status": "valid",
	}}
}

func (v *vendor) meanwhile(fn func()) { v.before.Store(&fn) }

func (f *fleet) org(id string, credits lookup.Credits) string {
	f.t.Helper()
	if _, err := f.db.CreateOrg(f.t.Context(), id, id, time.Now()); err != nil {
		f.t.Fatal(err)
	}
	if credits > 0 {
		f.grant(id, credits)
	}
	return id
}

func (f *fleet) grant(org string, credits lookup.Credits) {
	f.t.Helper()
	if _, _, err := f.books.Grant(f.t.Context(), books.Grant{Org: org, Source: books.Purchase, Amount: credits}); err != nil {
		f.t.Fatal(err)
	}
}

// batch stores a batch of n people, in chunks of five rows, and starts it.
func (f *fleet) batch(org string, n int) store.Batch {
	f.t.Helper()
	ctx := f.t.Context()
	up, err := f.db.BeginUpload(ctx, store.Batch{
		ID: store.NewID("bat", time.Now()), Org: org, Service: lookup.EmailFinder,
		Price: lookup.Credit, ChunkRows: 5, CreatedAt: time.Now(),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range n {
		fields := lookup.Fields{"first_name": "a", "last_name": fmt.Sprintf("p%d", i), "domain": "example.com"}
		if err := up.Add(ctx, store.InputRow{Object: []byte(`{}`), Fields: fields}); err != nil {
			f.t.Fatal(err)
		}
	}
	b, err := up.Accept(ctx, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	f.dispatcher.Start(ctx, b)
	return b
}

// patience is how long a test waits for something that should happen at once.
const patience = 30 * time.Second

// await waits until the condition holds.
func (f *fleet) await(what string, condition func() bool) {
	f.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			f.t.Fatalf("%s: not within %s", what, patience)
		case <-tick.C:
		}
	}
}

func (f *fleet) awaitStatus(b store.Batch, want store.Status) store.Batch {
	f.t.Helper()
	var got store.Batch
	f.await(fmt.Sprintf("batch %s %s", b.ID, want), func() bool {
		var err error
		if got, err = store.BatchByID(f.t.Context(), f.db, b.ID); err != nil {
			f.t.Fatal(err)
		}
		return got.Status == want
	})
	return got
}

// wantPaid checks that a completed batch found all its rows, paid for once each.
func (f *fleet) wantPaid(b store.Batch) {
	f.t.Helper()
	b = f.awaitStatus(b, store.Completed)
	if b.Rows.Found != b.Rows.Total || b.Charged != lookup.Credits(b.Rows.Total-b.Rows.Reused)*lookup.Credit {
		f.t.Errorf("rows %+v, charged %s", b.Rows, b.Charged)
	}
	f.wantSound(b.Org)
}

// wantSound checks that the books add up and that the gate agrees, once the
// last holds are settled.
func (f *fleet) wantSound(org string) {
	f.t.Helper()
	var sums books.Totals
	f.await("gate equal to SQL", func() bool {
		var err error
		if sums, err = books.Sums(f.t.Context(), f.db, org); err != nil {
			f.t.Fatal(err)
		}
		b, err := f.books.Balance(f.t.Context(), org)
		return err == nil && b.Held == 0 && b.Available == int64(sums.Available)
	})
	for _, d := range sums.Differences() {
		f.t.Error(d)
	}
}

// lossy loses the answers of scripts that a test chooses: they ran, and the
// caller learns nothing.
type lossy struct {
	lose func(cmd redis.Cmder) bool
}

var errLost = errors.New("connection lost")

func (l lossy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && l.lose(cmd) {
			cmd.SetErr(errLost)
			return errLost
		}
		return err
	}
}

func (l lossy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
