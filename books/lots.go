package books

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// readLots reads an organization's lots, each with what is left of it as Free,
// in burn order. Lots of which nothing is left are among them.
func readLots(ctx context.Context, q store.Queryer, org string) ([]ledger.Lot, error) {
	rows, err := q.QueryContext(ctx, `SELECT lot, class, expires_at, remaining FROM lots WHERE org = ? AND (remaining > 0 OR expires_at = 0)`, org)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var lots []ledger.Lot
	for rows.Next() {
		var l ledger.Lot
		if err := rows.Scan(&l.ID, &l.Class, &l.Expires, &l.Free); err != nil {
			return nil, err
		}
		lots = append(lots, l)
	}
	slices.SortFunc(lots, ledger.BurnOrder)
	return lots, rows.Err()
}

// endCycles lets the lots of cycles expire now that would before a time, and
// returns them. It changes lots too: what has ended must not be merged into.
func endCycles(ctx context.Context, tx *store.Tx, a *account, lots []ledger.Lot, before int64) (old []int64, err error) {
	now := a.now.UnixMilli()
	for i, l := range lots {
		if l.Class != ledger.Subscription || l.Expires >= before || l.Expired(now) {
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE lots SET expires_at = ? WHERE org = ? AND lot = ?`, now, a.org, l.ID); err != nil {
			return nil, err
		}
		old = append(old, l.ID)
		lots[i].Expires = now
	}
	slices.SortFunc(lots, ledger.BurnOrder)
	return old, nil
}

// fillLot adds to a lot, which need not be there yet.
func fillLot(ctx context.Context, tx *store.Tx, org string, l ledger.Lot, amount int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO lots (org, lot, class, expires_at, remaining) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (org, lot) DO UPDATE SET remaining = lots.remaining + excluded.remaining`, org, l.ID, l.Class, l.Expires, amount)
	return err
}

// burnLots takes what a charge burns from its lots, which the account row guards.
// It returns false if a lot has less.
func burnLots(ctx context.Context, tx *store.Tx, org string, burnt []ledger.Slice) (enough bool, err error) {
	for _, s := range burnt {
		n, err := affected(tx.ExecContext(ctx, `UPDATE lots SET remaining = remaining - ? WHERE org = ? AND lot = ? AND remaining >= ?`,
			s.Amount, org, s.Lot, s.Amount))
		if err != nil || n == 0 {
			return false, err
		}
	}
	return true, nil
}

// drainLot takes up to an amount from a lot and returns how much it was.
func drainLot(ctx context.Context, tx *store.Tx, org string, lot, atMost int64) (taken int64, err error) {
	// The first statement waits for charges under way, the second knows what they left.
	if err := tx.QueryRowContext(ctx, `UPDATE lots SET remaining = remaining WHERE org = ? AND lot = ? RETURNING remaining`, org, lot).Scan(&taken); err != nil {
		return 0, err
	}
	taken = min(taken, atMost)
	_, err = tx.ExecContext(ctx, `UPDATE lots SET remaining = remaining - ? WHERE org = ? AND lot = ?`, taken, org, lot)
	return taken, err
}

// makeRoom merges two lots if there are as many as the gate can have. That is a
// number of its own; the gate learns of it by loading.
func makeRoom(ctx context.Context, tx *store.Tx, a *account, lots []ledger.Lot) (merged bool, err error) {
	from, to, needed := closest(lots, a.now.UnixMilli())
	if !needed {
		return false, nil
	}
	// Both rows in their order, before either is changed.
	for _, lot := range []int64{min(from.ID, to.ID), max(from.ID, to.ID)} {
		if _, err := drainLot(ctx, tx, a.org, lot, 0); err != nil {
			return false, err
		}
	}
	amount, err := drainLot(ctx, tx, a.org, from.ID, from.Free)
	if err != nil || amount == 0 {
		return false, err
	}
	if err := fillLot(ctx, tx, a.org, to, amount); err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE grants SET lot = ? WHERE org = ? AND lot = ?`, to.ID, a.org, from.ID); err != nil {
		return false, err
	}
	a.next()
	seq, balance, err := a.post(ctx, tx, moves{load: true})
	if err != nil {
		return false, err
	}
	return true, entry(ctx, tx, Entry{
		Org: a.org, Seq: seq, Debit: customerCredits, Credit: customerCredits, Amount: lookup.Credits(amount), Balance: balance,
		Reference: fmt.Sprintf("lot %d into %d", from.ID, to.ID), CreatedAt: a.now,
	})
}

// closest returns the two lots to merge if there are as many as the gate can
// have: of those that have not ended, the two whose ends lie closest together.
// The first goes into the second, which ends later, in the customer's favour.
func closest(lots []ledger.Lot, now int64) (from, to ledger.Lot, needed bool) {
	lots = slices.DeleteFunc(slices.Clone(lots), func(l ledger.Lot) bool { return l.Free == 0 })
	if len(lots) < ledger.MaxLots {
		return ledger.Lot{}, ledger.Lot{}, false
	}
	for i := 1; i < len(lots); i++ {
		a, b := lots[i-1], lots[i]
		if a.Expires <= now || b.Expires == 0 {
			continue
		}
		if !needed || b.Expires-a.Expires < to.Expires-from.Expires {
			from, to, needed = a, b, true
		}
	}
	return from, to, needed
}

// breakageAfter is how long after a lot's end what is left of it is breakage:
// when no hold of before can charge it any more, and clocks may differ.
const breakageAfter = ledger.LongestHold + time.Minute

// Expire posts what is left of lots that have ended as breakage. The gate does
// the same by its clock. It returns how many lots it closed.
func (b *Books) Expire(ctx context.Context) (closed int, err error) {
	type ended struct {
		org string
		lot int64
	}
	rows, err := b.db.QueryContext(ctx, `SELECT org, lot FROM lots WHERE remaining > 0 AND expires_at > 0 AND expires_at <= ? LIMIT 1000`,
		b.now().Add(-breakageAfter).UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("books: expire: %w", err)
	}
	defer rows.Close()
	var lots []ended
	for rows.Next() {
		var e ended
		if err := rows.Scan(&e.org, &e.lot); err != nil {
			return 0, fmt.Errorf("books: expire: %w", err)
		}
		lots = append(lots, e)
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("books: expire: %w", err)
	}
	var errs []error
	for _, e := range lots {
		if err := b.expire(ctx, e.org, e.lot); err != nil { // the others are not held up
			errs = append(errs, fmt.Errorf("books: expire lot %d of %s: %w", e.lot, e.org, err))
			continue
		}
		closed++
	}
	return closed, errors.Join(errs...)
}

func (b *Books) expire(ctx context.Context, org string, lot int64) error {
	return b.change(ctx, org, func(tx *store.Tx, a *account) error {
		taken, err := drainLot(ctx, tx, org, lot, int64(lookup.MaxCredits))
		if err != nil || taken == 0 { // another sweeper was first
			return err
		}
		amount := lookup.Credits(taken)
		seq, balance, err := a.post(ctx, tx, moves{expired: amount, available: -amount})
		if err != nil {
			return err
		}
		return entry(ctx, tx, Entry{
			Org: org, Seq: seq, Debit: customerCredits, Credit: breakage, Amount: amount, Balance: balance,
			Reference: fmt.Sprintf("lot %d", lot), CreatedAt: a.now,
		})
	})
}
