package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Claim is what is known under an organization's Idempotency-Key.
type Claim struct {
	Org, Key string
	Route    string // method and path of the request
	Object   string // id of what the request creates, the same at every repeat
	BodyHash []byte // nil while a streamed body has not been read
	Status   int    // of the answer; 0 while the first request has none
	Answer   []byte
	// ClaimedAt is when the claim was last made, taken over or renewed. It tells
	// the requests apart that claim the same key for the same object.
	ClaimedAt time.Time
}

// ClaimKey claims an Idempotency-Key for a request. claimed reports whether the
// caller is to do the work: nobody did, or whoever began has been silent since
// stale. Otherwise the claim that stands is returned, finished or not. Claims
// made before expired are forgotten.
func (d *DB) ClaimKey(ctx context.Context, c Claim, now, stale, expired time.Time) (standing Claim, claimed bool, err error) {
	err = d.Write(ctx, func(tx *Tx) error {
		if err := exec(ctx, tx, -1, `DELETE FROM idempotency WHERE org = ? AND key = ? AND claimed_at < ?`, c.Org, c.Key, millis(expired)); err != nil {
			return err
		}
		err := exec(ctx, tx, 1, `INSERT INTO idempotency (org, key, route, object, body_hash, status, claimed_at) VALUES (?, ?, ?, ?, ?, 0, ?)
			ON CONFLICT (org, key) DO NOTHING`, c.Org, c.Key, c.Route, c.Object, c.BodyHash, millis(now))
		if !errors.Is(err, ErrConflict) {
			standing, claimed = c, err == nil
			standing.ClaimedAt = fromMillis(millis(now))
			return err
		}
		standing = Claim{Org: c.Org, Key: c.Key}
		var at int64
		err = tx.QueryRowContext(ctx, `SELECT route, object, body_hash, status, answer, claimed_at FROM idempotency WHERE org = ? AND key = ?`, c.Org, c.Key).
			Scan(&standing.Route, &standing.Object, &standing.BodyHash, &standing.Status, &standing.Answer, &at)
		standing.ClaimedAt = fromMillis(at)
		if err != nil || standing.Status != 0 || at >= millis(stale) || standing.Route != c.Route {
			return err
		}
		// Of two who find it silent, one takes it over.
		err = exec(ctx, tx, 1, `UPDATE idempotency SET claimed_at = ? WHERE org = ? AND key = ? AND claimed_at = ?`, millis(now), c.Org, c.Key, at)
		if claimed = err == nil; errors.Is(err, ErrConflict) {
			return nil
		}
		standing.ClaimedAt = fromMillis(millis(now))
		return err
	})
	if err != nil {
		return Claim{}, false, fmt.Errorf("store: claim idempotency key: %w", err)
	}
	return standing, claimed, nil
}

// RenewKey says that the request of a claim is still at work, and returns the
// claim as it stands then. It returns [ErrConflict] if another request has
// taken the claim over.
func (d *DB) RenewKey(ctx context.Context, c Claim, now time.Time) (Claim, error) {
	err := d.Write(ctx, func(tx *Tx) error {
		return exec(ctx, tx, 1, `UPDATE idempotency SET claimed_at = ? WHERE org = ? AND key = ? AND object = ? AND status = 0 AND claimed_at = ?`,
			millis(now), c.Org, c.Key, c.Object, millis(c.ClaimedAt))
	})
	if err != nil {
		return c, fmt.Errorf("store: renew idempotency key: %w", err)
	}
	c.ClaimedAt = fromMillis(millis(now))
	return c, nil
}

// FinishKey remembers the answer given under a claimed key.
func (d *DB) FinishKey(ctx context.Context, c Claim) error {
	err := d.Write(ctx, func(tx *Tx) error {
		return exec(ctx, tx, 1, `UPDATE idempotency SET body_hash = ?, status = ?, answer = ? WHERE org = ? AND key = ? AND object = ?`,
			c.BodyHash, c.Status, c.Answer, c.Org, c.Key, c.Object)
	})
	if err != nil {
		return fmt.Errorf("store: finish idempotency key: %w", err)
	}
	return nil
}

// ReleaseKey forgets a claimed key whose request created nothing, so that it
// may be sent again. A claim that another request has taken over is that
// request's, and is left alone.
func (d *DB) ReleaseKey(ctx context.Context, c Claim) error {
	err := d.Write(ctx, func(tx *Tx) error {
		return exec(ctx, tx, -1, `DELETE FROM idempotency WHERE org = ? AND key = ? AND object = ? AND status = 0 AND claimed_at = ?`,
			c.Org, c.Key, c.Object, millis(c.ClaimedAt))
	})
	if err != nil {
		return fmt.Errorf("store: release idempotency key: %w", err)
	}
	return nil
}
