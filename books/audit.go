package books

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// Proof is what an audit says of an organization's books.
type Proof struct {
	Org       string
	Entries   int64 // that were looked at
	Available lookup.Credits
	// Busy says that the gate was not compared: something was held, or moved
	// while the books were read. That is no difference.
	Busy        bool
	Differences []string // nothing: it all adds up
}

// Accounts lists the organizations after an id, in their order.
func (b *Books) Accounts(ctx context.Context, after string, limit int) ([]string, error) {
	return b.texts(ctx, `SELECT org FROM accounts WHERE org > ? ORDER BY org LIMIT ?`, after, limit)
}

// Audit proves an organization's books from one snapshot of SQL: the totals, that
// each entry's balance follows from the one before, and that each charge is what
// its closing says, price by charged unit and lot by lot. It goes on after the
// last audit that found nothing, or begins anew with full, which compares the
// batches too. The gate is compared with the snapshot unless the account is busy.
func (b *Books) Audit(ctx context.Context, org string, full bool) (Proof, error) {
	before, beforeErr := b.gate.Balance(ctx, org)
	a := auditor{Proof: Proof{Org: org}, full: full, batches: map[string]lookup.Credits{}}
	if err := b.db.Snapshot(ctx, func(q store.Queryer) error { return a.read(ctx, q) }); err != nil {
		return Proof{}, fmt.Errorf("books: audit of %s: %w", org, err)
	}
	after, afterErr := b.gate.Balance(ctx, org)
	err := errors.Join(beforeErr, afterErr)
	switch {
	case errors.Is(err, ledger.ErrMissing): // nothing to compare
	case err != nil:
		return Proof{}, fmt.Errorf("books: audit of %s: %w", org, err)
	default:
		var now int64
		if err := b.db.QueryRowContext(ctx, `SELECT seq FROM accounts WHERE org = ?`, org).Scan(&now); err != nil {
			return Proof{}, fmt.Errorf("books: audit of %s: %w", org, err)
		}
		still := before.Generation == after.Generation && before.Grant == after.Grant && before.Captured == after.Captured && now == a.seq
		if a.Busy = !still || before.Open+after.Open > 0; !a.Busy {
			a.compare(after)
		}
	}
	if len(a.Differences) == 0 {
		err = b.proven(ctx, a)
	}
	return a.Proof, err
}

