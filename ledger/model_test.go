package ledger_test

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/ledger"
)

// The model is the whole protocol between workers, sweeper, SQL and gate, with
// nothing real in it: SQL is a struct whose transactions are function calls, the
// gate is the reference. Actors step through their work in an order that a seed
// chooses, and at any step one may crash, Redis may lose everything or its last
// commits, and clocks may jump. At the end the books must equal the results.
//
// Each defence of the protocol can be left out; then some seed must fail.

// cures are the defences.
type cures struct {
	rounds     bool // a closing moves the chunk on, and a hold's id with it
	void       bool // the sweeper closes in SQL before it releases
	fence      bool // a charge of an older generation is rolled back
	generation bool // a settle captures only a charge of the account's generation
	epoch      bool // what a promoted replica has counts as missing
	gaps       bool // grants apply in their order, and a sweep looks for missing ones
	once       bool // a grant applies once, however often it is told
	recheck    bool // a commit whose answer was lost is looked up, by way of a void
	lots       bool // a charge that a lot cannot pay is rolled back
	refunds    bool // a row is refunded once
	clock      bool // an account whose clock ran away is loaded
}

func allCures() cures {
	return cures{true, true, true, true, true, true, true, true, true, true, true}
}

// violation is a broken promise; crashed ends an actor.
type (
	violation string
	crashed   struct{}
)

const (
	modelChunks = 3
	modelRows   = 4
	minute      = int64(time.Minute / time.Millisecond)
)

type (
	modelRow     struct{ chunk, row int }
	modelClosing struct {
		units, price, charged, generation int64
		slices                            []ledger.Slice
		rows                              []modelRow
		refunded                          int64
		scopes                            []ledger.Scope
	}
	modelLot struct{ ledger.Lot } // Free is what remains
)

// memory is SQL.
type memory struct {
	epoch, generation, grants          int64
	granted, charged, expired, revoked int64
	lots                               map[int64]*modelLot
	closings                           map[string]*modelClosing
	results                            map[modelRow]string
	round                              [modelChunks]int
	spend                              map[string]int64
	refunds                            map[modelRow]bool
	refunded, chargedRows              int64
}

type world struct {
	*rand.Rand
	cures  cures
	sql    memory
	gate   *reference
	past   []*reference // what a replica may have
	now    int64
	skew   int64 // of Redis' clock
	actors []actor
	tasks  []int // chunks
	truth  map[modelRow]bool
	quiet  bool // no more faults
}

type actor struct {
	next func() (struct{}, bool)
	stop func()
}

// spawn adds an actor. It calls step wherever others may come between.
func (w *world) spawn(work func(step func())) {
	next, stop := iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if p := recover(); p != nil && p != (crashed{}) {
				panic(p)
			}
		}()
		work(func() {
			if !yield(struct{}{}) {
				panic(crashed{})
			}
		})
	})
	w.actors = append(w.actors, actor{next, stop})
}

func (w *world) chance(p float64) bool { return !w.quiet && w.Float64() < p }

// ---- gate

func (w *world) missing() bool { return w.gate == nil || w.cures.epoch && w.gate.epoch < w.sql.epoch }

// script runs one script.
func (w *world) script(run func(g *reference, at int64) error) error {
	if w.missing() {
		return ledger.ErrMissing
	}
	w.remember()
	return run(w.gate, w.now+w.skew)
}

func (w *world) remember() {
	if w.gate != nil {
		w.past = append(w.past, w.gate.clone())
		w.past = w.past[max(0, len(w.past)-6):]
	}
}

// load raises the generation, reads SQL and, a step later, writes the gate.
func (w *world) load(step func()) {
	w.sql.generation++
	s := w.snapshot()
	step()
	if w.missing() {
		old := w.gate
		w.gate = newReference()
		if old != nil { // the holds are still there, and no longer count
			w.gate.holds, w.gate.closed, w.gate.deadlines = old.holds, old.closed, old.deadlines
		}
	}
	w.remember()
	w.gate.load(s, w.now+w.skew)
	step()
}

