package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/ledger"
)

// duel puts the same random calls to the gate and to the reference, and after
// each compares the answer and everything the gate keeps. Ids are few, so that
// repeats, closed ids and stale generations are common.
type duel struct {
	ctx  func() context.Context
	rdb  *redis.Client
	gate *ledger.Gate
	org  string
	ref  *reference
	now  int64
	seen map[int64]ledger.Lot // lots that were ever granted
}

var (
	names  = []string{"a", "b", "c", "d", "e"}
	ids    = rapid.SampledFrom(names)
	prices = rapid.SampledFrom([]int64{0, 1, 250, 1000, 1500})
)

func (d *duel) Hold(rt *rapid.T) {
	ask, check := d.hold(rt)
	ask()
	check()
}

func (d *duel) Settle(rt *rapid.T) {
	ask, check := d.settle(rt)
	ask()
	check()
}

// Crowd makes calls that share a script; ids may be among them twice.
func (d *duel) Crowd(rt *rapid.T) {
	draw := d.hold
	if rapid.Bool().Draw(rt, "settle") {
		draw = d.settle
	}
	var asks, checks []func()
	for range rapid.IntRange(2, 6).Draw(rt, "crowd") {
		ask, check := draw(rt)
		asks, checks = append(asks, ask), append(checks, check)
	}
	d.gate.Together(asks...)
	for _, check := range checks {
		check()
	}
}

// hold draws a hold and makes it in the reference. ask makes it in the gate, check
// compares.
func (d *duel) hold(rt *rapid.T) (ask, check func()) {
	id := ids.Draw(rt, "id")
	q := ledger.HoldRequest{
		Org: d.org, ID: id, Want: rapid.Int64Range(1, 5).Draw(rt, "want"), Price: prices.Draw(rt, "price"),
		Life: time.Duration(rapid.Int64Range(1, longest).Draw(rt, "life")) * time.Millisecond,
		Scopes: []ledger.Scope{
			{Name: "key:k:2026-11", Limit: rapid.SampledFrom([]int64{0, 0, 5000}).Draw(rt, "limit")},
			{Name: "batch:b", Share: rapid.SampledFrom([]int64{0, 0, 300, 500}).Draw(rt, "share")},
			{Name: "batches", Share: rapid.SampledFrom([]int64{0, 500, 1000}).Draw(rt, "share of all"), HeldOnly: true},
		}[:rapid.IntRange(0, 3).Draw(rt, "scopes")],
	}
	q.Least = rapid.Int64Range(1, q.Want).Draw(rt, "least")
	if known, ok := d.ref.holds[id]; ok && rapid.Bool().Draw(rt, "again") {
		q.Opened = time.UnixMilli(known.opened)
	}
	level := d.ref.level
	want, wantErr := d.ref.hold(id, q, d.now)
	lower := d.ref.level > level
	var held ledger.Hold
	var err error
	ask = func() { held, err = d.gate.Hold(d.ctx(), q) }
	return ask, func() { sameHold(rt, want, wantErr, lower, held, err) }
}

func sameHold(rt *rapid.T, want referenceHold, wantErr error, lower bool, held ledger.Hold, err error) {
	var refused, wantRefused *ledger.InsufficientError
	if errors.As(wantErr, &wantRefused) {
		if !errors.As(err, &refused) || *refused != *wantRefused {
			rt.Fatalf("hold: %+v, %v; want %+v", refused, err, wantRefused)
		}
		return
	}
	if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		rt.Fatalf("hold: %v, want %v", err, wantErr)
	}
	if err != nil {
		return
	}
	if held.Units != want.units || held.Price != want.price || held.Generation != want.generation ||
		held.Opened.UnixMilli() != want.opened || !slices.Equal(held.Slices, want.slices) || !slices.Equal(held.Scopes, want.charged()) {
		rt.Fatalf("hold: %+v, want %+v", held, want)
	}
	if lower != (held.Fell != ledger.Plenty) {
		rt.Fatalf("hold: the level fell is %t, the answer says %d", lower, held.Fell)
	}
}

// settle is what hold is for a hold.
func (d *duel) settle(rt *rapid.T) (ask, check func()) {
	id, charged := ids.Draw(rt, "id"), rapid.Int64Range(0, 5000).Draw(rt, "charged")
	generation := rapid.Int64Range(max(d.ref.generation-1, 0), d.ref.generation).Draw(rt, "generation")
	want, fell, wantErr := d.ref.settle(id, charged, generation, d.now)
	var settled ledger.Settled
	var err error
	ask = func() { settled, err = d.gate.Settle(d.ctx(), d.org, id, charged, generation) }
	return ask, func() {
		if !errors.Is(err, wantErr) || settled.Captured != want || settled.Fell != fell {
			rt.Fatalf("settle: %+v, %v; want %d, fell %d, %v", settled, err, want, fell, wantErr)
		}
	}
}

