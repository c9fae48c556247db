package books

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/store"
)

// CloseVoid closes a hold with nothing charged, unless it has a closing already,
// and settles it to whichever stands. A chunk's hold moves its chunk on to the
// next round in the same transaction. also, if not nil, runs in that
// transaction when the void is written.
func (b *Books) CloseVoid(ctx context.Context, org, hold string, also func(tx *store.Tx) error) (Standing, error) {
	now := b.now()
	var standing Standing
	var first bool
	err := b.db.Write(ctx, func(tx *store.Tx) error {
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
		standing, first, err = b.voidAlone(ctx, org, hold)
	}
	if err != nil {
		return Standing{}, fmt.Errorf("books: void: %w", err)
	}
	if first {
		b.metrics.voids.Inc()
	}
	return standing, b.Settle(ctx, org, hold, standing)
}

func (b *Books) voidAlone(ctx context.Context, org, hold string) (standing Standing, first bool, err error) {
	err = b.db.Write(ctx, func(tx *store.Tx) error {
		standing, first, err = Open(ctx, tx, Closing{Hold: hold, Org: org, Kind: Void}, b.now())
		return err
	})
	return standing, first, err
}

// Sweep closes overdue holds, in SQL first, loads accounts in which the gate
// differs from SQL, tells of events that were not told, and posts what has expired. It returns how many holds and
// accounts it repaired.
func (b *Books) Sweep(ctx context.Context) (repaired int, err error) {
	overdue, now, err := b.gate.Overdue(ctx, 100)
	if err != nil {
		return 0, err
	}
	var errs []error
	oldest := time.Duration(0)
	for _, hold := range overdue {
		oldest = max(oldest, time.Duration(now-hold.Since)*time.Millisecond)
		if _, err := b.CloseVoid(ctx, hold.Org, hold.ID, nil); err != nil {
			errs = append(errs, err)
			continue
		}
		repaired++
		b.log.InfoContext(ctx, "overdue hold closed", "org", hold.Org, "hold", hold.ID)
	}
	b.metrics.overdue.Set(oldest.Seconds())
	n, err := b.reconcile(ctx)
	errs = append(errs, err)
	errs = append(errs, b.tellAll(ctx))
	closed, err := b.Expire(ctx)
	b.metrics.expired.Add(float64(closed))
	return repaired + n, errors.Join(append(errs, err)...)
}

// reconcile loads the accounts that the gate has in another state than SQL. An
// account the gate does not have is left until somebody needs it.
func (b *Books) reconcile(ctx context.Context) (loaded int, err error) {
	orgs, err := b.texts(ctx, `SELECT org FROM accounts WHERE grants > 0`)
	if err != nil {
		return 0, fmt.Errorf("books: reconcile: %w", err)
	}
	var errs []error
	for _, org := range orgs {
		behind, err := b.compare(ctx, org)
		if err == nil && behind {
			b.metrics.differences.Inc()
			err = b.loadFor(ctx, org, loadBehind)
			loaded++
		}
		errs = append(errs, err)
	}
	return loaded, errors.Join(errs...)
}

// texts reads rows of one text.
func (b *Books) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := b.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// clockAhead is how far an account's clock may be ahead of ours. It never runs
// back by itself, and lots expire by it.
const clockAhead = 10 * time.Minute

// compare reports whether the gate is in another state than SQL: of another
// generation, with another newest grant, with other charges although nothing is
// held, with a hold that no deadline watches, or with a clock that ran away. Levels and thresholds that differ it puts right.
func (b *Books) compare(ctx context.Context, org string) (behind bool, err error) {
	// The gate first: what SQL learns meanwhile is no difference yet.
	gate, err := b.gate.Balance(ctx, org)
	switch {
	case errors.Is(err, ledger.ErrMissing):
		return false, nil // loaded when somebody needs it
	case errors.Is(err, ledger.ErrCorrupt):
		return true, nil
	case err != nil:
		return false, err
	}
	var generation, grants, charged, threshold int64
	var level ledger.Level
	err = b.db.QueryRowContext(ctx, `SELECT generation, grants, charged, threshold, level FROM accounts WHERE org = ?`, org).
		Scan(&generation, &grants, &charged, &threshold, &level)
	if err != nil {
		return false, err
	}
	if gate.Generation != generation || gate.Grant != grants || gate.Clock > b.now().Add(clockAhead).UnixMilli() {
		return true, nil
	}
	if behind, err := b.strayed(ctx, org, gate, charged); behind || err != nil {
		return behind, err
	}
	if gate.Threshold != threshold {
		fell, err := b.gate.SetThreshold(ctx, org, threshold)
		b.fell(ctx, org, fell)
		return false, err
	}
	if gate.Level > level {
		b.fell(ctx, org, gate.Level)
	}
	if gate.Level < level {
		if err := b.rose(ctx, org, gate.Level); err != nil {
			return false, err
		}
	}
	if gate.Open == 0 {
		return false, nil
	}
	return b.gate.Unwatched(ctx, org)
}

// strayed reports whether the gate captured something else than SQL charged. Only
// an idle account shows that: whatever SQL learned after the gate was read, and
// the gate has not, is still held there, or was captured meanwhile.
func (b *Books) strayed(ctx context.Context, org string, before ledger.Balance, charged int64) (bool, error) {
	if before.Open > 0 || before.Captured == charged {
		return false, nil
	}
	after, err := b.gate.Balance(ctx, org)
	still := after.Open == 0 && after.Captured == before.Captured && after.Grant == before.Grant && after.Generation == before.Generation
	return err == nil && still, err
}