// proven lets the next audit go on from here.
func (b *Books) proven(ctx context.Context, a auditor) error {
	return b.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO audits (org, seq, balance) VALUES (?, ?, ?)
			ON CONFLICT (org) DO UPDATE SET seq = excluded.seq, balance = excluded.balance`, a.Org, a.seq, a.Available)
		return err
	})
}

// auditor is an audit under way.
type auditor struct {
	Proof

	full       bool
	seq, from  int64
	generation int64
	grants     int64
	totals     Totals
	lots       []ledger.Lot
	charges    int64 // entries that are charges
	batches    map[string]lookup.Credits
}

func (a *auditor) differf(format string, args ...any) {
	const most = 20 // of which an operator looks at one
	if len(a.Differences) < most {
		a.Differences = append(a.Differences, fmt.Sprintf(format, args...))
	}
}

func (a *auditor) read(ctx context.Context, q store.Queryer) error {
	err := q.QueryRowContext(ctx, `SELECT seq, generation, grants FROM accounts WHERE org = ?`, a.Org).Scan(&a.seq, &a.generation, &a.grants)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	if err != nil {
		return err
	}
	if a.totals, err = Sums(ctx, q, a.Org); err != nil {
		return err
	}
	a.Available, a.Differences = a.totals.Available, a.totals.Differences()
	if a.lots, err = readLots(ctx, q, a.Org); err != nil {
		return err
	}
	var balance lookup.Credits
	if !a.full {
		err := q.QueryRowContext(ctx, `SELECT seq, balance FROM audits WHERE org = ?`, a.Org).Scan(&a.from, &balance)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	if err := a.readEntries(ctx, q, balance); err != nil {
		return err
	}
	if err := a.readClosings(ctx, q); err != nil {
		return err
	}
	if a.full {
		return a.readBatches(ctx, q)
	}
	return nil
}

// readEntries checks that each balance follows from the one before.
func (a *auditor) readEntries(ctx context.Context, q store.Queryer, balance lookup.Credits) error {
	rows, err := q.QueryContext(ctx, `SELECT seq, debit, credit, amount, balance FROM entries WHERE org = ? AND seq > ? ORDER BY seq, line`, a.Org, a.from)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e Entry
		if err := rows.Scan(&e.Seq, &e.Debit, &e.Credit, &e.Amount, &e.Balance); err != nil {
			return err
		}
		a.Entries++
		if e.Credit == customerCredits {
			balance += e.Amount
		}
		if e.Debit == customerCredits {
			balance -= e.Amount
		}
		if balance != e.Balance {
			a.differf("entry %d says the balance is %s, the entries before it make %s", e.Seq, e.Balance, balance)
			balance = e.Balance
		}
		if strings.HasPrefix(e.Credit, revenue("")) {
			a.charges++
		}
	}
	return rows.Err()
}

// readClosings checks each charge against its closing.
func (a *auditor) readClosings(ctx context.Context, q store.Queryer) error {
	rows, err := q.QueryContext(ctx, `SELECT c.hold, c.service, c.charged, c.lines, c.units, c.slices, COALESCE(e.amount, 0), COALESCE(e.reference, '')
		FROM closings c LEFT JOIN entries e ON e.org = c.org AND e.seq = c.seq AND e.line = 0
		WHERE c.org = ? AND c.seq > ? AND c.seq > 0 ORDER BY c.seq`, a.Org, a.from)
	if err != nil {
		return err
	}
	defer rows.Close()
	closings := int64(0)
	for rows.Next() {
		var hold, lines, slices, reference string
		var service lookup.Service
		var charged, posted lookup.Credits
		var c charge
		if err := rows.Scan(&hold, &service, &charged, &lines, &c.rows, &slices, &posted, &reference); err != nil {
			return err
		}
		if err := errors.Join(json.Unmarshal([]byte(lines), &c.lines), json.Unmarshal([]byte(slices), &c.slices)); err != nil {
			return fmt.Errorf("closing %s: %w", hold, err)
		}
		closings++
		if reference != hold || posted != charged {
			a.differf("the closing of %s charges %s, its entry says %s for %q", hold, charged, posted, reference)
		}
		for _, problem := range c.problems(service, charged) {
			a.differf("the closing of %s %s", hold, problem)
		}
		batch, _, _ := strings.Cut(hold, ":")
		a.batches[batch] += charged
	}
	if closings != a.charges {
		a.differf("there are %d charges and %d closings for them", a.charges, closings)
	}
	return rows.Err()
}

// problems says where a closing disagrees with itself.
func (c charge) problems(service lookup.Service, charged lookup.Credits) (problems []string) {
	var sum, units, rows int64
	for _, line := range c.lines {
		sum += line[0] * line[1]
		units += line[1]
	}
	for _, b := range c.rows {
		rows += int64(bits.OnesCount8(b))
	}
	if sum != int64(charged) {
		problems = append(problems, fmt.Sprintf("charges %s, its prices and units make %s", charged, lookup.Credits(sum)))
	}
	if rows != units && (service != lookup.JobsData || rows > units) {
		problems = append(problems, fmt.Sprintf("charges %d units for %d rows", units, rows))
	}
	if burnt := ledger.Sum(c.slices); len(c.slices) > 0 && burnt != int64(charged) {
		problems = append(problems, fmt.Sprintf("charges %s, but burnt %s of its lots", charged, lookup.Credits(burnt)))
	}
	return problems
}

// readBatches checks what each batch says it was charged, and what its limit
// goes by.
func (a *auditor) readBatches(ctx context.Context, q store.Queryer) error {
	rows, err := q.QueryContext(ctx, `SELECT id, batches.charged, COALESCE(spend.charged, 0) FROM batches
		LEFT JOIN spend ON spend.org = batches.org AND spend.scope = ? || batches.id WHERE batches.org = ?`, store.BatchScope(""), a.Org)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var charged, spent lookup.Credits
		if err := rows.Scan(&id, &charged, &spent); err != nil {
			return err
		}
		if charged != a.batches[id] {
			a.differf("batch %s says it was charged %s, its closings make %s", id, charged, a.batches[id])
		}
		if spent != charged {
			a.differf("batch %s says it was charged %s, its scope counts %s", id, charged, spent)
		}
	}
	return rows.Err()
}

// compare checks the gate, in which nothing moves, against the snapshot.
func (a *auditor) compare(gate ledger.Balance) {
	var lapsed, left int64
	inGate := map[int64]int64{}
	for _, l := range gate.Lots {
		inGate[l.ID] = l.Free
	}
	for _, l := range a.lots {
		if l.Expired(gate.Clock) {
			lapsed += l.Free
		} else if left += l.Free; inGate[l.ID] != l.Free {
			a.differf("lot %d has %s left in the gate, SQL has %s", l.ID, lookup.Credits(inGate[l.ID]), lookup.Credits(l.Free))
		}
	}
	for _, sum := range []struct {
		name      string
		gate, sql int64
	}{
		{"generation", gate.Generation, a.generation},
		{"number of the last grant", gate.Grant, a.grants},
		{"granted", gate.Granted, int64(a.totals.Granted)},
		{"available", gate.Available, left},
		{"captured", gate.Captured, int64(a.totals.Charged)},
		{"expired", gate.Expired, int64(a.totals.Expired) + lapsed},
		{"revoked", gate.Revoked, int64(a.totals.Revoked)},
	} {
		if sum.gate != sum.sql {
			a.differf("%s is %d in the gate and %d in SQL", sum.name, sum.gate, sum.sql)
		}
	}
}
