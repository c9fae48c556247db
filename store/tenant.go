package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/magpie-hq/magpie/lookup"
)

// Whose a connection of PostgreSQL is unless a transaction says otherwise.
const (
	everybody = "*" // Magpie's own: it sees all rows
	nobody    = ""  // it sees none
)

// sayOrg says until the end of the transaction whose it is.
const sayOrg = `SELECT set_config('magpie.org', ?, true)`

// Tenant is the database as one organization may use it. In PostgreSQL a wall
// stands behind the conditions of its queries: the rows of others are not there,
// whatever a query asks for, and cannot be written. It is safe for concurrent use.
type Tenant struct {
	db  *DB
	org string
}

// As returns the database as the organization may use it.
func (d *DB) As(org string) *Tenant {
	if org == everybody {
		org = nobody // no organization is called so; it must not become the system
	}
	behind := *d
	if d.tenants != nil {
		behind.read, behind.write, behind.org = d.tenants, d.tenants, &org
	}
	return &Tenant{db: &behind, org: org}
}

// Read runs fn with what the organization may see. In PostgreSQL that is one
// short transaction, which costs two round trips and a connection: fn must not
// wait for anything else, nor read from the tenant again.
func (t *Tenant) Read(ctx context.Context, fn func(q Queryer) error) error {
	return t.read(ctx, func(d *DB) error { return fn(d) })
}

// Write is [DB.Write] for what the organization may see and change.
func (t *Tenant) Write(ctx context.Context, fn func(tx *Tx) error) error { return t.db.Write(ctx, fn) }

func (t *Tenant) read(ctx context.Context, fn func(d *DB) error) error {
	if t.db.tenants == nil {
		return fn(t.db)
	}
	conn, err := t.enter(ctx)
	if err != nil {
		return fmt.Errorf("store: enter the organization: %w", err)
	}
	defer leave(ctx, conn)
	err = fn(&DB{read: conn, dialect: t.db.dialect})
	if errors.Is(err, driver.ErrBadConn) && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err) // what is not even sent looks like a bad connection
	}
	return err
}

