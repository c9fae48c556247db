package books_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// life is an account through which random calls go. After each the books must
// prove themselves, and, where nothing is held, be what the gate has.
type life struct {
	*timedBench
	org      string
	open     []openHold
	closed   []openHold
	grants   []books.Grant
	nextHold int
	refunded map[string]bool // rows
	revoked  map[string]bool // references
	jumped   bool            // a clock did
	want     totals
}

// totals are what the calls must add up to, in a plain sum.
type totals struct{ granted, charged, revoked lookup.Credits }

type openHold struct {
	id       string
	held     ledger.Hold
	standing *books.Standing // charged, but not settled
}

var amounts = rapid.Int64Range(1, 9)

func (l *life) Grant(rt *rapid.T) {
	g := books.Grant{
		Org: l.org, Source: rapid.SampledFrom(books.Sources).Draw(rt, "source"), Amount: lookup.Credits(amounts.Draw(rt, "amount")) * 500,
	}
	if g.Source != books.Purchase && (g.Source == books.Subscription || rapid.Bool().Draw(rt, "ends")) {
		g.ExpiresAt = l.clock.Now().Add(time.Duration(amounts.Draw(rt, "hours")) * time.Hour)
	}
	if rapid.IntRange(0, 4).Draw(rt, "again") == 0 && len(l.grants) > 0 { // the answer was lost
		known := rapid.SampledFrom(l.grants).Draw(rt, "grant")
		if again, repeated, err := l.books.Grant(l.t.Context(), known); err != nil || !repeated || again.Number != known.Number {
			rt.Fatalf("the same grant again: %+v, repeated %t, %v", again, repeated, err)
		}
		return
	}
	granted, _, err := l.books.Grant(l.t.Context(), g)
	if err != nil {
		rt.Fatal(err)
	}
	l.want.granted += g.Amount
	l.grants = append(l.grants, granted)
}

func (l *life) Hold(rt *rapid.T) {
	l.nextHold++
	h := openHold{id: fmt.Sprintf("%s:h%d", l.org, l.nextHold)}
	var err error
	h.held, err = l.books.Hold(l.t.Context(), ledger.HoldRequest{
		Org: l.org, ID: h.id, Want: amounts.Draw(rt, "want"), Least: 1, Price: rapid.SampledFrom([]int64{250, 1000}).Draw(rt, "price"), Life: time.Minute,
		Scopes: []ledger.Scope{{Name: "key:k:2026-11"}},
	})
	switch {
	case err == nil:
		l.open = append(l.open, h)
	case !errors.As(err, new(*ledger.InsufficientError)):
		rt.Fatal(err)
	}
}

// pick returns an open hold, or nil.
func (l *life) pick(rt *rapid.T) *openHold {
	if len(l.open) == 0 {
		return nil
	}
	return &l.open[rapid.IntRange(0, len(l.open)-1).Draw(rt, "which")]
}

// Charge writes a closing; the gate is told another time, or never.
func (l *life) Charge(rt *rapid.T) {
	h := l.pick(rt)
	if h == nil || h.standing != nil {
		return
	}
	units := rapid.Int64Range(0, h.held.Units).Draw(rt, "units")
	closing := books.Closing{
		Hold: h.id, Org: l.org, Kind: books.Charge, Service: lookup.EmailFinder, Generation: h.held.Generation, Slices: h.held.Slices,
		Price: lookup.Credits(h.held.Price), Units: units, Scopes: []string{"key:k:2026-11"}, Rows: bitmap(units),
	}
	var s books.Standing
	err := l.db.Write(l.t.Context(), func(tx *store.Tx) error {
		var first bool
		var err error
		if s, first, err = books.Open(l.t.Context(), tx, closing, l.clock.Now()); err != nil || !first {
			return err
		}
		s.Charged = closing.Charged()
		return books.Post(l.t.Context(), tx, closing, l.clock.Now())
	})
	switch {
	case errors.Is(err, books.ErrFenced):
		l.holdAgain(h)
	case errors.Is(err, books.ErrOverdrawn):
		// The lots of a hold that outlived every hold's life may have been given up.
		if !l.jumped && l.clock.Now().Sub(h.held.Opened) < ledger.LongestHold {
			rt.Fatalf("the gate held more than SQL has: %v", err)
		}
		if err := l.books.Load(l.t.Context(), l.org); err != nil {
			rt.Fatal(err)
		}
		l.holdAgain(h)
	case err != nil:
		rt.Fatal(err)
	default:
		h.standing = &s
		l.want.charged += closing.Charged()
	}
}

// holdAgain holds anew what a load has released, as the engine does.
func (l *life) holdAgain(h *openHold) {
	again, err := l.books.Hold(l.t.Context(), ledger.HoldRequest{
		Org: l.org, ID: h.id, Want: h.held.Units, Least: 1, Price: h.held.Price, Life: time.Minute, Opened: h.held.Opened,
	})
	if err == nil {
		h.held = again
	}
}

