package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/ledger"
)

// reference is the gate again, written to be obviously right: one account, no
// scripts, no keys, and no running totals: what can be added up is added up.
// It is what the scripts are compared with, and the gate of the model.
type reference struct {
	epoch, generation, grant   int64
	granted, captured, revoked int64
	gone                       int64 // expired, of lots that are dropped
	lots                       []ledger.Lot
	holds                      map[string]referenceHold // open
	closed                     map[string]int64         // what was captured
	used                       map[string]int64         // by counter
	deadlines                  map[string]int64
	open, clock                int64
	threshold                  int64
	level                      ledger.Level
}

type referenceHold struct {
	units, price, generation, opened int64
	slices                           []ledger.Slice
	scopes                           []ledger.Scope
}

// charged are the scopes that a charge of the hold is charged to.
func (h referenceHold) charged() (names []string) {
	for _, s := range h.scopes {
		if !s.HeldOnly {
			names = append(names, s.Name)
		}
	}
	return names
}

var errLate = errors.New("of an older generation")

const longest = int64(ledger.LongestHold / time.Millisecond)

func (r *reference) clone() *reference {
	c := *r
	c.lots = slices.Clone(r.lots)
	c.holds, c.closed = maps.Clone(r.holds), maps.Clone(r.closed)
	c.used, c.deadlines = maps.Clone(r.used), maps.Clone(r.deadlines)
	return &c
}

// free adds up what is free in lots that a hold opened then may use.
func (r *reference) free(opened int64) (sum int64) {
	for _, l := range r.lots {
		if !l.Expired(opened) {
			sum += l.Free
		}
	}
	return sum
}

func (r *reference) held() (sum int64) {
	for _, l := range r.lots {
		sum += l.Held
	}
	return sum
}

// balance is the account at a time, as the gate tells it.
func (r *reference) balance(at int64) ledger.Balance {
	c := r.clone()
	c.age(max(at, r.clock))
	b := ledger.Balance{
		Epoch: c.epoch, Generation: c.generation, Grant: c.grant, Open: c.open, Granted: c.granted, Captured: c.captured,
		Revoked: c.revoked, Expired: c.gone, Available: c.free(c.clock), Held: c.held(), Clock: c.clock,
		Threshold: c.threshold, Level: c.level, Lots: c.lots,
	}
	for _, l := range c.lots {
		if l.Expired(c.clock) {
			b.Expired += l.Free
		}
	}
	return b
}

// check says which invariant the account breaks.
func (r *reference) check() error {
	b := r.balance(0)
	switch {
	case b.Granted != b.Available+b.Held+b.Captured+b.Expired+b.Revoked:
		return fmt.Errorf("the account does not add up: %+v", b)
	case b.Available < 0 || b.Held < 0 || b.Captured < 0:
		return fmt.Errorf("less than nothing: %+v", b)
	case len(b.Lots) > ledger.MaxLots:
		return fmt.Errorf("%d lots", len(b.Lots))
	}
	byHolds := int64(0)
	for _, h := range r.holds {
		if h.generation == r.generation {
			byHolds += ledger.Sum(h.slices)
		}
	}
	if byHolds != b.Held {
		return fmt.Errorf("holds of %d, held %d", byHolds, b.Held)
	}
	return nil
}

func (r *reference) age(now int64) {
	r.clock = now
	r.lots = slices.DeleteFunc(r.lots, func(l ledger.Lot) bool {
		if l.Held > 0 || l.Free > 0 && !l.Expired(now-longest) {
			return false
		}
		r.gone += l.Free
		return true
	})
}

func (r *reference) lot(id int64) *ledger.Lot {
	if i := slices.IndexFunc(r.lots, func(l ledger.Lot) bool { return l.ID == id }); i >= 0 {
		return &r.lots[i]
	}
	return nil
}

// fall moves the level and returns it if it fell.
func (r *reference) fall(unit int64, grew bool) ledger.Level {
	total, was := r.free(r.clock)+r.held(), r.level
	if r.level == ledger.Exhausted && grew && total > 0 {
		r.level = ledger.Low
	}
	if r.level == ledger.Low && total*10 >= r.threshold*11 {
		r.level = ledger.Plenty
	}
	if r.level == ledger.Plenty && total < r.threshold {
		r.level = ledger.Low
	}
	if total < unit {
		r.level = ledger.Exhausted
	}
	if r.level > was {
		return r.level
	}
	return ledger.Plenty
}