func (d *duel) Extend(rt *rapid.T) {
	id, life := ids.Draw(rt, "id"), rapid.Int64Range(1, 2*longest).Draw(rt, "life")
	want, wantErr := d.ref.extend(id, life, d.now)
	deadline, err := d.gate.Extend(d.ctx(), d.org, id, time.Duration(life)*time.Millisecond)
	if errors.Is(wantErr, errLate) {
		if err != nil || !deadline.IsZero() {
			rt.Fatalf("extend: %v, %v; want nothing", deadline, err)
		}
		return
	}
	if !errors.Is(err, wantErr) || err == nil && deadline.UnixMilli() != want {
		rt.Fatalf("extend: %v, %v; want %d, %v", deadline, err, want, wantErr)
	}
}

func (d *duel) grant(rt *rapid.T) ledger.Grant {
	g := ledger.Grant{
		Org: d.org, Number: d.ref.grant + rapid.SampledFrom([]int64{1, 1, 1, 1, 0, -1, 2}).Draw(rt, "step"),
		Amount: rapid.Int64Range(1, 5000).Draw(rt, "amount"),
	}
	g.Lot = ledger.Lot{ID: g.Number, Class: ledger.Class(rapid.Int64Range(0, 2).Draw(rt, "class"))}
	if rapid.Bool().Draw(rt, "expires") {
		// Few dates, so that lots often expire together.
		g.Lot.Expires = (d.now/longest + rapid.Int64Range(0, 3).Draw(rt, "after")) * longest
	} else if known := d.lots(func(l ledger.Lot) bool { return l.Expires == 0 }); len(known) > 0 {
		g.Lot = d.seen[known[0]]
	}
	return g
}

// lots lists lots ever granted, in order.
func (d *duel) lots(which func(ledger.Lot) bool) []int64 {
	var list []int64
	for _, id := range slices.Sorted(maps.Keys(d.seen)) {
		if which(d.seen[id]) {
			list = append(list, id)
		}
	}
	return list
}

func (d *duel) Grant(rt *rapid.T) {
	g := d.grant(rt)
	d.agree(rt, "grant", g, func() error { return d.ref.give(g, d.now) }, func() (ledger.Level, error) { return d.gate.Grant(d.ctx(), g) })
}

func (d *duel) Refresh(rt *rapid.T) {
	g, ends := d.grant(rt), max(1, d.now+rapid.Int64Range(-1000, 1000).Draw(rt, "ends"))
	old := d.lots(func(l ledger.Lot) bool { return l.Class == ledger.Subscription && l.ID != g.Lot.ID })
	old = old[max(0, len(old)-2):]
	d.agree(rt, "refresh", g, func() error { return d.ref.refresh(g, old, ends, d.now) }, func() (ledger.Level, error) {
		return d.gate.Refresh(d.ctx(), g, old, time.UnixMilli(ends))
	})
}

// agree applies something numbered on both sides.
func (d *duel) agree(rt *rapid.T, what string, g ledger.Grant, ref func() error, gate func() (ledger.Level, error)) {
	level, grant := d.ref.level, d.ref.grant
	wantErr := ref()
	fell, err := gate()
	if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		rt.Fatalf("%s: %v, want %v", what, err, wantErr)
	}
	if (d.ref.level > level) != (fell != ledger.Plenty) {
		rt.Fatalf("%s: the level went from %d to %d, the answer says %d", what, level, d.ref.level, fell)
	}
	if _, known := d.seen[g.Lot.ID]; !known && d.ref.grant > grant {
		d.seen[g.Lot.ID] = g.Lot
	}
}

func (d *duel) Refund(rt *rapid.T) {
	known := d.lots(func(ledger.Lot) bool { return true })
	number := d.ref.grant + rapid.SampledFrom([]int64{1, 1, 0, 2}).Draw(rt, "step")
	if len(known) == 0 {
		return
	}
	lot := d.seen[rapid.SampledFrom(known).Draw(rt, "lot")]
	lot.Free = rapid.Int64Range(1, 2000).Draw(rt, "amount")
	lots := []ledger.Lot{lot}
	d.agree(rt, "refund", ledger.Grant{Lot: lot}, func() error { return d.ref.refund(number, lots, d.now) }, func() (ledger.Level, error) {
		return d.gate.Refund(d.ctx(), d.org, number, lots)
	})
}

func (d *duel) Threshold(rt *rapid.T) {
	threshold := rapid.SampledFrom([]int64{0, 2000, 4000}).Draw(rt, "threshold")
	d.ref.age(max(d.now, d.ref.clock))
	d.ref.threshold = threshold
	want := d.ref.fall(0, false)
	if fell, err := d.gate.SetThreshold(d.ctx(), d.org, threshold); err != nil || fell != want {
		rt.Fatalf("threshold: %d, %v; want %d", fell, err, want)
	}
}