// enter begins a transaction of the organization's. A connection that turns out
// to be dead is replaced, as database/sql does outside of transactions.
func (t *Tenant) enter(ctx context.Context) (*sql.Conn, error) {
	for tries := 1; ; tries++ {
		conn, err := t.db.tenants.Conn(ctx)
		if err != nil {
			return nil, err
		}
		// Both statements in one message, which only the simple protocol allows.
		_, err = conn.ExecContext(ctx, `BEGIN READ ONLY; SELECT set_config('magpie.org', $1, true)`, pgx.QueryExecModeSimpleProtocol, t.org)
		if err == nil {
			return conn, nil
		}
		leave(ctx, conn)
		if tries == 3 || !errors.Is(err, driver.ErrBadConn) || ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// leaveTime bounds the end of a transaction that only read.
const leaveTime = 5 * time.Second

// leave ends the transaction and gives the connection back. What was read is good
// even if that goes wrong: pgx reuses no connection in mid-transaction.
func leave(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	_, _ = conn.ExecContext(ctx, `ROLLBACK`, pgx.QueryExecModeSimpleProtocol)
	_ = conn.Close()
}

// GetBatch returns a batch, or [ErrNotFound].
func (t *Tenant) GetBatch(ctx context.Context, id string) (b Batch, err error) {
	err = t.Read(ctx, func(q Queryer) error {
		b, err = GetBatch(ctx, q, t.org, id)
		return err
	})
	return b, err
}

// ListBatches lists the organization's batches, newest first.
func (t *Tenant) ListBatches(ctx context.Context, f BatchFilter) (list []Batch, err error) {
	f.Org = t.org
	err = t.Read(ctx, func(q Queryer) error {
		list, err = ListBatches(ctx, q, f)
		return err
	})
	return list, err
}

// EachResult is the package's EachResult of one of the organization's batches.
func (t *Tenant) EachResult(ctx context.Context, b Batch, outcome lookup.Outcome, fn func(ResultRow) error) error {
	return EachResult(ctx, t, b, outcome, fn)
}

// PauseBatch is [DB.PauseBatch].
func (t *Tenant) PauseBatch(ctx context.Context, id string, now time.Time) (Batch, error) {
	return t.db.PauseBatch(ctx, t.org, id, now)
}

// ResumeBatch is [DB.ResumeBatch].
func (t *Tenant) ResumeBatch(ctx context.Context, id string) (Batch, error) {
	return t.db.ResumeBatch(ctx, t.org, id)
}

// CancelBatch is [DB.CancelBatch].
func (t *Tenant) CancelBatch(ctx context.Context, id string, now time.Time) (Batch, error) {
	return t.db.CancelBatch(ctx, t.org, id, now)
}

// ChangeBatch is [DB.ChangeBatch].
func (t *Tenant) ChangeBatch(ctx context.Context, id string, c BatchChange) (Batch, error) {
	return t.db.ChangeBatch(ctx, t.org, id, c)
}

// Room is the package's Room of one of the organization's batches.
func (t *Tenant) Room(ctx context.Context, b Batch, now time.Time) (room lookup.Credits, err error) {
	err = t.Read(ctx, func(q Queryer) error {
		room, err = Room(ctx, q, b, now)
		return err
	})
	return room, err
}

// BeginUpload is [DB.BeginUpload] of a batch of the organization's.
func (t *Tenant) BeginUpload(ctx context.Context, b Batch) (*Upload, error) {
	b.Org = t.org
	return t.db.BeginUpload(ctx, b)
}

// DropIntake deletes what is left of an upload that ended before it was whole.
func (t *Tenant) DropIntake(ctx context.Context, id string) error {
	return t.db.dropIntakes(ctx, `id = ? AND org = ?`, id, t.org)
}

// Recall is [DB.Recall] for the organization.
func (t *Tenant) Recall(ctx context.Context, questions []lookup.Question, since Since) (known Known, err error) {
	err = t.read(ctx, func(d *DB) error {
		known, err = d.Recall(ctx, t.org, questions, since)
		return err
	})
	return known, err
}

// GetLookup returns the answer to a single lookup, or [ErrNotFound] if it has
// none yet.
func (t *Tenant) GetLookup(ctx context.Context, id string) (row lookup.Row, err error) {
	err = t.Read(ctx, func(q Queryer) error {
		row, err = GetLookup(ctx, q, t.org, id)
		return err
	})
	return row, err
}

// ClaimKey is [DB.ClaimKey] for the organization.
func (t *Tenant) ClaimKey(ctx context.Context, c Claim, now, stale, expired time.Time) (standing Claim, claimed bool, err error) {
	c.Org = t.org
	return t.db.ClaimKey(ctx, c, now, stale, expired)
}

// RenewKey is [DB.RenewKey] for the organization.
func (t *Tenant) RenewKey(ctx context.Context, c Claim, now time.Time) (Claim, error) {
	c.Org = t.org
	return t.db.RenewKey(ctx, c, now)
}

// FinishKey is [DB.FinishKey] for the organization.
func (t *Tenant) FinishKey(ctx context.Context, c Claim) error {
	c.Org = t.org
	return t.db.FinishKey(ctx, c)
}

// ReleaseKey is [DB.ReleaseKey] for the organization.
func (t *Tenant) ReleaseKey(ctx context.Context, c Claim) error {
	c.Org = t.org
	return t.db.ReleaseKey(ctx, c)
}

// Walled reports whether row-level security holds for us: a superuser of
// PostgreSQL, and a role with BYPASSRLS, is never bound by it. SQLite has none.
func (d *DB) Walled(ctx context.Context) (walled bool, err error) {
	if d.tenants == nil {
		return false, nil
	}
	if err := d.QueryRowContext(ctx, `SELECT row_security_active('batches')`).Scan(&walled); err != nil {
		return false, fmt.Errorf("store: row-level security: %w", err)
	}
	return walled, nil
}