func (r *reference) hold(id string, q ledger.HoldRequest, at int64) (referenceHold, error) {
	if _, ok := r.closed[id]; ok {
		return referenceHold{}, ledger.ErrClosed
	}
	if h, ok := r.holds[id]; ok && h.generation == r.generation {
		return h, nil
	}
	before := r.clone()
	now := max(at, r.clock)
	r.age(now)
	opened := now
	if !q.Opened.IsZero() {
		opened = min(now, q.Opened.UnixMilli())
	}
	units, refused := r.units(q, opened)
	if refused != nil {
		*r = *before
		return referenceHold{}, refused
	}
	h := referenceHold{units: units, price: q.Price, generation: r.generation, opened: opened, scopes: q.Scopes}
	var usable []ledger.Slice
	for _, l := range r.lots {
		if l.Free > 0 && !l.Expired(opened) {
			usable = append(usable, ledger.Slice{Lot: l.ID, Amount: l.Free})
		}
	}
	h.slices, _ = ledger.Burn(usable, units*q.Price)
	for _, s := range h.slices {
		r.lot(s.Lot).Free -= s.Amount
		r.lot(s.Lot).Held += s.Amount
	}
	for _, s := range q.Scopes {
		if !s.HeldOnly {
			r.used[s.Name] += units * q.Price
		}
		if s.Share > 0 {
			r.used["#"+s.Name] += units * q.Price
		}
	}
	r.holds[id] = h
	r.deadlines[id] = min(now+q.Life.Milliseconds(), opened+longest)
	r.open++
	r.fall(q.Price, false)
	return h, nil
}

// units is how many units may be held now, or why that is too few.
func (r *reference) units(q ledger.HoldRequest, opened int64) (int64, error) {
	if q.Price == 0 {
		return q.Want, nil
	}
	refused := &ledger.InsufficientError{Available: r.free(r.clock), Held: r.held(), Grant: r.grant, Reason: ledger.NoCredits}
	units := min(q.Want, r.free(opened)/q.Price)
	if units < q.Least {
		return 0, refused
	}
	for _, s := range q.Scopes {
		refused.Scope = s.Name
		if s.Limit > 0 {
			refused.Reason, refused.ScopeUsed = ledger.AtLimit, r.used[s.Name]
			if units = min(units, floor(s.Limit-refused.ScopeUsed, q.Price)); units < q.Least {
				return 0, refused
			}
		}
		if s.Share > 0 {
			refused.Reason, refused.ScopeUsed = ledger.AboveShare, r.used["#"+s.Name]
			most := max(q.Price, (r.free(r.clock)+r.held())*s.Share/1000)
			if units = min(units, floor(most-refused.ScopeUsed, q.Price)); units < q.Least {
				return 0, refused
			}
		}
	}
	return units, nil
}

// record is what is kept of a hold: "" for nothing.
func (r *reference) record(id string) string {
	if captured, ok := r.closed[id]; ok {
		return fmt.Sprintf("c %d", captured)
	}
	h, ok := r.holds[id]
	if !ok {
		return ""
	}
	var slices, counters []string
	for _, s := range h.slices {
		slices = append(slices, fmt.Sprintf("%d:%d", s.Lot, s.Amount))
	}
	for _, s := range h.scopes {
		if !s.HeldOnly {
			counters = append(counters, s.Name)
		}
		if s.Share > 0 {
			counters = append(counters, "#"+s.Name)
		}
	}
	return fmt.Sprintf("o %d %d %d %d|%s|%s", h.generation, h.units, h.price, h.opened, strings.Join(slices, ";"), strings.Join(counters, " "))
}

func floor(a, b int64) int64 {
	if a < 0 {
		return -1
	}
	return a / b
}

