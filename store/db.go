package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

var (
	// ErrNotFound means that there is no such object, or none of that organization.
	ErrNotFound = errors.New("store: not found")
	// ErrUnknownOutcome means that a transaction's COMMIT was sent and its
	// answer was lost: it may or may not have happened.
	ErrUnknownOutcome = errors.New("store: the outcome of a commit is unknown")
	// ErrConflict means that the object is not in a state that allows the change.
	ErrConflict = errors.New("store: conflict")
)

// DB is the SQL database: SQLite, or PostgreSQL. It is safe for concurrent use.
// Queries are written with ? for parameters, whichever it is.
// It sees everything; what an organization may see is behind [DB.As].
type DB struct {
	read    Queryer // the pool for reads, or one transaction of a [Tenant]
	write   *sql.DB
	dialect *dialect
	tenants *sql.DB   // connections that see nothing before they say whose they are; nil in SQLite
	org     *string   // who says so in a [Tenant]; nil for the system
	pools   []*sql.DB // to close
	groups  *groups   // writes that share transactions
}

// dialect is where the databases differ.
type dialect struct {
	bind      func(query string) string // writes parameters as the database wants them
	unique    func(err error) bool      // whether err is a violated unique or primary key
	retry     func(err error) bool      // whether the same transaction may well succeed if it is run again
	forUpdate string                    // keeps a row that was read from changing until the end
	// recall reads question, result, provider and answered_at of answers, and of
	// trails question, nothing, provider, asked_at, ticket, missed, lost, spent
	// and took.
	recall func(ctx context.Context, q Queryer, org string, questions []lookup.Question, answered, asked int64) (*sql.Rows, error)
	// putAnswers writes answers to different questions, in their order. It
	// returns the questions that it left alone because an answer given at or
	// after since stands.
	putAnswers func(ctx context.Context, tx *Tx, org string, answers []Answer, since, at int64) (standing []lookup.Question, err error)
}

// Reader is somewhere to read: a [*DB], or a [*Tenant].
type Reader interface {
	// Read runs fn with something to read from, which is good until fn returns
	// and is held as long: fn must not wait for anybody.
	Read(ctx context.Context, fn func(q Queryer) error) error
}

// Queryer is what reads need; a [*DB] and a [*Tx] both have it.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Tx is a transaction that may write.
type Tx struct {
	tx      *sql.Tx
	dialect *dialect
}

// ExecContext runs a statement.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, t.dialect.bind(query), args...)
}

// QueryContext reads inside the transaction.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, t.dialect.bind(query), args...)
}

// QueryRowContext reads one row inside the transaction.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, t.dialect.bind(query), args...)
}

// Close closes the database once running transactions have ended.
func (d *DB) Close() error {
	var errs []error
	for _, pool := range d.pools {
		errs = append(errs, pool.Close())
	}
	return errors.Join(errs...)
}

// Read runs fn with the database to read from.
func (d *DB) Read(_ context.Context, fn func(q Queryer) error) error { return fn(d) }

// QueryContext reads outside any transaction.
func (d *DB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.read.QueryContext(ctx, d.dialect.bind(query), args...)
}

// QueryRowContext reads one row outside any transaction.
func (d *DB) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return d.read.QueryRowContext(ctx, d.dialect.bind(query), args...)
}

// Write runs fn in one transaction and commits it if fn returns nil; otherwise
// nothing is written and fn's error is returned. [ErrUnknownOutcome] is the
// only error after which the writes may stand.
func (d *DB) Write(ctx context.Context, fn func(tx *Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	if err := d.within(ctx, &Tx{tx, d.dialect}, fn); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			return errors.Join(err, fmt.Errorf("store: roll back: %w", undo))
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return nil
}

// within runs fn in a transaction that has said whose it is.
func (d *DB) within(ctx context.Context, tx *Tx, fn func(tx *Tx) error) error {
	if d.org != nil {
		if _, err := tx.ExecContext(ctx, sayOrg, *d.org); err != nil {
			return fmt.Errorf("store: enter the organization: %w", err)
		}
	}
	return fn(tx)
}

// exec runs a statement that must change exactly want rows; a negative want
// means any number.
func exec(ctx context.Context, tx *Tx, want int64, query string, args ...any) error {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if want >= 0 && n != want {
		return ErrConflict
	}
	return nil
}

// Retry reports whether err, of a transaction that was not committed, may be gone
// if it is run again: the way to the database, a deadlock, a lock not got in time.
func (d *DB) Retry(err error) bool {
	return !errors.Is(err, ErrUnknownOutcome) && (Unreachable(err) || d.dialect.retry(err))
}

// rowsAStatement is how many rows one statement reads or writes; databases
// bound the parameters of a statement.
const rowsAStatement = 500

// values are the parameters of so many rows: (?, ?), (?, ?), ...
func values(rows, columns int) string {
	row := "(" + strings.Repeat("?, ", columns-1) + "?)"
	return strings.Repeat(row+", ", rows-1) + row
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
