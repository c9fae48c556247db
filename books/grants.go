package books

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// Sources of a grant.
const (
	Subscription = "subscription" // of a billing cycle; expires with it
	Purchase     = "purchase"     // paid for; never expires
	Adjustment   = "adjustment"   // given by hand
	Promotion    = "promotion"    // given away
)

// Sources lists them all.
var Sources = []string{Subscription, Purchase, Adjustment, Promotion}

// classes say in which lots the grants of a source are.
var classes = map[string]ledger.Class{
	Subscription: ledger.Subscription, Purchase: ledger.Paid, Adjustment: ledger.Paid, Promotion: ledger.Promotional,
}

var (
	// ErrReference means that a reference was used before for another grant.
	ErrReference = errors.New("books: the reference belongs to another grant")
	// ErrSource means that there is no such source of a grant.
	ErrSource = errors.New("books: the source of a grant is unknown")
	// ErrExpiry means that a grant's end does not fit its source: a subscription
	// needs one, a purchase has none, and it lies in the future.
	ErrExpiry = errors.New("books: the grant's end does not fit")
)

// Grant is credits that came in.
type Grant struct {
	ID, Org   string
	Number    int64 // consecutive within the organization, from 1
	Source    string
	Amount    lookup.Credits
	Remaining lookup.Credits // of the amount, in the order in which credits are used
	Reference string         // the payer's; makes repeating it harmless
	ExpiresAt time.Time      // zero: never
	CreatedAt time.Time
	lot       int64
}

func (g Grant) check(now time.Time) error {
	_, known := classes[g.Source]
	switch {
	case !known:
		return ErrSource
	case g.Source == Subscription && g.ExpiresAt.IsZero(), g.Source == Purchase && !g.ExpiresAt.IsZero():
		return ErrExpiry
	case !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(now):
		return ErrExpiry
	}
	return nil
}

