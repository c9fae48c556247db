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
	cash            = "cash"        // purchases
	adjustments     = "adjustments" // credits given by hand
)

func revenue(s lookup.Service) string { return "revenue:" + string(s) }

// Entry moves an amount from one account to another.
type Entry struct {
	Org           string
	Seq           int64 // order within the organization
	Debit, Credit string
	Amount        lookup.Credits
	Balance       lookup.Credits // the customer's, after it
	Reference     string         // the grant or hold behind it
	CreatedAt     time.Time
}

func entry(ctx context.Context, tx *store.Tx, e Entry, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO entries (org, seq, line, debit, credit, amount, balance, reference, created_at)
		VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?)`, e.Org, e.Seq, e.Debit, e.Credit, e.Amount, e.Balance, e.Reference, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("books: entry: %w", err)
	}
	return nil
}

// Totals are the sums of an organization's books.
type Totals struct {
	Granted, Charged, Available lookup.Credits
	ByEntries                   lookup.Credits // the balance that the entries add up to
	ByClosings                  lookup.Credits // what the closings charged
}

// Sums adds up an organization's books, for an audit.
func Sums(ctx context.Context, q store.Queryer, org string) (Totals, error) {
	var t Totals
	err := q.QueryRowContext(ctx, `SELECT granted, charged, available,
		(SELECT COALESCE(SUM(CASE WHEN credit = ? THEN amount ELSE -amount END), 0) FROM entries WHERE entries.org = accounts.org),
		(SELECT COALESCE(SUM(charged), 0) FROM closings WHERE closings.org = accounts.org)
		FROM accounts WHERE org = ?`, customerCredits, org).Scan(&t.Granted, &t.Charged, &t.Available, &t.ByEntries, &t.ByClosings)
	if err != nil {
		return Totals{}, fmt.Errorf("books: sums: %w", err)
	}
	return t, nil
}

// Differences says in words where the sums disagree; nothing means they agree.
func (t Totals) Differences() []string {
	var d []string
	if t.Available != t.Granted-t.Charged {
		d = append(d, fmt.Sprintf("the account has %s available, but %s granted less %s charged", t.Available, t.Granted, t.Charged))
	}
	if t.ByEntries != t.Available {
		d = append(d, fmt.Sprintf("the entries add up to %s, the account has %s available", t.ByEntries, t.Available))
	}
	if t.ByClosings != t.Charged {
		d = append(d, fmt.Sprintf("the closings charged %s, the account says %s", t.ByClosings, t.Charged))
	}
	return d
}