func bitmap(rows int64) []byte {
	bits := make([]byte, (rows+7)/8)
	for i := range rows {
		bits[i/8] |= 1 << (i % 8)
	}
	return bits
}

func (l *life) Settle(rt *rapid.T) {
	h := l.pick(rt)
	if h == nil || h.standing == nil {
		return
	}
	for range rapid.IntRange(1, 2).Draw(rt, "times") {
		if err := l.books.Settle(l.t.Context(), l.org, h.id, *h.standing); err != nil {
			rt.Fatal(err)
		}
	}
	l.closed = append(l.closed, *h)
	*h = l.open[len(l.open)-1]
	l.open = l.open[:len(l.open)-1]
}

func (l *life) Refund(rt *rapid.T) {
	if len(l.closed) == 0 {
		return
	}
	h := rapid.SampledFrom(l.closed).Draw(rt, "hold")
	row := rapid.Int64Range(0, 8).Draw(rt, "row")
	back, err := l.books.Refund(l.t.Context(), l.org, h.id, row)
	if err != nil && !errors.Is(err, books.ErrNotCharged) {
		rt.Fatal(err)
	}
	name := fmt.Sprint(h.id, row)
	if err == nil && back != lookup.Credits(h.held.Price) {
		rt.Fatalf("%s given back for a row of %d", back, h.held.Price)
	}
	if err == nil && !l.refunded[name] {
		l.want.charged -= back
		l.refunded[name] = true
	}
}

func (l *life) Revoke(rt *rapid.T) {
	if len(l.grants) == 0 || rapid.IntRange(0, 3).Draw(rt, "seldom") > 0 {
		return
	}
	g := rapid.SampledFrom(l.grants).Draw(rt, "grant")
	reference := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(rt, "reference")
	revoked, err := l.books.Revoke(l.t.Context(), l.org, g.ID, reference, g.Amount)
	if err != nil {
		rt.Fatal(err)
	}
	if !l.revoked[reference] {
		l.want.revoked += revoked
		l.revoked[reference] = true
	}
}

func (l *life) Pass(rt *rapid.T) {
	l.pass(rapid.SampledFrom([]time.Duration{time.Second, 2 * time.Minute, time.Hour, 2 * time.Hour}).Draw(rt, "time"))
}

// Jump moves the clocks by an hour, forward or back. The account's own stays
// ahead then, until the sweeper sees it.
func (l *life) Jump(rt *rapid.T) {
	l.jumped = true
	l.pass(rapid.SampledFrom([]time.Duration{time.Hour, -time.Hour}).Draw(rt, "by"))
}

func (l *life) Flush(rt *rapid.T) {
	if err := l.rdb.FlushDB(l.t.Context()).Err(); err != nil {
		rt.Fatal(err)
	}
}

// Sweep voids what is overdue, so those holds are over.
func (l *life) Sweep(rt *rapid.T) {
	if _, err := l.books.Sweep(l.t.Context()); err != nil {
		rt.Fatal(err)
	}
	kept := l.open[:0]
	for _, h := range l.open {
		if _, err := books.Find(l.t.Context(), l.db, h.id); errors.Is(err, store.ErrNotFound) {
			kept = append(kept, h)
		} else if h.standing != nil {
			l.closed = append(l.closed, h)
		}
	}
	l.open = kept
}

func (l *life) Check(rt *rapid.T) {
	p, err := l.books.Audit(l.t.Context(), l.org, true)
	if err != nil {
		rt.Fatal(err)
	}
	if len(p.Differences) > 0 {
		rt.Fatalf("differences: %q", p.Differences)
	}
	var got totals // which the audit has found to be the sums they should be
	var available lookup.Credits
	err = l.db.QueryRowContext(l.t.Context(), `SELECT granted, charged, revoked, available FROM accounts WHERE org = ?`, l.org).
		Scan(&got.granted, &got.charged, &got.revoked, &available)
	if err != nil {
		rt.Fatal(err)
	}
	if got != l.want || available < 0 {
		rt.Fatalf("the account has %+v and %s available, the calls add up to %+v", got, available, l.want)
	}
	grants, err := l.books.Grants(l.t.Context(), l.org)
	if err != nil {
		rt.Fatal(err)
	}
	for _, g := range grants {
		if g.Remaining < 0 || g.Remaining > g.Amount {
			rt.Fatalf("%s remain of a grant of %s", g.Remaining, g.Amount)
		}
	}
}

// A failure prints the seed and the calls. With MAGPIE_SOAK there are many more.
func TestBooksProveThemselves(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		run, times := 0, 1
		if os.Getenv("MAGPIE_SOAK") != "" {
			times = 10
		}
		for range times {
			rapid.Check(t, func(rt *rapid.T) {
				run++
				l := &life{timedBench: b, org: fmt.Sprintf("org_life%d", run), refunded: map[string]bool{}, revoked: map[string]bool{}}
				if _, err := db.CreateOrg(t.Context(), l.org, "Life", b.clock.Now()); err != nil {
					rt.Fatal(err)
				}
				rt.Repeat(rapid.StateMachineActions(l))
			})
		}
	})
}
