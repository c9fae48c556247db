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
		return b.loadFor(ctx, org, loadBehind)
	}
	if cause := loadFor(err); cause != "" {
		return b.loadFor(ctx, org, cause)
	}
	return err
}

// Causes of a load, as a label.
const (
	loadMissing = "missing" // the gate has not got the account, or of an epoch ago
	loadUnknown = "unknown" // the gate has lost a hold that was charged
	loadGap     = "gap"     // a grant cannot be applied in its order
	loadCorrupt = "corrupt" // a key holds what no script wrote
	loadRevoke  = "revoke"  // credits were taken back
	loadBehind  = "behind"  // the gate is in another state than SQL
	loadAsked   = "asked"   // by a commit that SQL could not pay
)

var loadCauses = []string{loadMissing, loadUnknown, loadGap, loadCorrupt, loadRevoke, loadBehind, loadAsked}

// loadFor returns the cause for which an error of the gate needs a load, or "".
func loadFor(err error) string {
	switch {
	case errors.Is(err, ledger.ErrMissing):
		return loadMissing
	case errors.Is(err, ledger.ErrUnknown):
		return loadUnknown
	case errors.Is(err, ledger.ErrGap):
		return loadGap
	case errors.Is(err, ledger.ErrCorrupt):
		return loadCorrupt
	}
	return ""
}

// loadTime bounds a load, which outlives its caller.
const loadTime = 30 * time.Second

// Load puts the account as SQL has it into the gate, under a new generation:
// charges still under way for older holds are fenced off, and held credits are
// free again. Loads of one account at the same time are one.
func (b *Books) Load(ctx context.Context, org string) error { return b.loadFor(ctx, org, loadAsked) }

func (b *Books) loadFor(ctx context.Context, org, cause string) error {
	_, err, _ := b.loads.Do(org, func() (any, error) {
		// Whoever else waits for this load must not lose it to the caller's end.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
		defer cancel()
		return nil, b.load(ctx, org, cause)
	})
	return err
}

func (b *Books) load(ctx context.Context, org, cause string) error {
	s := ledger.Snapshot{Org: org, Scopes: map[string]int64{}}
	// The gate may be ahead, if SQL was set back to an older state.
	known, err := b.gate.Balance(ctx, org)
	if err != nil && loadFor(err) == "" {
		return err
	}
	err = b.db.Write(ctx, func(tx *store.Tx) error {
		// The generation moves in the transaction that reads: a charge is
		// either in these numbers or fenced off by them.
		err := tx.QueryRowContext(ctx, `UPDATE accounts SET generation = CASE WHEN generation > ? THEN generation ELSE ? END + 1 WHERE org = ?
			RETURNING generation, grants, granted, charged, expired, revoked, threshold, level`, known.Generation, known.Generation, org).
			Scan(&s.Generation, &s.Grant, &s.Granted, &s.Captured, &s.Expired, &s.Revoked, &s.Threshold, &s.Level)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT epoch FROM fleet`).Scan(&s.Epoch); err != nil {
			return err
		}
		if s.Lots, err = readLots(ctx, tx, org); err != nil {
			return err
		}
		return readScopes(ctx, tx, org, s.Scopes)
	})
	if err != nil {
		return fmt.Errorf("books: load: %w", err)
	}
	fell, err := b.gate.Load(ctx, s)
	if err != nil {
		return err
	}
	b.metrics.loads.WithLabelValues(cause).Inc()
	b.log.InfoContext(ctx, "account loaded into the gate", "org", org, "generation", s.Generation, "cause", cause)
	b.fell(ctx, org, fell)
	return nil
}

// readScopes reads what was charged to the scopes that may still be charged: all
// but those of batches that have ended, which it does not even look at.
func readScopes(ctx context.Context, tx *store.Tx, org string, into map[string]int64) error {
	rows, err := tx.QueryContext(ctx, `SELECT scope, charged FROM spend WHERE org = ? AND substr(scope, 1, 6) <> 'batch:'
		UNION ALL SELECT 'batch:' || id, COALESCE((SELECT charged FROM spend WHERE org = batches.org AND scope = 'batch:' || batches.id), 0)
			FROM batches WHERE org = ? AND status IN ('intake', 'accepted', 'running', 'paused')`, org, org)
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
	if cause := loadFor(err); cause != "" {
		if err := b.mend(ctx, r.Org, r.ID, cause); err != nil {
			return ledger.Hold{}, err
		}
		held, err = b.gate.Hold(ctx, r)
	}
	if err != nil {
		return ledger.Hold{}, err
	}
	b.fell(ctx, r.Org, held.Fell)
	return held, nil
}

// mend makes the gate have an account that a hold did not find as it should be.
func (b *Books) mend(ctx context.Context, org, hold, cause string) error {
	if cause != loadCorrupt {
		return b.Ensure(ctx, org)
	}
	b.log.ErrorContext(ctx, "a key of the gate is corrupt; the account is loaded anew", "org", org, "hold", hold)
	if err := b.loadFor(ctx, org, cause); err != nil {
		return err
	}
	return b.gate.Forget(ctx, org, hold)
}

// Extend puts off the deadline of a hold by life from now, see
// [ledger.Gate.Extend]. An account that the gate has lost is no error: the hold
// is held again when it is charged.
func (b *Books) Extend(ctx context.Context, org, hold string, life time.Duration) (time.Time, error) {
	deadline, err := b.gate.Extend(ctx, org, hold, life)
	if loadFor(err) != "" {
		return time.Time{}, nil
	}
	return deadline, err
}

// Settle settles a hold to the closing that stands for it. Repeating it changes
// nothing.
func (b *Books) Settle(ctx context.Context, org, hold string, s Standing) error {
	settled, err := b.gate.Settle(ctx, org, hold, int64(s.Charged), s.Generation)
	switch cause := loadFor(err); cause {
	case "":
	case loadCorrupt:
		return b.mend(ctx, org, hold, cause)
	default:
		// Loading counts the charge; the hold is gone with the generation.
		return b.loadFor(ctx, org, cause)
	}
	b.fell(ctx, org, settled.Fell)
	return err
}

// Balance reads an account from the gate, loading it if need be.
func (b *Books) Balance(ctx context.Context, org string) (ledger.Balance, error) {
	balance, err := b.gate.Balance(ctx, org)
	if loadFor(err) == "" {
		return balance, err
	}
	if err := b.Ensure(ctx, org); err != nil {
		return ledger.Balance{}, err
	}
	return b.gate.Balance(ctx, org)
}