func (w *world) snapshot() ledger.Snapshot {
	s := ledger.Snapshot{
		Epoch: w.sql.epoch, Generation: w.sql.generation, Grant: w.sql.grants, Granted: w.sql.granted, Captured: w.sql.charged,
		Expired: w.sql.expired, Revoked: w.sql.revoked, Scopes: maps.Clone(w.sql.spend),
	}
	for _, id := range slices.Sorted(maps.Keys(w.sql.lots)) {
		if l := w.sql.lots[id]; l.Free > 0 {
			s.Lots = append(s.Lots, l.Lot)
		}
	}
	return s
}

// ensure loads if the gate is missing or of another generation.
func (w *world) ensure(step func()) {
	if w.missing() || w.gate.generation != w.sql.generation {
		w.load(step)
	}
}

// ---- SQL

var (
	errFenced    = errors.New("fenced")
	errOverdrawn = errors.New("overdrawn")
)

// commit is the transaction that stores results and charges them.
func (w *world) commit(id string, chunk int, h referenceHold, answered []modelRow) error {
	if _, ok := w.sql.closings[id]; ok {
		return ledger.ErrClosed
	}
	c := &modelClosing{price: h.price, generation: h.generation, scopes: h.scopes}
	var fresh []modelRow
	for _, r := range answered {
		if _, ok := w.sql.results[r]; !ok {
			fresh = append(fresh, r)
			if w.truth[r] {
				c.units++
				c.rows = append(c.rows, r)
			}
		}
	}
	c.charged = c.units * c.price
	c.slices, _ = ledger.Burn(h.slices, c.charged)
	if c.charged > 0 {
		if w.cures.fence && h.generation != w.sql.generation {
			return errFenced
		}
		for _, s := range c.slices {
			if w.cures.lots && (w.sql.lots[s.Lot] == nil || w.sql.lots[s.Lot].Free < s.Amount) {
				return errOverdrawn
			}
		}
		for _, s := range c.slices {
			w.sql.lots[s.Lot].Free -= s.Amount
		}
		for _, s := range h.scopes {
			w.sql.spend[s.Name] += c.charged
		}
	}
	for _, r := range fresh {
		w.sql.results[r] = id
	}
	w.sql.charged += c.charged
	w.sql.chargedRows += c.charged
	w.close(id, chunk, c)
	return nil
}

func (w *world) close(id string, chunk int, c *modelClosing) {
	w.sql.closings[id] = c
	if w.cures.rounds {
		w.sql.round[chunk]++
	}
}

// void closes a hold with nothing charged, unless it has a closing.
func (w *world) void(id string) {
	if _, ok := w.sql.closings[id]; !ok {
		var chunk, round int
		if _, err := fmt.Sscanf(id, "%d:%d", &chunk, &round); err != nil {
			panic(err)
		}
		w.close(id, chunk, &modelClosing{generation: w.sql.generation})
	}
}

// ---- actors

func (w *world) todo(chunk int) (rows []modelRow) {
	for row := range modelRows {
		if _, ok := w.sql.results[modelRow{chunk, row}]; !ok {
			rows = append(rows, modelRow{chunk, row})
		}
	}
	return rows
}

func (w *world) request(chunk int, want int64) ledger.HoldRequest {
	q := ledger.HoldRequest{
		Want: want, Least: 1, Price: int64(chunk + 1), Life: 30 * time.Minute,
		Scopes: []ledger.Scope{{Name: fmt.Sprintf("batch:%d", chunk)}, {Name: "key"}},
	}
	if chunk == 0 {
		q.Scopes[0].Limit = 3
	}
	if chunk == 1 {
		q.Scopes[0].Share = 600
	}
	return q
}

