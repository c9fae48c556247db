package enrich

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

// Config sets the engine's times and sizes.
type Config struct {
	// ReuseWindow is how long a charged answer answers the same question again,
	// free. Default 30 days.
	ReuseWindow time.Duration
	// HoldLife is after how long a silent hold may be closed by the sweeper. It
	// must outlast RoundTime and the slowest call. Default 5 minutes.
	HoldLife time.Duration
	// RoundTime is after how long a round asks no more rows: what is left goes
	// into the next. Default 20 seconds.
	RoundTime time.Duration
	// RowDeadline is how long rows that no provider can answer are tried: if
	// for so long no row of their chunk was answered, they are failed. Default
	// 10 minutes.
	RowDeadline time.Duration
	// LookupPatience is how long a single lookup tries. Default 25 seconds.
	LookupPatience time.Duration
	// InFlight is how many rows of a chunk are asked at the same time. Default 16.
	InFlight int
	// BatchShare is how much of an organization's balance, available and held, its
	// batches may hold at once, in thousandths, so that single lookups find
	// credits; one unit always. Default 500; 1,000 is all.
	BatchShare int64
}

// WithDefaults fills in what is zero.
func (c Config) WithDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.ReuseWindow, 30 * 24 * time.Hour},
		{&c.HoldLife, 5 * time.Minute},
		{&c.RoundTime, 20 * time.Second},
		{&c.RowDeadline, 10 * time.Minute},
		{&c.LookupPatience, 25 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.InFlight == 0 {
		c.InFlight = 16
	}
	if c.BatchShare == 0 {
		c.BatchShare = 500
	}
	return c
}

// ErrUnavailable means that no provider could answer before the deadline.
// Nothing was charged.
var ErrUnavailable = errors.New("enrich: no provider could answer")

// database is the part of a *store.DB that the engine needs.
type database interface {
	store.Queryer
	Write(ctx context.Context, fn func(tx *store.Tx) error) error
	WriteGrouped(ctx context.Context, w store.Write) error
	Retry(err error) bool
	As(org string) *store.Tenant
	Recall(ctx context.Context, org string, questions []lookup.Question, since store.Since) (store.Known, error)
	PauseForCredits(ctx context.Context, batch string, seenGrant int64, now time.Time) (bool, error)
	PauseAtCap(ctx context.Context, batch string, now time.Time) (bool, error)
}

// waterfalls finds the waterfall of a service. It may be another each time, but
// what was found goes on as it is.
type waterfalls interface {
	For(service lookup.Service) (*providers.Waterfall, bool)
}

// Engine answers questions. It is safe for concurrent use.
type Engine struct {
	cfg        Config
	db         database
	books      *books.Books
	waterfalls waterfalls
	claims     redis.UniversalClient // nil: none
	metrics    *Metrics
	log        *slog.Logger
	now        func() time.Time
}

// New returns an engine that asks the waterfalls and keeps its results in db. A
// nil m counts nothing that anybody sees.
func New(cfg Config, db database, b *books.Books, w waterfalls, m *Metrics, log *slog.Logger, now func() time.Time, options ...Option) *Engine {
	if m == nil {
		m = NewMetrics(nil)
	}
	e := &Engine{cfg: cfg.WithDefaults(), db: db, books: b, waterfalls: w, metrics: m, log: log, now: now}
	for _, option := range options {
		option(e)
	}
	return e
}

// scopes are what a batch's chunks are counted and limited by.
func (e *Engine) scopes(b store.Batch) []ledger.Scope {
	return []ledger.Scope{
		{Name: b.Scope(), Limit: int64(b.MaxCredits)},
		{Name: store.KeyScope(b.Key, e.now()), Limit: int64(b.KeyCap)},
		// One for all batches: two of them could share the whole balance else.
		{Name: "batches", Share: e.cfg.BatchShare, HeldOnly: true},
	}
}
