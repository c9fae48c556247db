package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

var (
	// ErrNotFound means that there is no such object, or none of that organization.
	ErrNotFound = errors.New("store: not found")
	// ErrUnknownOutcome means that a transaction's COMMIT was sent and its
	// answer was lost: it may or may not have happened.
	ErrUnknownOutcome = errors.New("store: the outcome of a commit is unknown")
	// ErrConflict means that the object is not in a state that allows the change.
	ErrConflict = errors.New("store: conflict")
)

// DB is the SQL database. It is safe for concurrent use.
type DB struct {
	read, write *sql.DB
}

// Queryer is what reads need; a [*DB] and a [*Tx] both have it.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Tx is a transaction that may write.
type Tx struct{ *sql.Tx }

// OpenSQLite opens the database in the file, creating and migrating it as
// needed. Every commit is on disk when it returns.
func OpenSQLite(ctx context.Context, file string) (*DB, error) {
	pragmas := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)",
	}}
	open := func(connections int, options url.Values) (*sql.DB, error) {
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+options.Encode())
		if err != nil {
			return nil, fmt.Errorf("store: open %s: %w", file, err)
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		return db, nil
	}
	read, err := open(4, pragmas)
	if err != nil {
		return nil, err
	}
	// SQLite has one writer at a time: one connection queues them in turn, and
	// taking the lock at the start leaves no upgrade that could deadlock.
	pragmas.Set("_txlock", "immediate")
	write, err := open(1, pragmas)
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	db := &DB{read: read, write: write}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (d *DB) migrate(ctx context.Context) error {
	files, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, d.write, files)
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("store: migrate: %w", err)
	}
	return nil
}

// Close closes the database once running transactions have ended.
func (d *DB) Close() error { return errors.Join(d.write.Close(), d.read.Close()) }

// QueryContext reads outside any transaction.
func (d *DB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.read.QueryContext(ctx, query, args...)
}

// QueryRowContext reads one row outside any transaction.
func (d *DB) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return d.read.QueryRowContext(ctx, query, args...)
}

// Write runs fn in one transaction and commits it if fn returns nil; otherwise
// nothing is written and fn's error is returned. [ErrUnknownOutcome] is the
// only error after which the writes may stand.
func (d *DB) Write(ctx context.Context, fn func(tx *Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	if err := fn(&Tx{tx}); err != nil {
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

// isUnique reports whether err is a violated unique or primary key.
func isUnique(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) &&
		(e.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY)
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
