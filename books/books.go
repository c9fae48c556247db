package books

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// database is the part of a *store.DB that the books need.
type database interface {
	store.Queryer
	Write(ctx context.Context, fn func(tx *store.Tx) error) error
	As(org string) *store.Tenant
	Snapshot(ctx context.Context, fn func(q store.Queryer) error) error
}

// Books joins the memory in SQL with the gate in Redis. It is safe for
// concurrent use.
type Books struct {
	db      database
	gate    *ledger.Gate
	log     *slog.Logger
	now     func() time.Time
	loads   singleflight.Group
	met     servers
	metrics *Metrics
	watcher Watcher
}

// Option adds what books can do without.
type Option func(*Books)

// WithMetrics counts in m.
func WithMetrics(m *Metrics) Option { return func(b *Books) { b.metrics = m } }

// WithWatcher tells w of accounts that run low.
func WithWatcher(w Watcher) Option { return func(b *Books) { b.watcher = w } }

// New returns the books kept in db for the gate.
func New(db database, gate *ledger.Gate, log *slog.Logger, now func() time.Time, options ...Option) *Books {
	b := &Books{db: db, gate: gate, log: log, now: now, metrics: NewMetrics(nil), watcher: silent{}}
	for _, option := range options {
		option(b)
	}
	return b
}

// change runs one change of an account that has a number or moves lots. Such
// changes of one organization run one after the other, and so do charges: all lock the
// account row first, which guards the lots and whatever else is the account's.
func (b *Books) change(ctx context.Context, org string, fn func(tx *store.Tx, a *account) error) error {
	return b.db.Write(ctx, func(tx *store.Tx) error {
		a := &account{org: org, now: b.now()}
		err := tx.QueryRowContext(ctx, `UPDATE accounts SET grants = grants WHERE org = ? RETURNING grants`, org).Scan(&a.number)
		if errors.Is(err, sql.ErrNoRows) {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		return fn(tx, a)
	})
}

func missing(rows int64) error {
	if rows == 0 {
		return store.ErrNotFound
	}
	return nil
}

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// account is an account during a change: the number that was given last.
type account struct {
	org    string
	number int64
	now    time.Time
}

// next takes the next number.
func (a *account) next() int64 {
	a.number++
	return a.number
}

// moves is what a change adds to an account's totals, in millicredits.
type moves struct {
	granted, charged, expired, revoked, available lookup.Credits
	load                                          bool // holds of now no longer count: the gate must load
}

// post writes the totals, which is the last thing before the entries: it is
// where charges wait. It returns the entry's order and the balance.
func (a *account) post(ctx context.Context, tx *store.Tx, m moves) (seq int64, balance lookup.Credits, err error) {
	load := 0
	if m.load {
		load = 1
	}
	// The level rises as it does in the gate: a tenth above the threshold.
	err = tx.QueryRowContext(ctx, `UPDATE accounts SET grants = ?, seq = seq + 1, generation = generation + ?,
		granted = granted + ?, charged = charged + ?, expired = expired + ?, revoked = revoked + ?, available = available + ?,
		level = CASE WHEN available + ? <= 0 THEN level WHEN (available + ?) * 10 >= threshold * 11 THEN 0 WHEN level > 1 THEN 1 ELSE level END
		WHERE org = ? AND granted + ? <= ? RETURNING seq, available`,
		a.number, load, m.granted, m.charged, m.expired, m.revoked, m.available, m.available, m.available,
		a.org, m.granted, lookup.MaxCredits).Scan(&seq, &balance)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrTooMuch
	}
	return seq, balance, err
}

// ErrTooMuch means that an account would hold more than can be counted exactly.
var ErrTooMuch = errors.New("books: an account can be granted at most " + lookup.MaxCredits.String() + " credits in all")