func (r *reference) settle(id string, charged, generation, at int64) (captured int64, fell ledger.Level, err error) {
	if captured, ok := r.closed[id]; ok {
		return captured, ledger.Plenty, nil
	}
	h, ok := r.holds[id]
	current := ok && h.generation == r.generation
	if !current && charged > 0 && generation == r.generation {
		return 0, ledger.Plenty, ledger.ErrUnknown
	}
	delete(r.deadlines, id)
	if !ok {
		return 0, ledger.Plenty, nil
	}
	if current {
		r.age(max(at, r.clock))
		if generation != r.generation {
			charged = 0
		}
		burnt, released := ledger.Burn(h.slices, charged)
		captured = ledger.Sum(burnt)
		for _, s := range burnt {
			r.lot(s.Lot).Held -= s.Amount
		}
		for _, s := range released {
			r.lot(s.Lot).Held -= s.Amount
			r.lot(s.Lot).Free += s.Amount
		}
		for _, s := range h.scopes {
			if !s.HeldOnly {
				r.used[s.Name] -= ledger.Sum(released)
			}
			if s.Share > 0 {
				r.used["#"+s.Name] -= ledger.Sum(h.slices)
			}
		}
		r.captured += captured
		r.open--
		fell = r.fall(h.price, false)
	}
	delete(r.holds, id)
	r.closed[id] = captured
	return captured, fell, nil
}

func (r *reference) extend(id string, life, at int64) (deadline int64, err error) {
	if _, ok := r.closed[id]; ok {
		return 0, ledger.ErrClosed
	}
	h, ok := r.holds[id]
	if !ok || h.generation != r.generation {
		return 0, errLate
	}
	r.deadlines[id] = max(r.deadlines[id], min(max(at, r.clock)+life, h.opened+longest))
	return r.deadlines[id], nil
}

// numbered applies a grant, refresh or refund in its order.
func (r *reference) numbered(number, at int64, apply func(now int64) bool) error {
	switch {
	case number <= r.grant:
		return nil
	case number > r.grant+1:
		return ledger.ErrGap
	}
	before := r.clone()
	r.age(max(at, r.clock))
	if !apply(r.clock) {
		*r = *before
		return ledger.ErrGap
	}
	r.grant = number
	r.fall(0, true)
	return nil
}

func (r *reference) add(l ledger.Lot) {
	if known := r.lot(l.ID); known != nil {
		known.Free += l.Free
		return
	}
	r.lots = append(r.lots, l)
	slices.SortFunc(r.lots, ledger.BurnOrder)
}

func (r *reference) give(g ledger.Grant, at int64) error {
	return r.numbered(g.Number, at, func(int64) bool { return r.put(g) })
}

func (r *reference) put(g ledger.Grant) bool {
	if len(r.lots) >= ledger.MaxLots && r.lot(g.Lot.ID) == nil {
		return false
	}
	r.granted += g.Amount
	g.Lot.Free = g.Amount
	r.add(g.Lot)
	return true
}

func (r *reference) refresh(g ledger.Grant, old []int64, ends, at int64) error {
	return r.numbered(g.Number, at, func(now int64) bool {
		for _, id := range old {
			if l := r.lot(id); l != nil && !l.Expired(now) {
				l.Expires = min(ends, now)
			}
		}
		slices.SortFunc(r.lots, ledger.BurnOrder)
		return r.put(g)
	})
}

func (r *reference) refund(number int64, lots []ledger.Lot, at int64) error {
	return r.numbered(number, at, func(int64) bool {
		for _, l := range lots {
			r.captured -= l.Free
			r.add(l)
		}
		return r.captured >= 0 && len(r.lots) <= ledger.MaxLots
	})
}

func (r *reference) load(s ledger.Snapshot, at int64) {
	if s.Epoch <= r.epoch && s.Generation <= r.generation {
		return
	}
	holds, closed, deadlines := r.holds, r.closed, r.deadlines
	*r = reference{
		epoch: s.Epoch, generation: s.Generation, grant: s.Grant, granted: s.Granted, captured: s.Captured,
		gone: s.Expired, revoked: s.Revoked, threshold: s.Threshold, level: s.Level,
		holds: holds, closed: closed, deadlines: deadlines, used: maps.Clone(s.Scopes),
	}
	for _, l := range s.Lots {
		r.add(l)
	}
	r.age(at)
	r.fall(0, true)
}

func newReference() *reference {
	return &reference{
		generation: -1, epoch: -1, holds: map[string]referenceHold{}, closed: map[string]int64{},
		used: map[string]int64{}, deadlines: map[string]int64{},
	}
}
