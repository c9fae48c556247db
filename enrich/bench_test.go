package enrich_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

const org = "org_test"

// bench is an engine with everything real around it but the vendors.
type bench struct {
	t      *testing.T
	rdb    *redis.Client
	db     *flaky
	gate   *ledger.Gate
	books  *books.Books
	engine *enrich.Engine
	counts *prometheus.Registry
	vendor *vendor
	clock  *clock
	key    string // that submits batches
	share  int64  // of the balance that batches may hold, thousandths
	local  bool   // the vendor works inside this process
}

// newBench is a bench where a batch may hold the whole balance.
func newBench(t *testing.T, rdb *redis.Client, db *store.DB, credits lookup.Credits) *bench {
	t.Helper()
	return newBenchSharing(t, rdb, db, credits, 1000)
}

// newBenchSharing is a bench where batches may hold so many thousandths of it.
func newBenchSharing(t *testing.T, rdb *redis.Client, db *store.DB, credits lookup.Credits, share int64) *bench {
	t.Helper()
	b := &bench{t: t, rdb: rdb, db: &flaky{DB: db}, gate: ledger.New(rdb), vendor: newVendor(), key: "key_test", share: share, clock: &clock{now: time.Now()}}
	b.books = books.New(b.db, b.gate, slog.New(slog.DiscardHandler), b.clock.Now)
	b.engine = b.newEngine(enrich.WithClaims(rdb))
	if _, err := db.CreateOrg(t.Context(), org, "Test", b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if credits > 0 {
		b.grant(credits)
	}
	return b
}

// newEngine is an engine whose only vendor is the bench's, with counters of its own.
func (b *bench) newEngine(options ...enrich.Option) *enrich.Engine {
	b.counts = prometheus.NewRegistry()
	waterfalls := providers.Waterfalls{lookup.EmailFinder: {Providers: []providers.Provider{b.vendor}, Local: b.local}}
	return enrich.New(enrich.Config{InFlight: 4, BatchShare: b.share}, b.db, b.books, waterfalls, enrich.NewMetrics(b.counts), slog.New(slog.DiscardHandler), b.clock.Now, options...)
}

func (b *bench) grant(credits lookup.Credits) {
	b.t.Helper()
	if _, _, err := b.books.Grant(b.t.Context(), books.Grant{Org: org, Source: books.Purchase, Amount: credits}); err != nil {
		b.t.Fatal(err)
	}
}

// clock is moved by tests.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// flaky is the real database; the next commits may end badly.
type flaky struct {
	*store.DB
	mu     sync.Mutex
	faults []fault
	couple func(w store.Write) error // takes the place of WriteGrouped
}

type fault int

const (
	fine       fault = iota
	loseAnswer       // the commit happens, its answer is lost
	loseCommit       // the commit is lost, and so is its answer
)

// fail sets how the next transactions end, in order.
func (f *flaky) fail(faults ...fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

func (f *flaky) next() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.faults) == 0 {
		return fine
	}
	first := f.faults[0]
	f.faults = f.faults[1:]
	return first
}

var errUndo = errors.New("undo")

func (f *flaky) Write(ctx context.Context, fn func(tx *store.Tx) error) error {
	return f.end(func(undo bool) error {
		return f.DB.Write(ctx, func(tx *store.Tx) error {
			if err := fn(tx); err != nil || !undo {
				return err
			}
			return errUndo
		})
	})
}

func (f *flaky) WriteGrouped(ctx context.Context, w store.Write) error {
	if f.couple != nil {
		return f.couple(w)
	}
	return f.end(func(undo bool) error {
		last := w.Last
		w.Last = func(ctx context.Context, tx *store.Tx) error {
			if err := last(ctx, tx); err != nil || !undo {
				return err
			}
			return errUndo
		}
		return f.DB.WriteGrouped(ctx, w)
	})
}

// end runs a transaction, or one that is undone, and lets it end as is due.
func (f *flaky) end(run func(undo bool) error) error {
	switch f.next() {
	case loseAnswer:
		if err := run(false); err != nil {
			return err
		}
		return store.ErrUnknownOutcome
	case loseCommit:
		if err := run(true); !errors.Is(err, errUndo) {
			return err
		}
		return store.ErrUnknownOutcome
	}
	return run(false)
}

// vendor answers by the person's first name: "hit…", "miss…", "down…", "panic…".
type vendor struct {
	mu     sync.Mutex
	asked  map[lookup.Question]int
	before func(q lookup.Query) // called before each answer
}

func newVendor() *vendor {
	return &vendor{asked: map[lookup.Question]int{}, before: func(lookup.Query) {}}
}

func (v *vendor) Name() string               { return "stub" }
func (v *vendor) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }

func (v *vendor) Ask(_ context.Context, q lookup.Query) providers.Answer {
	v.mu.Lock()
	v.asked[q.Question()]++
	before := v.before
	v.mu.Unlock()
	before(q)
	switch q.Get("first_name") {
	case "miss":
		return providers.Answer{Outcome: providers.Miss}
	case "down":
		return providers.Answer{Outcome: providers.Transient, Reason: "down"}
	case "panic":
		panic("the vendor's adapter broke")
	}
	return providers.Answer{Outcome: providers.Hit, Result: map[string]any{
		"email": q.Get("last_name") + "@" + q.Get("domain"), "status": "valid", "domain": q.Get("domain"),
	}}
}