// worker runs one round of a chunk.
func (w *world) worker(chunk int) func(step func()) {
	return func(step func()) {
		id := fmt.Sprintf("%d:%d", chunk, w.sql.round[chunk])
		step()
		rows := w.todo(chunk)
		if len(rows) == 0 {
			return
		}
		h, err := w.hold(id, w.request(chunk, int64(len(rows))), step)
		switch {
		case errors.Is(err, ledger.ErrClosed):
			w.settle(id, step)
			w.push(chunk)
			return
		case err != nil:
			w.push(chunk) // waits for credits
			return
		}
		var answered []modelRow
		for _, r := range rows[:min(int(h.units), len(rows))] {
			step()
			answered = append(answered, r)
			if w.chance(.1) {
				_ = w.script(func(g *reference, at int64) error {
					_, err := g.extend(id, 2*longest, at)
					return err
				})
			}
			if w.chance(.1) {
				break // a graceful stop stores what it has
			}
		}
		w.store(id, chunk, h, answered, step)
		w.push(chunk)
	}
}

func (w *world) hold(id string, q ledger.HoldRequest, step func()) (h referenceHold, err error) {
	for {
		err = w.script(func(g *reference, at int64) (err error) {
			h, err = g.hold(id, q, at)
			return err
		})
		step()
		if !errors.Is(err, ledger.ErrMissing) {
			return h, err
		}
		w.ensure(step)
	}
}

// store commits and settles, holding again where the charge was fenced off.
func (w *world) store(id string, chunk int, h referenceHold, answered []modelRow, step func()) {
	for range 20 {
		step()
		if w.chance(.1) { // the answer is lost
			w.unknown(id, chunk, h, answered, step)
			return
		}
		err := w.commit(id, chunk, h, answered)
		switch {
		case err == nil, errors.Is(err, ledger.ErrClosed):
			step()
			w.settle(id, step)
			return
		case errors.Is(err, errOverdrawn):
			w.load(step)
		default:
			w.ensure(step)
		}
		q := w.request(chunk, int64(max(1, len(answered))))
		q.Opened = time.UnixMilli(h.opened)
		if h, err = w.hold(id, q, step); errors.Is(err, ledger.ErrClosed) {
			return
		}
		if err != nil {
			h = referenceHold{price: q.Price, opened: h.opened}
		}
		answered = w.payable(answered, h.units)
	}
	// Loaded again and again: the sweeper closes it.
}

// payable drops found rows that the hold does not cover: they stay open.
func (w *world) payable(answered []modelRow, units int64) (kept []modelRow) {
	for _, r := range answered {
		if w.truth[r] {
			if units--; units < 0 {
				continue
			}
		}
		kept = append(kept, r)
	}
	return kept
}

// unknown is a commit whose answer is lost: it happened, or not, or will.
func (w *world) unknown(id string, chunk int, h referenceHold, answered []modelRow, step func()) {
	switch w.IntN(3) {
	case 0:
		_ = w.commit(id, chunk, h, answered)
	case 1:
		w.spawn(func(step func()) {
			step()
			step()
			_ = w.commit(id, chunk, h, answered)
		})
	}
	step()
	if w.cures.recheck {
		w.void(id)
		step()
	}
	w.settle(id, step)
}

// settle tells the gate what closing stands; nothing, if none does.
func (w *world) settle(id string, step func()) {
	c := w.sql.closings[id]
	if c == nil {
		c = &modelClosing{}
	}
	step()
	err := w.script(func(g *reference, at int64) error {
		generation := c.generation
		if !w.cures.generation {
			generation = g.generation
		}
		_, _, err := g.settle(id, c.charged, generation, at)
		return err
	})
	if errors.Is(err, ledger.ErrUnknown) || errors.Is(err, ledger.ErrMissing) {
		step()
		w.load(step)
	}
}

func (w *world) push(chunk int) {
	if !w.quiet && len(w.todo(chunk)) > 0 {
		w.tasks = append(w.tasks, chunk)
	}
}

