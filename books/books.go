package books

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
}

// Books joins the memory in SQL with the gate in Redis. It is safe for
// concurrent use.
type Books struct {
	db    database
	gate  *ledger.Gate
	log   *slog.Logger
	now   func() time.Time
	loads singleflight.Group
}

// New returns the books kept in db for the gate.
func New(db database, gate *ledger.Gate, log *slog.Logger, now func() time.Time) *Books {
	return &Books{db: db, gate: gate, log: log, now: now}
}

// Sources of a grant.
const (
	Purchase   = "purchase"   // paid for; never expires
	Adjustment = "adjustment" // given by hand; never expires
)

// ErrReference means that a reference was used before for another grant.
var ErrReference = errors.New("books: the reference belongs to another grant")

// Grant is credits that came in.
type Grant struct {
	ID, Org   string
	Number    int64 // consecutive within the organization, from 1
	Source    string
	Amount    lookup.Credits
	Remaining lookup.Credits // of the amount, oldest grants being used first
	Reference string         // the payer's; makes repeating it harmless
	CreatedAt time.Time
}

// Grant records credits and then tells the gate. Repeating a reference returns
// the first grant with repeated = true; with another amount or source it is
// [ErrReference]. An empty reference gets one of its own. If the gate cannot be
// told, the grant stands and the gate learns of it when it loads the account.
func (b *Books) Grant(ctx context.Context, g Grant) (granted Grant, repeated bool, err error) {
	g.ID, g.CreatedAt, g.Remaining = store.NewID("grt", b.now()), b.now().UTC().Truncate(time.Millisecond), g.Amount
	if g.Reference == "" {
		g.Reference = g.ID
	}
	var known Grant
	err = b.db.Write(ctx, func(tx *store.Tx) error {
		seq, balance, err := numberGrant(ctx, tx, &g)
		if err != nil {
			return err
		}
		// The account row is ours now, so whoever sends the same reference at
		// the same time has committed or has not begun.
		known, err = grantByReference(ctx, tx, g.Org, g.Reference)
		if err == nil {
			return errRepeated // undoes the numbering
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return writeGrant(ctx, tx, g, seq, balance)
	})
	if errors.Is(err, errRepeated) {
		if known.Amount != g.Amount || known.Source != g.Source {
			return Grant{}, false, fmt.Errorf("books: grant: %w", ErrReference)
		}
		g, repeated, err = known, true, nil
	}
	if err != nil {
		return Grant{}, false, fmt.Errorf("books: grant: %w", err)
	}
	b.tellGate(ctx, g)
	return g, repeated, nil
}

var errRepeated = errors.New("books: the reference was used before")

func grantByReference(ctx context.Context, tx *store.Tx, org, reference string) (Grant, error) {
	g := Grant{Org: org, Reference: reference}
	var created int64
	err := tx.QueryRowContext(ctx, `SELECT id, number, source, amount, created_at FROM grants WHERE org = ? AND reference = ?`, org, reference).
		Scan(&g.ID, &g.Number, &g.Source, &g.Amount, &created)
	g.CreatedAt, g.Remaining = time.UnixMilli(created).UTC(), g.Amount
	return g, err
}

// numberGrant adds a grant to its account, which gives it its number.
func numberGrant(ctx context.Context, tx *store.Tx, g *Grant) (seq, balance int64, err error) {
	err = tx.QueryRowContext(ctx, `UPDATE accounts SET grants = grants + 1, seq = seq + 1, granted = granted + ?, available = available + ?
		WHERE org = ? AND granted + ? <= ? RETURNING grants, seq, available`, g.Amount, g.Amount, g.Org, g.Amount, lookup.MaxCredits).Scan(&g.Number, &seq, &balance)
	if errors.Is(err, sql.ErrNoRows) {
		err = noAccount(ctx, tx, g.Org)
	}
	return seq, balance, err
}

func writeGrant(ctx context.Context, tx *store.Tx, g Grant, seq, balance int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO grants (org, number, id, source, amount, reference, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		g.Org, g.Number, g.ID, g.Source, g.Amount, g.Reference, g.CreatedAt.UnixMilli())
	if err != nil {
		return err
	}
	from := cash
	if g.Source == Adjustment {
		from = adjustments
	}
	return entry(ctx, tx, Entry{
		Org: g.Org, Seq: seq, Debit: from, Credit: customerCredits,
		Amount: g.Amount, Balance: lookup.Credits(balance), Reference: g.ID,
	}, g.CreatedAt)
}

// ErrTooMuch means that an account would hold more than can be counted exactly.
var ErrTooMuch = errors.New("books: an account can be granted at most " + lookup.MaxCredits.String() + " credits in all")

// noAccount tells an organization that does not exist from one that is full.
func noAccount(ctx context.Context, tx *store.Tx, org string) error {
	var one int
	err := tx.QueryRowContext(ctx, `SELECT 1 FROM accounts WHERE org = ?`, org).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return errors.Join(err, ErrTooMuch)
}

// tellGate applies a recorded grant. A failure costs only time: the sweeper
// sees that the gate's grant number is behind and loads the account.
func (b *Books) tellGate(ctx context.Context, g Grant) {
	err := b.gate.Grant(ctx, g.Org, g.Number, int64(g.Amount))
	if errors.Is(err, ledger.ErrMissing) || errors.Is(err, ledger.ErrGap) {
		err = b.Load(ctx, g.Org)
	}
	if err != nil {
		b.log.WarnContext(ctx, "the gate was not told of a grant; the sweeper will", "org", g.Org, "grant", g.ID, "err", err)
	}
}

// Grants lists an organization's grants, oldest first, with what remains of
// each: charges used the oldest first.
func (b *Books) Grants(ctx context.Context, org string) ([]Grant, error) {
	var used lookup.Credits
	if err := b.db.QueryRowContext(ctx, `SELECT charged FROM accounts WHERE org = ?`, org).Scan(&used); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = store.ErrNotFound
		}
		return nil, fmt.Errorf("books: grants: %w", err)
	}
	rows, err := b.db.QueryContext(ctx, `SELECT id, number, source, amount, reference, created_at FROM grants WHERE org = ? ORDER BY number`, org)
	if err != nil {
		return nil, fmt.Errorf("books: grants: %w", err)
	}
	defer rows.Close()
	var grants []Grant
	for rows.Next() {
		g := Grant{Org: org}
		var created int64
		if err := rows.Scan(&g.ID, &g.Number, &g.Source, &g.Amount, &g.Reference, &created); err != nil {
			return nil, fmt.Errorf("books: grants: %w", err)
		}
		taken := min(used, g.Amount)
		used -= taken
		g.Remaining, g.CreatedAt = g.Amount-taken, time.UnixMilli(created).UTC()
		grants = append(grants, g)
	}
	return grants, rows.Err()
}