// calls is how often the vendor was asked in all.
func (v *vendor) calls() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, times := range v.asked {
		n += times
	}
	return n
}

func (v *vendor) meanwhile(fn func(q lookup.Query)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.before = fn
}

// person is the question about somebody; kind decides the vendor's answer.
func person(kind string, n int) lookup.Query {
	q, err := lookup.Normalise(lookup.EmailFinder, map[string]string{
		"first_name": kind, "last_name": fmt.Sprintf("p%d", n), "domain": "example.com",
	}, lookup.Options{})
	if err != nil {
		panic(err)
	}
	return q
}

// rows are n rows about different people, numbered from first.
func rows(kind string, first, n int) []store.InputRow {
	input := make([]store.InputRow, n)
	for i := range input {
		input[i] = store.InputRow{Cells: []string{"x"}, Fields: person(kind, first+i).Fields}
	}
	return input
}

// batch stores an accepted batch of the rows at one credit each.
func (b *bench) batch(chunkRows int64, input ...store.InputRow) store.Batch {
	b.t.Helper()
	return b.capped(0, chunkRows, input...)
}

// capped is batch with a cap.
func (b *bench) capped(most lookup.Credits, chunkRows int64, input ...store.InputRow) store.Batch {
	b.t.Helper()
	up, err := b.db.BeginUpload(b.t.Context(), store.Batch{
		ID: store.NewID("bat", b.clock.Now()), Org: org, Key: b.key, Service: lookup.EmailFinder,
		Price: lookup.Credit, ChunkRows: chunkRows, Columns: []string{"given"}, MaxCredits: most, CreatedAt: b.clock.Now(),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range input {
		if err := up.Add(b.t.Context(), row); err != nil {
			b.t.Fatal(err)
		}
	}
	batch, err := up.Accept(b.t.Context(), b.clock.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return batch
}

func (b *bench) get(id string) store.Batch {
	b.t.Helper()
	batch, err := store.BatchByID(b.t.Context(), b.db, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return batch
}

// round runs the chunk in the round it is in.
func (b *bench) round(batch string, chunk int64) enrich.Ending {
	b.t.Helper()
	state, err := store.GetChunkState(b.t.Context(), b.db, batch, chunk)
	if err != nil {
		b.t.Fatal(err)
	}
	ending, err := b.engine.RunRound(b.t.Context(), store.Round{Batch: batch, Chunk: chunk, Round: state.Round})
	if err != nil {
		b.t.Fatalf("round %d of chunk %d: %v", state.Round, chunk, err)
	}
	return ending
}

// drive runs the chunks of a batch in turn until it ends or pauses.
func (b *bench) drive(id string) store.Batch {
	b.t.Helper()
	for range 100 {
		batch := b.get(id)
		if batch.Status.Ended() || batch.Status == store.Paused {
			return batch
		}
		for chunk := range batch.Chunks {
			b.round(id, chunk)
		}
	}
	b.t.Fatalf("the batch does not come to an end: %+v", b.get(id))
	return store.Batch{}
}

// wantOutcome checks a batch's counts and what it charged.
func (b *bench) wantOutcome(id string, want store.RowCounts, charged lookup.Credits) {
	b.t.Helper()
	got := b.get(id)
	if got.Rows != want || got.Charged != charged {
		b.t.Errorf("rows %+v, charged %s\nwant %+v, charged %s", got.Rows, got.Charged, want, charged)
	}
}

// wantSound checks what must hold when nothing is in flight: the books add up,
// the gate equals SQL, every row found was charged once.
func (b *bench) wantSound(batches ...string) {
	b.t.Helper()
	ctx := b.t.Context()
	sums, err := books.Sums(ctx, b.db, org)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, d := range sums.Differences() {
		b.t.Error(d)
	}
	balance, err := b.books.Balance(ctx, org)
	if err != nil {
		b.t.Fatal(err)
	}
	if balance.Held != 0 || balance.Available != int64(sums.Available) || balance.Captured != int64(sums.Charged) {
		b.t.Errorf("the gate has %+v, SQL has %+v", balance, sums)
	}
	for _, id := range batches {
		b.wantEveryRowOnce(b.get(id))
	}
}

func (b *bench) wantEveryRowOnce(batch store.Batch) {
	b.t.Helper()
	var charged lookup.Credits
	seen := map[int64]bool{}
	err := store.EachResult(b.t.Context(), b.db, batch, "", func(r store.ResultRow) error {
		if seen[*r.Row.Row] {
			b.t.Errorf("row %d is there twice", *r.Row.Row)
		}
		seen[*r.Row.Row] = true
		charged += r.Credits
		if paid := r.Outcome != nil && *r.Outcome == lookup.Found && !r.Reused && r.DuplicateOf == nil; paid != (r.Credits > 0) {
			b.t.Errorf("row %d, %v: charged %s", *r.Row.Row, *r.Outcome, r.Credits)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if charged != batch.Charged {
		b.t.Errorf("the rows of batch %s cost %s, the batch says %s", batch.ID, charged, batch.Charged)
	}
	if batch.Status == store.Completed && int64(len(seen)) != batch.Rows.Total {
		b.t.Errorf("%d of %d rows have an answer", len(seen), batch.Rows.Total)
	}
}