// sweep closes overdue holds, and now and then one that is not.
func (w *world) sweep(all bool) func(step func()) {
	return func(step func()) {
		if w.missing() {
			return
		}
		if w.cures.gaps && w.gate.grant < w.sql.grants || w.gate.generation != w.sql.generation ||
			w.cures.clock && w.gate.clock > w.now+10*minute {
			step()
			w.load(step)
			if w.missing() {
				return
			}
		}
		for _, id := range slices.Sorted(maps.Keys(w.gate.deadlines)) {
			if !all && w.gate.deadlines[id] > w.now+w.skew && w.chance(.7) {
				continue
			}
			step()
			if w.cures.void {
				w.void(id)
				step()
			}
			w.settle(id, step)
			if w.missing() {
				return
			}
		}
		w.expire()
	}
}

// expire posts the breakage of lots that have ended.
func (w *world) expire() {
	for _, l := range w.sql.lots {
		if l.Expired(w.now - longest - minute) {
			w.sql.expired += l.Free
			l.Free = 0
		}
	}
}

// tell applies a numbered change in the gate, and perhaps again.
func (w *world) tell(number int64, step func(), change func(g *reference, at int64) error) {
	for range 1 + w.IntN(2) {
		step()
		err := w.script(func(g *reference, at int64) error {
			if !w.cures.gaps && number > g.grant+1 || !w.cures.once && number <= g.grant {
				last := g.grant
				g.grant = number - 1
				err := change(g, at)
				g.grant = max(last, number)
				return err
			}
			return change(g, at)
		})
		if errors.Is(err, ledger.ErrGap) || errors.Is(err, ledger.ErrMissing) {
			step()
			w.load(step)
		}
	}
}

// granter sells a few credits, as a purchase or as a new cycle.
func (w *world) granter(step func()) {
	w.sql.grants++
	g := ledger.Grant{Number: w.sql.grants, Amount: w.Int64N(4) + 1, Lot: ledger.Lot{ID: w.sql.grants, Class: ledger.Paid}}
	var old []int64
	if w.IntN(2) == 0 {
		g.Lot.Class, g.Lot.Expires = ledger.Subscription, w.now+[]int64{30, 60, 200, 1440}[w.IntN(4)]*minute
		for _, id := range slices.Sorted(maps.Keys(w.sql.lots)) {
			if l := w.sql.lots[id]; l.Class == ledger.Subscription && !l.Expired(w.now) && l.Expires < g.Lot.Expires {
				old = append(old, id)
				l.Expires = w.now
			}
		}
	} else if l := w.sql.lots[1]; l != nil {
		g.Lot = ledger.Lot{ID: 1, Class: l.Class}
	}
	w.fill(g.Lot, g.Amount)
	w.sql.granted += g.Amount
	ends := w.now
	w.tell(g.Number, step, func(r *reference, at int64) error { return r.refresh(g, old, ends, at) })
}

func (w *world) fill(l ledger.Lot, amount int64) {
	if w.sql.lots[l.ID] == nil {
		l.Free = 0
		w.sql.lots[l.ID] = &modelLot{l}
	}
	w.sql.lots[l.ID].Free += amount
}

// refunder gives back a row that was charged, perhaps once more.
func (w *world) refunder(step func()) {
	for _, id := range slices.Sorted(maps.Keys(w.sql.closings)) {
		c := w.sql.closings[id]
		for _, r := range c.rows {
			if w.sql.refunds[r] && w.cures.refunds || w.IntN(2) == 0 {
				continue
			}
			w.sql.refunds[r] = true
			w.sql.grants++
			back := slices.Clone(c.slices)
			slices.Reverse(back)
			_, left := ledger.Burn(back, c.refunded)
			parts, _ := ledger.Burn(left, c.price)
			c.refunded += c.price
			w.sql.charged -= ledger.Sum(parts)
			w.sql.refunded += c.price
			lots := w.giveBack(parts)
			number := w.sql.grants
			w.tell(number, step, func(g *reference, at int64) error { return g.refund(number, lots, at) })
			return
		}
	}
}

func (w *world) giveBack(parts []ledger.Slice) (lots []ledger.Lot) {
	fresh := ledger.Lot{ID: w.sql.grants, Class: ledger.Paid, Expires: w.now + 2*longest}
	for _, s := range parts {
		l := w.sql.lots[s.Lot].Lot
		l.Free = s.Amount
		if l.Expired(w.now) {
			fresh.Free += s.Amount
			continue
		}
		lots = append(lots, l)
	}
	if fresh.Free > 0 {
		lots = append(lots, fresh)
	}
	for _, l := range lots {
		w.fill(l, l.Free)
	}
	return lots
}

