package books

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// Kinds of lines in a statement.
const (
	KindGrant  = "grant"  // credits came in
	KindCharge = "charge" // results were found
	KindExpiry = "expiry" // credits expired unused
	KindRefund = "refund" // a charge was given back
	KindRevoke = "revoke" // a grant was taken back
	KindMerge  = "merge"  // credits got a later end; the balance is the same
)

// Line is an entry as the organization sees it.
type Line struct {
	Seq       int64
	Kind      string
	Source    string         // of a grant
	Service   lookup.Service // of a charge
	Amount    lookup.Credits // what it added to the balance; below 0: took from it
	Balance   lookup.Credits // after it
	Grant     string         // the grant behind it, if any
	Batch     string         // the batch behind it, if any
	Chunk     int64          // of the batch
	Lookup    string         // the single lookup behind it, if any
	CreatedAt time.Time
}

// Statement lists the entries that changed an organization's balance before the
// entry with number before (0: all), newest first, at most limit.
func (b *Books) Statement(ctx context.Context, org string, before int64, limit int) (lines []Line, err error) {
	if before == 0 {
		before = math.MaxInt64
	}
	err = b.db.As(org).Read(ctx, func(q store.Queryer) error {
		lines, err = readStatement(ctx, q, org, before, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("books: statement: %w", err)
	}
	return lines, nil
}

func readStatement(ctx context.Context, q store.Queryer, org string, before int64, limit int) ([]Line, error) {
	rows, err := q.QueryContext(ctx, `SELECT e.seq, e.debit, e.credit, e.amount, e.balance, e.reference, e.created_at, COALESCE(g.source, '')
		FROM entries e LEFT JOIN grants g ON g.id = e.reference AND g.org = e.org
		WHERE e.org = ? AND e.seq < ? AND (e.debit = ? OR e.credit = ?) ORDER BY e.seq DESC, e.line DESC LIMIT ?`,
		org, before, customerCredits, customerCredits, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var lines []Line
	for rows.Next() {
		var e Entry
		var created int64
		var source string
		if err := rows.Scan(&e.Seq, &e.Debit, &e.Credit, &e.Amount, &e.Balance, &e.Reference, &created, &source); err != nil {
			return nil, err
		}
		e.CreatedAt = time.UnixMilli(created).UTC()
		lines = append(lines, e.line(source))
	}
	return lines, rows.Err()
}

// line is what an entry means to the organization.
func (e Entry) line(source string) Line {
	l := Line{Seq: e.Seq, Amount: e.Amount, Balance: e.Balance, CreatedAt: e.CreatedAt}
	if e.Debit == customerCredits {
		l.Amount = -e.Amount
	}
	service, isCharge := strings.CutPrefix(e.Credit, revenue(""))
	switch {
	case e.Debit == e.Credit:
		l.Kind, l.Amount = KindMerge, 0
	case isCharge:
		l.Kind, l.Service = KindCharge, lookup.Service(service)
		l.work(e.Reference)
	case e.Debit == refunds:
		l.Kind = KindRefund
		l.work(e.Reference)
	case e.Credit == breakage:
		l.Kind = KindExpiry
	case e.Debit == customerCredits:
		l.Kind, l.Source, l.Grant = KindRevoke, source, e.Reference
	default:
		l.Kind, l.Source, l.Grant = KindGrant, source, e.Reference
	}
	return l
}

// work reads from a hold's id what it was for.
func (l *Line) work(hold string) {
	if round, err := store.ParseRound(hold); err == nil {
		l.Batch, l.Chunk = round.Batch, round.Chunk
		return
	}
	id, _ := strings.CutPrefix(hold, "lookup:")
	l.Lookup = strings.TrimSuffix(id, ":0")
}
