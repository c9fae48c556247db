package books

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// ErrFenced means that the account was loaded again since the credits were
// held: the charge must be rolled back and its credits held anew.
var ErrFenced = errors.New("books: the account has a newer generation than the hold")

// ErrOverdrawn means that SQL has fewer credits than the gate held: the gate must
// be loaded, although it has SQL's generation, and the credits held anew.
var ErrOverdrawn = errors.New("books: the gate held more credits than there are")

// Kinds of closings.
const (
	Charge = "charge" // results were stored, and paid for where anything was found
	Void   = "void"   // nothing was stored
)

// Closing is how a hold was closed. The first closing of a hold stands.
type Closing struct {
	Hold       string // the hold's id
	Org        string
	Kind       string
	Service    lookup.Service
	Generation int64 // in which it was charged
	Price      lookup.Credits
	Units      int64  // charged
	Rows       []byte // bitmap of the rows charged, by row within the chunk
	Scopes     []string
	Slices     []ledger.Slice // of the hold, in burn order
}

// Charged is what the closing charges.
func (c Closing) Charged() lookup.Credits { return lookup.Credits(c.Units) * c.Price }

// Standing is a closing that stands in SQL, as settling needs it.
type Standing struct {
	Kind       string
	Charged    lookup.Credits
	Generation int64
}

// Open begins to close a hold inside tx. If the hold has a closing already, it
// is returned with first = false, and the caller must write nothing and obey it.
func Open(ctx context.Context, tx *store.Tx, c Closing, now time.Time) (standing Standing, first bool, err error) {
	var one int
	err = tx.QueryRowContext(ctx, `INSERT INTO closings (hold, org, kind, service, generation, seq, balance, charged, lines, created_at)
		VALUES (?, ?, ?, ?, ?, 0, 0, 0, '[]', ?) ON CONFLICT (hold) DO NOTHING RETURNING 1`,
		c.Hold, c.Org, c.Kind, c.Service, c.Generation, now.UnixMilli()).Scan(&one)
	if err == nil {
		return Standing{Kind: c.Kind, Generation: c.Generation}, true, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return Standing{}, false, fmt.Errorf("books: open closing: %w", err)
	}
	standing, err = Find(ctx, tx, c.Hold)
	return standing, false, err
}

// Find returns the closing that stands for a hold, or [store.ErrNotFound].
func Find(ctx context.Context, q store.Queryer, hold string) (Standing, error) {
	var s Standing
	err := q.QueryRowContext(ctx, `SELECT kind, charged, generation FROM closings WHERE hold = ?`, hold).Scan(&s.Kind, &s.Charged, &s.Generation)
	if errors.Is(err, sql.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return Standing{}, fmt.Errorf("books: closing: %w", err)
	}
	return s, nil
}

// Post writes the charge of a closing that [Open] began: the account row first,
// which guards what else it writes. Every charge of the organization waits for
// it, so Post must be the last thing a transaction does. If nothing is charged
// it writes nothing. Errors: [ErrFenced], [ErrOverdrawn].
func Post(ctx context.Context, tx *store.Tx, c Closing, now time.Time) error {
	charged := c.Charged()
	if charged == 0 {
		return nil
	}
	lines, err := json.Marshal([][2]int64{{int64(c.Price), c.Units}})
	if err != nil {
		return fmt.Errorf("books: post: %w", err)
	}
	burnt, _ := ledger.Burn(c.Slices, int64(charged))
	if ledger.Sum(burnt) != int64(charged) {
		return fmt.Errorf("books: post %s: the hold's slices do not cover the charge of %s", c.Hold, charged)
	}
	parts, err := json.Marshal(burnt)
	if err != nil {
		return fmt.Errorf("books: post: %w", err)
	}
	var seq, balance int64
	err = tx.QueryRowContext(ctx, `UPDATE accounts SET charged = charged + ?, available = available - ?, seq = seq + 1
		WHERE org = ? AND generation = ? AND available >= ? RETURNING seq, available`, charged, charged, c.Org, c.Generation, charged).Scan(&seq, &balance)
	if errors.Is(err, sql.ErrNoRows) {
		return whyNot(ctx, tx, c)
	}
	if err != nil {
		return fmt.Errorf("books: post: %w", err)
	}
	enough, err := burnLots(ctx, tx, c.Org, burnt)
	if err == nil && !enough {
		return whyNot(ctx, tx, c)
	}
	if err != nil {
		return fmt.Errorf("books: post: %w", err)
	}
	if err := spend(ctx, tx, c); err != nil {
		return fmt.Errorf("books: post: %w", err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE closings SET seq = ?, balance = ?, charged = ?, lines = ?, units = ?, slices = ? WHERE hold = ?`,
		seq, balance, charged, string(lines), c.Rows, string(parts), c.Hold)
	if err != nil {
		return fmt.Errorf("books: post: %w", err)
	}
	return entry(ctx, tx, Entry{
		Org: c.Org, Seq: seq, Debit: customerCredits, Credit: revenue(c.Service),
		Amount: charged, Balance: lookup.Credits(balance), Reference: c.Hold, CreatedAt: now,
	})
}

// spend counts a charge in the closing's scopes.
func spend(ctx context.Context, tx *store.Tx, c Closing) error {
	if len(c.Scopes) == 0 {
		return nil
	}
	var args []any
	for _, scope := range c.Scopes {
		args = append(args, c.Org, scope, c.Charged())
	}
	rows := strings.TrimSuffix(strings.Repeat("(?, ?, ?), ", len(c.Scopes)), ", ")
	_, err := tx.ExecContext(ctx, `INSERT INTO spend (org, scope, charged) VALUES `+rows+
		` ON CONFLICT (org, scope) DO UPDATE SET charged = spend.charged + excluded.charged`, args...)
	return err
}

// whyNot tells a charge that was fenced off from one that cannot be paid.
func whyNot(ctx context.Context, tx *store.Tx, c Closing) error {
	var generation int64
	if err := tx.QueryRowContext(ctx, `SELECT generation FROM accounts WHERE org = ?`, c.Org).Scan(&generation); err != nil {
		return fmt.Errorf("books: post: %w", err)
	}
	if generation == c.Generation {
		return ErrOverdrawn
	}
	return ErrFenced
}
