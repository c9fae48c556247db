package books

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// refundLife is how long a refund can be used whose lot has expired meanwhile.
const refundLife = 30 * 24 * time.Hour

// ErrNotCharged means that a row was not charged under the hold.
var ErrNotCharged = errors.New("books: the row was not charged")

// Refund gives back what a row of a hold was charged, once: repeating it returns
// the same amount and changes nothing. The credits go back to the lots they were
// of; for one that has expired they are a new lot that lasts 30 days. Errors:
// [ErrNotCharged], [store.ErrNotFound].
func (b *Books) Refund(ctx context.Context, org, hold string, row int64) (amount lookup.Credits, err error) {
	var number int64
	var lots []ledger.Lot
	var merged bool
	err = b.change(ctx, org, func(tx *store.Tx, a *account) error {
		known := tx.QueryRowContext(ctx, `SELECT amount FROM refunds WHERE hold = ? AND row = ? AND org = ?`, hold, row, org).Scan(&amount)
		if known == nil {
			return errRepeated
		}
		if !errors.Is(known, sql.ErrNoRows) {
			return known
		}
		c, err := readCharge(ctx, tx, org, hold)
		if err != nil {
			return err
		}
		if amount, err = c.rowPrice(row); err != nil {
			return err
		}
		here, err := readLots(ctx, tx, org)
		if err != nil {
			return err
		}
		if merged, err = makeRoom(ctx, tx, a, here); err != nil {
			return err
		}
		number = a.next()
		if lots, err = giveBack(ctx, tx, a, c.unrefunded(int64(amount))); err != nil {
			return err
		}
		return writeRefund(ctx, tx, a, hold, row, amount, merged)
	})
	if errors.Is(err, errRepeated) {
		return amount, nil
	}
	if err != nil {
		return 0, fmt.Errorf("books: refund: %w", err)
	}
	fell, err := ledger.Plenty, ledger.ErrGap
	if !merged {
		fell, err = b.gate.Refund(ctx, org, number, lots)
	}
	b.told(ctx, org, fell, err)
	return amount, nil
}

func writeRefund(ctx context.Context, tx *store.Tx, a *account, hold string, row int64, amount lookup.Credits, load bool) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO refunds (hold, row, org, number, amount, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		hold, row, a.org, a.number, amount, a.now.UnixMilli())
	if err != nil {
		return err
	}
	seq, balance, err := a.post(ctx, tx, moves{charged: -amount, available: amount, load: load})
	if err != nil {
		return err
	}
	return entry(ctx, tx, Entry{
		Org: a.org, Seq: seq, Debit: refunds, Credit: customerCredits, Amount: amount, Balance: balance, Reference: hold, CreatedAt: a.now,
	})
}

// charge is a closing as a refund needs it.
type charge struct {
	lines    [][2]int64 // price, units
	rows     []byte     // bitmap
	slices   []ledger.Slice
	refunded int64
}

func readCharge(ctx context.Context, tx *store.Tx, org, hold string) (c charge, err error) {
	var lines, parts string
	var charged int64
	err = tx.QueryRowContext(ctx, `SELECT charged, lines, units, slices, (SELECT COALESCE(SUM(amount), 0) FROM refunds WHERE refunds.hold = closings.hold)
		FROM closings WHERE hold = ? AND org = ?`, hold, org).Scan(&charged, &lines, &c.rows, &parts, &c.refunded)
	if errors.Is(err, sql.ErrNoRows) {
		return charge{}, store.ErrNotFound
	}
	if err != nil {
		return charge{}, err
	}
	err = errors.Join(json.Unmarshal([]byte(lines), &c.lines), json.Unmarshal([]byte(parts), &c.slices))
	if len(c.slices) == 0 { // of before there were lots: all credits became the first
		c.slices = []ledger.Slice{{Lot: 1, Amount: charged}}
	}
	return c, err
}

// rowPrice is what one row was charged: units are shared out evenly, which is
// what they are where a row is one unit or the hold has one row.
func (c charge) rowPrice(row int64) (lookup.Credits, error) {
	charged := int64(0)
	for _, b := range c.rows {
		charged += int64(bits.OnesCount8(b))
	}
	if row < 0 || row/8 >= int64(len(c.rows)) || c.rows[row/8]&(1<<(row%8)) == 0 || len(c.lines) != 1 {
		return 0, ErrNotCharged
	}
	price, units := c.lines[0][0], c.lines[0][1]
	if units%charged != 0 {
		return 0, fmt.Errorf("%w: the rows of the hold were charged differently", ErrNotCharged)
	}
	return lookup.Credits(price * units / charged), nil
}

// unrefunded is the part of the charge's slices that the next refund gives back:
// from the last that was burnt, after what was given back already.
func (c charge) unrefunded(amount int64) []ledger.Slice {
	backwards := slices.Clone(c.slices)
	slices.Reverse(backwards)
	_, left := ledger.Burn(backwards, c.refunded)
	parts, _ := ledger.Burn(left, amount)
	return parts
}

