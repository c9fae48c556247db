package books

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/store"
)

// CloseVoid closes a hold with nothing charged, unless it has a closing already,
// and settles it to whichever stands. A chunk's hold moves its chunk on to the
// next round in the same transaction. also, if not nil, runs in that
// transaction when the void is written.
func (b *Books) CloseVoid(ctx context.Context, org, hold string, also func(tx *store.Tx) error) (Standing, error) {
	now := b.now()
	var standing Standing
	err := b.db.Write(ctx, func(tx *store.Tx) error {
		var first bool
		var err error
		standing, first, err = Open(ctx, tx, Closing{Hold: hold, Org: org, Kind: Void}, now)
		if err != nil || !first {
			return err
		}
		if round, notChunk := store.ParseRound(hold); notChunk == nil {
			if _, err := store.AdvanceRound(ctx, tx, round, 0, time.Time{}); err != nil {
				return err
			}
		}
		if also != nil {
			return also(tx)
		}
		return nil
	})
	if errors.Is(err, store.ErrConflict) {
		// The chunk has left this round, or is gone: nothing of the hold can
		// ever be charged, and a void without a round is all there is to write.
		standing, err = b.voidAlone(ctx, org, hold)
	}
	if err != nil {
		return Standing{}, fmt.Errorf("books: void: %w", err)
	}
	return standing, b.Settle(ctx, org, hold, standing)
}

func (b *Books) voidAlone(ctx context.Context, org, hold string) (standing Standing, err error) {
	err = b.db.Write(ctx, func(tx *store.Tx) error {
		standing, _, err = Open(ctx, tx, Closing{Hold: hold, Org: org, Kind: Void}, b.now())
		return err
	})
	return standing, err
}

// Sweep closes overdue holds, in SQL first, and loads accounts in which the gate
// is behind SQL. It returns how many holds and accounts it repaired.
func (b *Books) Sweep(ctx context.Context) (repaired int, err error) {
	overdue, err := b.gate.Overdue(ctx, 100)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, hold := range overdue {
		if _, err := b.CloseVoid(ctx, hold.Org, hold.ID, nil); err != nil {
			errs = append(errs, err)
			continue
		}
		repaired++
		b.log.InfoContext(ctx, "overdue hold closed", "org", hold.Org, "hold", hold.ID)
	}
	n, err := b.reconcile(ctx)
	return repaired + n, errors.Join(append(errs, err)...)
}

// reconcile loads the accounts that the gate has in an older state than SQL. An
// account the gate does not have is left until somebody needs it.
func (b *Books) reconcile(ctx context.Context) (loaded int, err error) {
	behind, err := b.behind(ctx)
	if err != nil {
		return 0, fmt.Errorf("books: reconcile: %w", err)
	}
	var errs []error
	for _, org := range behind {
		if err := b.Load(ctx, org); err != nil {
			errs = append(errs, err)
			continue
		}
		loaded++
	}
	return loaded, errors.Join(errs...)
}

// behind lists the accounts in which the gate and SQL differ in generation, or
// the gate has not got the newest grant.
func (b *Books) behind(ctx context.Context) ([]string, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT org FROM accounts`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var behind []string
	for rows.Next() {
		var org string
		if err := rows.Scan(&org); err != nil {
			return nil, err
		}
		// The gate first: what SQL learns meanwhile is no difference yet.
		balance, err := b.gate.Balance(ctx, org)
		if err != nil {
			continue // missing: loaded when somebody needs it
		}
		var generation, grants int64
		if err := b.db.QueryRowContext(ctx, `SELECT generation, grants FROM accounts WHERE org = ?`, org).Scan(&generation, &grants); err != nil {
			return nil, err
		}
		if balance.Generation != generation || balance.Grant < grants {
			behind = append(behind, org)
		}
	}
	return behind, rows.Err()
}
