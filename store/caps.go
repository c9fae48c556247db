package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// BatchScope is the name of a batch in the ledger's scopes.
func BatchScope(id string) string { return "batch:" + id }

// KeyScope is the name of an API key's calendar month, in UTC, in the ledger's
// scopes.
func KeyScope(key string, at time.Time) string {
	return "key:" + key + ":" + at.UTC().Format("2006-01")
}

// Spent returns what was charged to a scope of an organization's.
func Spent(ctx context.Context, q Queryer, org, scope string) (spent lookup.Credits, err error) {
	err = q.QueryRowContext(ctx, `SELECT charged FROM spend WHERE org = ? AND scope = ?`, org, scope).Scan(&spent)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("store: spent: %w", err)
	}
	return spent, nil
}

// Room is how much more a batch may be charged under its own cap and its key's
// for the month: [lookup.MaxCredits] where there is none, 0 where a cap lies
// below what is spent.
func Room(ctx context.Context, q Queryer, b Batch, now time.Time) (lookup.Credits, error) {
	room := lookup.MaxCredits
	if b.MaxCredits > 0 {
		room = b.MaxCredits - b.Charged
	}
	if b.KeyCap > 0 {
		spent, err := Spent(ctx, q, b.Org, KeyScope(b.Key, now))
		if err != nil {
			return 0, err
		}
		room = min(room, b.KeyCap-spent)
	}
	return max(room, 0), nil
}

// PauseForCredits pauses a batch that may run and whose hold was refused, unless
// its organization was granted credits since the refusal saw grant number seen.
// It reports whether the batch was paused.
func (d *DB) PauseForCredits(ctx context.Context, id string, seen int64, now time.Time) (bool, error) {
	return d.pauseIf(ctx, id, now, func(tx *Tx, b Batch, _ lookup.Credits) (bool, error) {
		var grants int64
		err := tx.QueryRowContext(ctx, `SELECT grants FROM accounts WHERE org = ?`, b.Org).Scan(&grants)
		return grants == seen, err
	})
}

// PauseAtCap pauses a batch that may run and that a cap leaves no room for
// another unit. It reports whether the batch was paused: not while what is left
// of the cap is only held, since that may come back.
func (d *DB) PauseAtCap(ctx context.Context, id string, now time.Time) (bool, error) {
	return d.pauseIf(ctx, id, now, func(_ *Tx, b Batch, room lookup.Credits) (bool, error) { return room < b.Price, nil })
}

// pauseIf pauses a batch that may run if it must, given the room under its caps.
// A batch that lacks both is paused at its cap: credits alone would not help it.
func (d *DB) pauseIf(ctx context.Context, id string, now time.Time, must func(tx *Tx, b Batch, room lookup.Credits) (bool, error)) (paused bool, err error) {
	err = d.Write(ctx, func(tx *Tx) error {
		paused = false
		b, err := oneBatch(ctx, tx, `id = ? AND status IN ('accepted', 'running')`+d.dialect.forUpdate, id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		room, err := Room(ctx, tx, b, now)
		if err != nil {
			return err
		}
		if paused, err = must(tx, b, room); err != nil || !paused {
			return err
		}
		return exec(ctx, tx, 1, `UPDATE batches SET status = 'paused', pause_reason = ?, paused_at = ? WHERE id = ?`, b.Lack(room), millis(now), id)
	})
	if err != nil {
		return false, fmt.Errorf("store: pause a batch: %w", err)
	}
	return paused, nil
}

// Lack is why a batch that cannot run is paused, given the room under its caps.
func (b Batch) Lack(room lookup.Credits) string {
	if room < b.Price {
		return PauseCap
	}
	return PauseCredits
}

// Waits reports whether the batch is paused until there are credits or room for
// it, not by its owner.
func (b Batch) Waits() bool {
	return b.Status == Paused && (b.PauseReason == PauseCredits || b.PauseReason == PauseCap)
}

// ResumeWaiting is [DB.ResumeBatch] for a batch that waits for credits or room. One
// that its owner has paused since, or that is at a cap, is left alone. It reports
// whether the batch was resumed.
func (d *DB) ResumeWaiting(ctx context.Context, org, id string, now time.Time) (b Batch, resumed bool, err error) {
	b, err = d.resume(ctx, org, id, func(tx *Tx, b Batch) (bool, error) {
		resumed = false
		if !b.Waits() {
			return false, nil
		}
		room, err := Room(ctx, tx, b, now)
		resumed = err == nil && room >= b.Price
		return resumed, err
	})
	return b, resumed && err == nil, err
}

// ExplainPause changes why a waiting batch is paused: it has got credits, say, and
// is now at its cap. One that has changed since b was read is left alone.
func (d *DB) ExplainPause(ctx context.Context, b Batch, reason string) error {
	err := d.Write(ctx, func(tx *Tx) error {
		return exec(ctx, tx, -1, `UPDATE batches SET pause_reason = ? WHERE id = ? AND status = 'paused' AND pause_reason = ?`, reason, b.ID, b.PauseReason)
	})
	if err != nil {
		return fmt.Errorf("store: explain a pause: %w", err)
	}
	return nil
}

// BatchChange is what to change of a batch; nil leaves a field as it is.
type BatchChange struct {
	Name       *string
	MaxCredits *lookup.Credits // 0 takes the cap away
}

// ChangeBatch changes an organization's batch, also while it runs: a new cap
// holds from the next round on. The cap of an ended one is [ErrConflict].
func (d *DB) ChangeBatch(ctx context.Context, org, id string, c BatchChange) (Batch, error) {
	return d.change(ctx, org, id, func(tx *Tx, b Batch) error {
		if c.MaxCredits != nil && b.Status.Ended() {
			return ErrConflict
		}
		if c.Name != nil {
			b.Name = *c.Name
		}
		if c.MaxCredits != nil {
			b.MaxCredits = *c.MaxCredits
		}
		return exec(ctx, tx, 1, `UPDATE batches SET name = ?, max_credits = ? WHERE id = ?`, b.Name, b.MaxCredits, id)
	})
}