// giveBack puts slices back into their lots and returns those lots with what
// each got. What is of a lot that has ended, or that nobody knows any more,
// becomes a lot of the refund's own.
func giveBack(ctx context.Context, tx *store.Tx, a *account, parts []ledger.Slice) ([]ledger.Lot, error) {
	slices.SortFunc(parts, func(x, y ledger.Slice) int { return int(x.Lot - y.Lot) })
	fresh := ledger.Lot{ID: a.number, Class: ledger.Paid, Expires: a.now.Add(refundLife).UnixMilli()}
	var lots []ledger.Lot
	for _, s := range parts {
		l := ledger.Lot{ID: s.Lot, Free: s.Amount}
		err := tx.QueryRowContext(ctx, `SELECT class, expires_at FROM lots WHERE org = ? AND lot = ?`, a.org, s.Lot).Scan(&l.Class, &l.Expires)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if err != nil || l.Expired(a.now.UnixMilli()) {
			fresh.Free += s.Amount
			continue
		}
		lots = append(lots, l)
	}
	if fresh.Free > 0 {
		lots = append(lots, fresh)
	}
	for _, l := range lots {
		if err := fillLot(ctx, tx, a.org, l, l.Free); err != nil {
			return nil, err
		}
	}
	return lots, nil
}

// Revoke takes back what is left of a grant's lot, up to an amount, because its
// payment was taken back; what was spent already is our loss. Repeating a
// reference returns the first answer. Whatever the references, no more is taken
// back than was granted: a payment is refunded and disputed, but returned once.
// Errors: [store.ErrNotFound].
func (b *Books) Revoke(ctx context.Context, org, grantID, reference string, amount lookup.Credits) (revoked lookup.Credits, err error) {
	if amount <= 0 || reference == "" {
		return 0, errors.New("books: revoke: want an amount above 0 and a reference")
	}
	err = b.change(ctx, org, func(tx *store.Tx, a *account) error {
		known := tx.QueryRowContext(ctx, `SELECT revoked FROM revokes WHERE org = ? AND reference = ?`, org, reference).Scan(&revoked)
		if known == nil {
			return errRepeated
		}
		if !errors.Is(known, sql.ErrNoRows) {
			return known
		}
		g, err := scanGrant(org, tx.QueryRowContext(ctx, selectGrants+` WHERE org = ? AND id = ?`, org, grantID))
		if errors.Is(err, sql.ErrNoRows) {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		if amount, err = unrevoked(ctx, tx, g, amount); err != nil {
			return err
		}
		taken, err := drainLot(ctx, tx, org, g.lot, int64(amount))
		if err != nil {
			return err
		}
		revoked = lookup.Credits(taken)
		return writeRevoke(ctx, tx, a, g, reference, amount, revoked)
	})
	if errors.Is(err, errRepeated) {
		return revoked, nil
	}
	if err != nil {
		return 0, fmt.Errorf("books: revoke: %w", err)
	}
	// Holds may hold what is gone: they no longer count.
	if err := b.loadFor(ctx, org, loadRevoke); err != nil {
		b.log.WarnContext(ctx, "the gate was not told of a revoke; the sweeper will", "org", org, "err", err)
	}
	return revoked, nil
}

// unrevoked is how much of an amount was not taken back before, of the grant. It
// may be nothing; the reference is remembered all the same.
func unrevoked(ctx context.Context, tx *store.Tx, g Grant, amount lookup.Credits) (lookup.Credits, error) {
	var before lookup.Credits
	err := tx.QueryRowContext(ctx, `SELECT COALESCE(SUM(amount), 0) FROM revokes WHERE org = ? AND grant_id = ?`, g.Org, g.ID).Scan(&before)
	return max(0, min(amount, g.Amount-before)), err
}

func writeRevoke(ctx context.Context, tx *store.Tx, a *account, g Grant, reference string, amount, revoked lookup.Credits) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO revokes (org, reference, number, grant_id, amount, revoked, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		a.org, reference, a.next(), g.ID, amount, revoked, a.now.UnixMilli())
	if err != nil {
		return err
	}
	seq, balance, err := a.post(ctx, tx, moves{revoked: revoked, available: -revoked, load: true})
	if err != nil {
		return err
	}
	from := Entry{Org: a.org, Seq: seq, Debit: customerCredits, Credit: fundsOf(g.Source), Amount: revoked, Balance: balance, Reference: g.ID, CreatedAt: a.now}
	if revoked > 0 {
		if err := entry(ctx, tx, from); err != nil {
			return err
		}
	}
	if loss := amount - revoked; loss > 0 {
		from.Line, from.Debit, from.Amount = 1, absorbedLoss, loss
		return entry(ctx, tx, from)
	}
	return nil
}