// revoker takes back what is left of what was bought first.
func (w *world) revoker(step func()) {
	l := w.sql.lots[1]
	if l == nil || l.Free == 0 {
		return
	}
	taken := 1 + w.Int64N(l.Free)
	l.Free -= taken
	w.sql.revoked += taken
	w.sql.grants++
	w.sql.generation++
	step()
	w.load(step)
}

// ---- the scheduler

func newWorld(seed uint64, c cures) *world {
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, 0)), cures: c, now: start, tasks: []int{0, 1, 2}, truth: map[modelRow]bool{},
		sql: memory{
			generation: 1, lots: map[int64]*modelLot{}, closings: map[string]*modelClosing{}, results: map[modelRow]string{},
			spend: map[string]int64{}, refunds: map[modelRow]bool{},
		},
	}
	for chunk := range modelChunks {
		for row := range modelRows {
			w.truth[modelRow{chunk, row}] = w.IntN(10) < 6
		}
	}
	w.sql.grants, w.sql.granted = 1, []int64{3, 6, 10, 20}[w.IntN(4)]
	w.fill(ledger.Lot{ID: 1, Class: ledger.Paid}, w.sql.granted)
	return w
}

func (w *world) run() {
	for range 200 {
		w.fault()
		switch x := w.IntN(100); {
		case x < 4:
			w.spawn(w.sweep(false))
		case x < 7:
			w.spawn(w.granter)
		case x < 8:
			w.spawn(w.refunder)
		case x < 9:
			w.spawn(w.revoker)
		case x < 12:
			w.now += w.Int64N(40 * minute)
		case x < 60 && len(w.tasks) > 0 && len(w.actors) < 5:
			at := w.IntN(len(w.tasks))
			chunk := w.tasks[at]
			if !w.chance(.2) { // else it is delivered twice
				w.tasks = slices.Delete(w.tasks, at, at+1)
			}
			w.spawn(w.worker(chunk))
		}
		w.step()
		w.check()
	}
}

func (w *world) fault() {
	switch x := w.IntN(1000); {
	case x < 10:
		w.remember()
		w.gate = nil // everything is lost
	case x < 20 && len(w.past) > 0: // a replica that lagged is promoted
		w.gate = w.past[w.IntN(len(w.past))].clone()
		w.past = nil
		w.sql.epoch++
	case x < 40 && len(w.actors) > 0: // kill -9
		at := w.IntN(len(w.actors))
		w.actors[at].stop()
		w.actors = slices.Delete(w.actors, at, at+1)
	case x < 45:
		w.skew = []int64{-1, 0, 1, 12}[w.IntN(4)] * longest
	}
}

func (w *world) step() {
	if len(w.actors) == 0 {
		return
	}
	at := w.IntN(len(w.actors))
	if _, goes := w.actors[at].next(); !goes {
		w.actors = slices.Delete(w.actors, at, at+1)
	}
}

// drain lets everybody finish.
func (w *world) drain() {
	for range 20_000 {
		if len(w.actors) == 0 {
			return
		}
		w.step()
		w.check()
	}
	panic(violation("livelock"))
}

// check is what must hold at every moment.
func (w *world) check() {
	sum := int64(0)
	for _, l := range w.sql.lots {
		if l.Free < 0 {
			panic(violation("a lot is overdrawn"))
		}
		sum += l.Free
	}
	if sum != w.sql.granted-w.sql.charged-w.sql.expired-w.sql.revoked {
		panic(violation("SQL does not add up"))
	}
	if w.gate != nil {
		if err := w.gate.check(); err != nil {
			panic(violation("the gate: " + err.Error()))
		}
	}
}