// Tick moves the server's clock, now and then back.
func (d *duel) Tick(rt *rapid.T) {
	d.now = max(1, d.now+rapid.SampledFrom([]int64{1, longest / 4, longest / 2, 2 * longest, -longest}).Draw(rt, "ms"))
}

// Flush loses everything and loads it again; what was held is free then.
func (d *duel) Flush(rt *rapid.T) {
	if err := d.rdb.FlushDB(d.ctx()).Err(); err != nil {
		rt.Fatal(err)
	}
	epoch, s := d.ref.epoch, d.snapshot()
	*d.ref = *newReference()
	d.load(rt, epoch+rapid.Int64Range(0, 1).Draw(rt, "epoch"), s)
}

func (d *duel) Load(rt *rapid.T) {
	s := d.snapshot()
	s.Generation += rapid.Int64Range(-2, 0).Draw(rt, "older")
	d.load(rt, d.ref.epoch, s)
}

// snapshot is what SQL would have: nothing held, of a new generation.
func (d *duel) snapshot() ledger.Snapshot {
	r := d.ref
	s := ledger.Snapshot{
		Org: d.org, Generation: r.generation + 1, Grant: r.grant, Granted: r.granted, Captured: r.captured,
		Expired: r.gone, Revoked: r.revoked, Threshold: r.threshold, Level: r.level, Scopes: map[string]int64{},
	}
	for _, l := range r.lots {
		s.Lots = append(s.Lots, ledger.Lot{ID: l.ID, Class: l.Class, Expires: l.Expires, Free: l.Free + l.Held})
	}
	for name, used := range r.used {
		if !strings.HasPrefix(name, "#") && used >= r.used["#"+name] {
			s.Scopes[name] = used - r.used["#"+name]
		}
	}
	return s
}

func (d *duel) load(rt *rapid.T, epoch int64, s ledger.Snapshot) {
	s.Epoch = epoch
	level, before := s.Level, d.ref.generation
	d.ref.load(s, d.now)
	fell, err := d.gate.Load(d.ctx(), s)
	if err != nil {
		rt.Fatal(err)
	}
	if loaded := d.ref.generation != before; (loaded && d.ref.level > level) != (fell != ledger.Plenty) {
		rt.Fatalf("load: the level went from %d to %d, the answer says %d", level, d.ref.level, fell)
	}
}

func (d *duel) Check(rt *rapid.T) {
	if err := d.ref.check(); err != nil {
		rt.Fatalf("the reference itself: %v", err)
	}
	got, err := d.gate.Balance(d.ctx(), d.org)
	if err != nil {
		rt.Fatal(err)
	}
	want := d.ref.balance(d.now)
	if len(want.Lots) == 0 {
		want.Lots = nil
	}
	if !reflect.DeepEqual(got, want) {
		rt.Fatalf("the account is\n%+v, want\n%+v", got, want)
	}
	for name, used := range d.ref.used {
		if n, err := d.gate.Used(d.ctx(), d.org, name); err != nil || n != used {
			rt.Fatalf("%s uses %d, %v; want %d", name, n, err, used)
		}
	}
	for _, id := range names {
		if text := d.rdb.Get(d.ctx(), ledger.HoldKey(d.org, id)).Val(); text != d.ref.record(id) {
			rt.Fatalf("the hold %s is %q, want %q", id, text, d.ref.record(id))
		}
	}
	scores := map[string]int64{}
	for _, z := range d.rdb.ZRangeWithScores(d.ctx(), ledger.DeadlinesKey(d.org), 0, -1).Val() {
		if id, ours := strings.CutPrefix(z.Member.(string), d.org+" "); ours {
			scores[id] = int64(z.Score)
		}
	}
	if !maps.Equal(scores, d.ref.deadlines) {
		rt.Fatalf("deadlines %v, want %v", scores, d.ref.deadlines)
	}
}

// A failure prints the seed and the calls. Each time rapid tries a hundred
// sequences of calls; with MAGPIE_SOAK there are many such times.
func TestGateAgreesWithReference(t *testing.T) {
	t.Parallel()
	times := 1
	if os.Getenv("MAGPIE_SOAK") != "" {
		times = 50
	}
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		run := 0
		for range times {
			rapid.Check(t, func(rt *rapid.T) {
				run++
				d := &duel{
					ctx: t.Context, rdb: rdb, gate: ledger.New(rdb), org: fmt.Sprintf("org_%d", run),
					ref: newReference(), now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), seen: map[int64]ledger.Lot{},
				}
				d.gate.SetClock(func() int64 { return d.now })
				d.load(rt, 1, ledger.Snapshot{Org: d.org, Generation: 1, Scopes: map[string]int64{}})
				rt.Repeat(rapid.StateMachineActions(d))
			})
		}
	})
}
