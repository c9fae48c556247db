package books

import (
	"context"
	"errors"
	"fmt"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// Watcher is told of accounts that run low. SQL remembers what it was told, so
// that each crossing is told once, whatever Redis loses; a process that dies in
// between tells it not at all.
type Watcher interface {
	// Fell means that what an organization has available and held fell below its
	// threshold ([ledger.Low]), or to less than one unit costs ([ledger.Exhausted]).
	// It must not block.
	Fell(ctx context.Context, org string, to ledger.Level)
}

type silent struct{}

func (silent) Fell(context.Context, string, ledger.Level) {}

// fell records that an account fell to a level and tells of each it passed.
func (b *Books) fell(ctx context.Context, org string, to ledger.Level) {
	for level := ledger.Low; level <= to; level++ {
		query := `UPDATE accounts SET level = ? WHERE org = ? AND level < ?`
		if level == ledger.Low {
			query += ` AND threshold > 0`
		}
		var n int64
		err := b.db.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = affected(tx.ExecContext(ctx, query, level, org, level))
			return err
		})
		switch {
		case err != nil: // the sweeper sees the difference
			b.log.WarnContext(ctx, "an account runs low; that is told later", "org", org, "err", err)
			return
		case n > 0:
			b.watcher.Fell(ctx, org, level)
		}
	}
}

// rose records that an account is no longer as low as SQL says.
func (b *Books) rose(ctx context.Context, org string, to ledger.Level) error {
	return b.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE accounts SET level = ? WHERE org = ? AND level > ?`, to, org, to)
		return err
	})
}

// SetThreshold sets below how many credits, available and held, an organization
// is low; 0 for never. Errors: [store.ErrNotFound].
func (b *Books) SetThreshold(ctx context.Context, org string, threshold lookup.Credits) error {
	if threshold < 0 || threshold > lookup.MaxCredits {
		return errors.New("books: threshold: want from 0 to " + lookup.MaxCredits.String() + " credits")
	}
	err := b.db.As(org).Write(ctx, func(tx *store.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `UPDATE accounts SET threshold = ?,
			level = CASE WHEN level = 1 AND available * 10 >= ? * 11 THEN 0 ELSE level END WHERE org = ?`, threshold, int64(threshold), org))
		return errors.Join(err, missing(n))
	})
	if err != nil {
		return fmt.Errorf("books: threshold: %w", err)
	}
	fell, err := b.gate.SetThreshold(ctx, org, int64(threshold))
	b.told(ctx, org, fell, err)
	return nil
}
