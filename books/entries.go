package books

import (
	"context"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// The accounts of the books. Customers' credits are a liability: what was sold
// or given and not yet used.
const (
	customerCredits = "customer_credits"
	cash            = "cash"          // purchases and subscriptions
	adjustments     = "adjustments"   // credits given by hand
	promotion       = "promotion"     // credits given away
	breakage        = "breakage"      // credits that expired
	refunds         = "refunds"       // charges given back
	absorbedLoss    = "absorbed_loss" // payments taken back after the credits were spent
)

func revenue(s lookup.Service) string { return "revenue:" + string(s) }

// Entry moves an amount from one account to another.
type Entry struct {
	Org           string
	Seq           int64 // order within the organization
	Line          int64 // of the entries with one Seq
	Debit, Credit string
	Amount        lookup.Credits
	Balance       lookup.Credits // the customer's, after it
	Reference     string         // the grant, lot or hold behind it
	CreatedAt     time.Time
}

func entry(ctx context.Context, tx *store.Tx, e Entry) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO entries (org, seq, line, debit, credit, amount, balance, reference, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, e.Org, e.Seq, e.Line, e.Debit, e.Credit, e.Amount, e.Balance, e.Reference, e.CreatedAt.UnixMilli())
	if err != nil {
		return fmt.Errorf("books: entry: %w", err)
	}
	return nil
}

// Totals are the sums of an organization's books.
type Totals struct {
	Granted, Charged, Expired, Revoked, Available lookup.Credits
	ByEntries                                     lookup.Credits // the balance that the entries add up to
	ByClosings                                    lookup.Credits // what the closings charged, less refunds
	ByLots                                        lookup.Credits // what is left of all lots
}

// Sums adds up an organization's books, for an audit.
func Sums(ctx context.Context, q store.Queryer, org string) (Totals, error) {
	var t Totals
	err := q.QueryRowContext(ctx, `SELECT granted, charged, expired, revoked, available,
		(SELECT COALESCE(SUM(CASE WHEN credit = debit THEN 0 WHEN credit = ? THEN amount WHEN debit = ? THEN -amount ELSE 0 END), 0)
			FROM entries WHERE entries.org = accounts.org),
		(SELECT COALESCE(SUM(charged), 0) FROM closings WHERE closings.org = accounts.org)
			- (SELECT COALESCE(SUM(amount), 0) FROM refunds WHERE refunds.org = accounts.org),
		(SELECT COALESCE(SUM(remaining), 0) FROM lots WHERE lots.org = accounts.org)
		FROM accounts WHERE org = ?`, customerCredits, customerCredits, org).
		Scan(&t.Granted, &t.Charged, &t.Expired, &t.Revoked, &t.Available, &t.ByEntries, &t.ByClosings, &t.ByLots)
	if err != nil {
		return Totals{}, fmt.Errorf("books: sums: %w", err)
	}
	return t, nil
}

// Lapsed is what is left in lots that have ended by now, but is not posted as
// expired yet: SQL counts it as available, the gate as expired.
func Lapsed(ctx context.Context, q store.Queryer, org string, now time.Time) (lapsed lookup.Credits, err error) {
	err = q.QueryRowContext(ctx, `SELECT COALESCE(SUM(remaining), 0) FROM lots WHERE org = ? AND expires_at > 0 AND expires_at <= ?`,
		org, now.UnixMilli()).Scan(&lapsed)
	if err != nil {
		return 0, fmt.Errorf("books: lapsed: %w", err)
	}
	return lapsed, nil
}

// Differences says in words where the sums disagree; nothing means they agree.
func (t Totals) Differences() []string {
	var d []string
	if out := t.Charged + t.Expired + t.Revoked; t.Available != t.Granted-out {
		d = append(d, fmt.Sprintf("the account has %s available, but %s granted less %s charged, expired and revoked", t.Available, t.Granted, out))
	}
	for _, sum := range []struct {
		name      string
		got, want lookup.Credits
	}{
		{"the entries add up to %s, the account has %s available", t.ByEntries, t.Available},
		{"the lots have %s left, the account has %s available", t.ByLots, t.Available},
		{"the closings charged %s, the account says %s", t.ByClosings, t.Charged},
	} {
		if sum.got != sum.want {
			d = append(d, fmt.Sprintf(sum.name, sum.got, sum.want))
		}
	}
	return d
}
