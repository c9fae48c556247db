package books

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/store"
)

// Ensure makes the gate have the account, loading it only if it is missing or of
// another generation than SQL's.
func (b *Books) Ensure(ctx context.Context, org string) error {
	balance, err := b.gate.Balance(ctx, org)
	if err == nil {
		var generation int64
		if err := b.db.QueryRowContext(ctx, `SELECT generation FROM accounts WHERE org = ?`, org).Scan(&generation); err != nil {
			return fmt.Errorf("books: ensure: %w", err)
		}
		if balance.Generation == generation {
			return nil
		}
	} else if !errors.Is(err, ledger.ErrMissing) {
		return err
	}
	return b.Load(ctx, org)
}

// loadTime bounds a load, which outlives its caller.
const loadTime = 30 * time.Second

// Load puts the account as SQL has it into the gate, under a new generation:
// charges still under way for older holds are fenced off, and held credits are
// free again. Loads of one account at the same time are one.
func (b *Books) Load(ctx context.Context, org string) error {
	_, err, _ := b.loads.Do(org, func() (any, error) {
		// Whoever else waits for this load must not lose it to the caller's end.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
		defer cancel()
		return nil, b.load(ctx, org)
	})
	return err
}

func (b *Books) load(ctx context.Context, org string) error {
	s := ledger.Snapshot{Org: org, Scopes: map[string]int64{}}
	// The gate may be ahead, if SQL was set back to an older state.
	known, err := b.gate.Balance(ctx, org)
	if err != nil && !errors.Is(err, ledger.ErrMissing) {
		return err
	}
	err = b.db.Write(ctx, func(tx *store.Tx) error {
		// The generation moves in the transaction that reads: a charge is
		// either in these numbers or fenced off by them.
		err := tx.QueryRowContext(ctx, `UPDATE accounts SET generation = CASE WHEN generation > ? THEN generation ELSE ? END + 1 WHERE org = ?
			RETURNING generation, grants, granted, charged, expired, revoked, available`, known.Generation, known.Generation, org).
			Scan(&s.Generation, &s.Grant, &s.Granted, &s.Captured, &s.Expired, &s.Revoked, &s.Available)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		if err != nil {
			return err
		}
		return readScopes(ctx, tx, org, s.Scopes)
	})
	if err != nil {
		return fmt.Errorf("books: load: %w", err)
	}
	b.log.InfoContext(ctx, "account loaded into the gate", "org", org, "generation", s.Generation)
	return b.gate.Load(ctx, s)
}

// readScopes reads what was charged to the scopes that may still be charged: all
// but those of batches that have ended.
func readScopes(ctx context.Context, tx *store.Tx, org string, into map[string]int64) error {
	rows, err := tx.QueryContext(ctx, `SELECT scope, charged FROM spend WHERE org = ? AND (scope NOT LIKE 'batch:%' OR EXISTS (
		SELECT 1 FROM batches WHERE batches.id = substr(spend.scope, 7) AND status NOT IN ('completed', 'cancelled')))`, org)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var scope string
		var charged int64
		if err := rows.Scan(&scope, &charged); err != nil {
			return err
		}
		into[scope] = charged
	}
	return rows.Err()
}

// Hold sets credits aside, loading the account first where the gate lacks it.
// Errors: [ledger.ErrClosed], [*ledger.InsufficientError].
func (b *Books) Hold(ctx context.Context, r ledger.HoldRequest) (ledger.Hold, error) {
	held, err := b.gate.Hold(ctx, r)
	if !errors.Is(err, ledger.ErrMissing) {
		return held, err
	}
	if err := b.Ensure(ctx, r.Org); err != nil {
		return ledger.Hold{}, err
	}
	return b.gate.Hold(ctx, r)
}

// Settle settles a hold to the closing that stands for it. Repeating it changes
// nothing.
func (b *Books) Settle(ctx context.Context, org, hold string, s Standing) error {
	_, err := b.gate.Settle(ctx, org, hold, int64(s.Charged), s.Generation)
	if errors.Is(err, ledger.ErrMissing) || errors.Is(err, ledger.ErrUnknown) {
		// Loading counts the charge; the hold is gone with the generation.
		return b.Load(ctx, org)
	}
	return err
}

// Balance reads an account from the gate, loading it if need be.
func (b *Books) Balance(ctx context.Context, org string) (ledger.Balance, error) {
	balance, err := b.gate.Balance(ctx, org)
	if !errors.Is(err, ledger.ErrMissing) {
		return balance, err
	}
	if err := b.Ensure(ctx, org); err != nil {
		return ledger.Balance{}, err
	}
	return b.gate.Balance(ctx, org)
}