// Grant records credits and then tells the gate. Repeating a reference returns
// the first grant with repeated = true; with another amount or source it is
// [ErrReference]. An empty reference gets one of its own. If the gate cannot be
// told, the grant stands and the gate learns of it when it loads the account.
//
// A subscription's grant is a refresh: what is unused of the cycles that end
// before it ends expires in the same step. One that comes late, for a cycle that
// ends before the present one does, only adds its credits. Other errors:
// [ErrSource], [ErrExpiry], [ErrTooMuch], [store.ErrNotFound].
func (b *Books) Grant(ctx context.Context, g Grant) (granted Grant, repeated bool, err error) {
	g.ID, g.CreatedAt, g.Remaining = store.NewID("grt", b.now()), b.now().UTC().Truncate(time.Millisecond), g.Amount
	g.ExpiresAt = g.ExpiresAt.UTC().Truncate(time.Millisecond)
	if g.Reference == "" {
		g.Reference = g.ID
	}
	var known Grant
	var plan arrival
	err = b.change(ctx, g.Org, func(tx *store.Tx, a *account) error {
		if known, err = grantByReference(ctx, tx, g.Org, g.Reference); err == nil {
			return errRepeated
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := g.check(b.now()); err != nil {
			return err
		}
		plan, err = writeGrant(ctx, tx, a, &g)
		return err
	})
	if errors.Is(err, errRepeated) {
		if known.Amount != g.Amount || known.Source != g.Source {
			return Grant{}, false, fmt.Errorf("books: grant: %w", ErrReference)
		}
		return known, true, nil // the gate learned of it, or the sweeper tells it
	}
	if err != nil {
		return Grant{}, false, fmt.Errorf("books: grant: %w", err)
	}
	b.tellGate(ctx, g, plan)
	return g, false, nil
}

var errRepeated = errors.New("books: the reference was used before")

func grantByReference(ctx context.Context, tx *store.Tx, org, reference string) (Grant, error) {
	return scanGrant(org, tx.QueryRowContext(ctx, selectGrants+` WHERE org = ? AND reference = ?`, org, reference))
}

const selectGrants = `SELECT id, number, source, amount, reference, lot, expires_at, created_at FROM grants`

func scanGrant(org string, row interface{ Scan(dest ...any) error }) (Grant, error) {
	g := Grant{Org: org}
	var expires, created int64
	err := row.Scan(&g.ID, &g.Number, &g.Source, &g.Amount, &g.Reference, &g.lot, &expires, &created)
	g.Remaining, g.CreatedAt = g.Amount, time.UnixMilli(created).UTC()
	if expires > 0 {
		g.ExpiresAt = time.UnixMilli(expires).UTC()
	}
	return g, err
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// arrival is how a grant gets into the gate.
type arrival struct {
	lot    ledger.Lot
	old    []int64 // lots that end with it
	merged bool    // lots were merged: only a load brings that
}

func writeGrant(ctx context.Context, tx *store.Tx, a *account, g *Grant) (arrival, error) {
	class, expires := classes[g.Source], millis(g.ExpiresAt)
	lots, err := readLots(ctx, tx, g.Org)
	if err != nil {
		return arrival{}, err
	}
	var plan arrival
	if class == ledger.Subscription {
		if plan.old, err = endCycles(ctx, tx, a, lots, expires); err != nil {
			return arrival{}, err
		}
	}
	same := slices.IndexFunc(lots, func(l ledger.Lot) bool { return l.Class == class && l.Expires == expires })
	if same < 0 {
		if plan.merged, err = makeRoom(ctx, tx, a, lots); err != nil {
			return arrival{}, err
		}
	}
	g.Number = a.next()
	plan.lot = ledger.Lot{ID: g.Number, Class: class, Expires: expires}
	if same >= 0 {
		plan.lot.ID = lots[same].ID
	}
	if err := fillLot(ctx, tx, g.Org, plan.lot, int64(g.Amount)); err != nil {
		return arrival{}, err
	}
	seq, balance, err := a.post(ctx, tx, moves{granted: g.Amount, available: g.Amount, load: plan.merged})
	if err != nil {
		return arrival{}, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO grants (org, number, id, source, amount, reference, lot, expires_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		g.Org, g.Number, g.ID, g.Source, g.Amount, g.Reference, plan.lot.ID, expires, g.CreatedAt.UnixMilli())
	if err != nil {
		return arrival{}, err
	}
	return plan, entry(ctx, tx, Entry{
		Org: g.Org, Seq: seq, Debit: fundsOf(g.Source), Credit: customerCredits,
		Amount: g.Amount, Balance: balance, Reference: g.ID, CreatedAt: g.CreatedAt,
	})
}

// fundsOf is the account that pays for a grant.
func fundsOf(source string) string {
	switch source {
	case Adjustment:
		return adjustments
	case Promotion:
		return promotion
	}
	return cash
}

// tellGate applies a recorded grant. A failure costs only time: the sweeper
// sees that the gate's grant number is behind and loads the account.
func (b *Books) tellGate(ctx context.Context, g Grant, plan arrival) {
	in := ledger.Grant{Org: g.Org, Number: g.Number, Amount: int64(g.Amount), Lot: plan.lot}
	fell, err := ledger.Plenty, ledger.ErrGap
	switch {
	case plan.merged:
	case len(plan.old) > 0:
		fell, err = b.gate.Refresh(ctx, in, plan.old, g.CreatedAt)
	default:
		fell, err = b.gate.Grant(ctx, in)
	}
	b.told(ctx, g.Org, fell, err)
}

// told finishes what the gate was told of a change that SQL has.
func (b *Books) told(ctx context.Context, org string, fell ledger.Level, err error) {
	if cause := loadFor(err); cause != "" {
		err = b.loadFor(ctx, org, cause)
	}
	if err != nil {
		b.log.WarnContext(ctx, "the gate was not told of a change in the books; the sweeper will", "org", org, "err", err)
	}
	b.fell(ctx, org, fell)
}

// Grants lists an organization's grants, oldest first, with what remains of
// each: what remains of a lot is of the grants in it that are used last.
func (b *Books) Grants(ctx context.Context, org string) (grants []Grant, err error) {
	err = b.db.As(org).Read(ctx, func(q store.Queryer) error {
		grants, err = readGrants(ctx, q, org)
		if err != nil {
			return err
		}
		lots, err := readLots(ctx, q, org)
		attribute(grants, lots, b.now().UnixMilli())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("books: grants: %w", err)
	}
	return grants, nil
}

func readGrants(ctx context.Context, q store.Queryer, org string) ([]Grant, error) {
	var one int
	if err := q.QueryRowContext(ctx, `SELECT 1 FROM accounts WHERE org = ?`, org).Scan(&one); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = store.ErrNotFound
		}
		return nil, err
	}
	rows, err := q.QueryContext(ctx, selectGrants+` WHERE org = ? ORDER BY number`, org)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var grants []Grant
	for rows.Next() {
		g, err := scanGrant(org, rows)
		if err != nil {
			return nil, err
		}
		grants = append(grants, g)
	}
	return grants, rows.Err()
}

// attribute says what remains of each grant, given what remains of the lots: in
// each lot the grants were burnt in the order in which the gate burns lots.
func attribute(grants []Grant, lots []ledger.Lot, now int64) {
	for i := range grants {
		grants[i].Remaining = 0
	}
	for _, lot := range lots {
		var in []ledger.Lot
		for i, g := range grants {
			if g.lot == lot.ID {
				in = append(in, ledger.Lot{ID: int64(i), Class: classes[g.Source], Expires: millis(g.ExpiresAt), Free: int64(g.Amount)})
				grants[i].ExpiresAt = time.Time{}
				if lot.Expires > 0 {
					grants[i].ExpiresAt = time.UnixMilli(lot.Expires).UTC()
				}
			}
		}
		if lot.Expired(now) {
			continue
		}
		slices.SortFunc(in, ledger.BurnOrder)
		whole := make([]ledger.Slice, len(in))
		for i, g := range in {
			whole[i] = ledger.Slice{Lot: g.ID, Amount: g.Free}
		}
		_, left := ledger.Burn(whole, ledger.Sum(whole)-lot.Free)
		for _, s := range left {
			grants[s.Lot].Remaining = lookup.Credits(s.Amount)
		}
	}
}