// finish ends all faults and lets the work be done.
func (w *world) finish() {
	w.quiet, w.skew = true, 0
	w.drain()
	w.now += 2 * longest
	for range 2 {
		w.spawn(w.sweep(true))
		w.drain()
	}
	for range 16 {
		for chunk := range modelChunks {
			if len(w.todo(chunk)) > 0 {
				w.spawn(w.worker(chunk))
				w.drain()
			}
		}
	}
	w.spawn(func(step func()) { w.ensure(step) })
	w.drain()
	w.spawn(w.sweep(true))
	w.drain()
	w.compare()
}

// compare is what must hold when nothing is in flight.
func (w *world) compare() {
	found := int64(0)
	for r := range w.sql.results {
		if w.truth[r] {
			found += int64(r.chunk + 1)
		}
	}
	refunds := int64(0)
	for r := range w.sql.refunds {
		refunds += int64(r.chunk + 1)
	}
	if found != w.sql.chargedRows || w.sql.charged != found-refunds {
		panic(violation("the charges are not the price of what was found"))
	}
	loaded := newReference()
	loaded.load(w.snapshot(), w.now)
	got, want := w.gate.balance(w.now), loaded.balance(w.now)
	switch {
	case got.Open != 0 || got.Held != 0:
		panic(violation("frozen hold"))
	case got.Available > want.Available:
		panic(violation("gate too high"))
	case got.Available < want.Available:
		panic(violation("gate too low"))
	case got.Captured != want.Captured || got.Expired != want.Expired || got.Revoked != want.Revoked || got.Grant != want.Grant:
		panic(violation(fmt.Sprintf("the gate is %+v, SQL has %+v", got, want)))
	}
	for name, spent := range w.sql.spend {
		if w.gate.used[name] != spent {
			panic(violation("a scope is counted wrong"))
		}
	}
	for chunk := range modelChunks {
		capped := chunk == 0 && w.sql.spend["batch:0"] >= 3
		if len(w.todo(chunk)) > 0 && want.Available > int64(chunk) && !capped {
			panic(violation("stalled"))
		}
	}
}

// trial runs one seed and returns the violation, or "".
func trial(seed uint64, c cures) (broken string) {
	w := newWorld(seed, c)
	defer func() {
		p := recover()
		for _, a := range w.actors {
			func() {
				defer func() { _ = recover() }()
				a.stop()
			}()
		}
		switch v := p.(type) {
		case nil:
		case violation:
			broken = string(v)
		default:
			panic(fmt.Sprintf("seed %d: %v", seed, v))
		}
	}()
	w.run()
	w.finish()
	return ""
}

// modelSeeds is how many seeds a test tries: some hundreds, or with make soak
// some ten thousand.
func modelSeeds() uint64 {
	if os.Getenv("MAGPIE_SOAK") != "" {
		return 60_000
	}
	return 1500
}

func TestProtocolHolds(t *testing.T) {
	t.Parallel()
	for seed := range modelSeeds() {
		if broken := trial(seed, allCures()); broken != "" {
			t.Fatalf("seed %d: %s", seed, broken)
		}
	}
}

// Every defence is needed: without it some seed breaks a promise.
func TestEveryDefenceIsNeeded(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*cures){
		"rounds":     func(c *cures) { c.rounds = false },
		"void":       func(c *cures) { c.void = false },
		"fence":      func(c *cures) { c.fence = false },
		"generation": func(c *cures) { c.generation = false },
		"epoch":      func(c *cures) { c.epoch = false },
		"gaps":       func(c *cures) { c.gaps = false },
		"once":       func(c *cures) { c.once = false },
		"recheck":    func(c *cures) { c.recheck = false },
		"lots":       func(c *cures) { c.lots = false },
		"refunds":    func(c *cures) { c.refunds = false },
		"clock":      func(c *cures) { c.clock = false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := allCures()
			leave(&c)
			for seed := range uint64(20_000) {
				if broken := trial(seed, c); broken != "" {
					t.Logf("seed %d: %s", seed, strings.TrimSpace(broken))
					return
				}
			}
			t.Error("no seed breaks without it")
		})
	}
}
