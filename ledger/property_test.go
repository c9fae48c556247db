package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/ledger"
)

// reference is the gate again, written to be obviously right: one account, no
// scripts, no keys.
type reference struct {
	generation, grant                  int64
	granted, available, captured, held int64
	holds                              map[string]referenceHold
	closed                             map[string]int64
}

type referenceHold struct{ units, price, generation int64 }

func (r *reference) hold(id string, want, price int64) (units int64, err error) {
	if _, ok := r.closed[id]; ok {
		return 0, ledger.ErrClosed
	}
	if h, ok := r.holds[id]; ok && h.generation == r.generation {
		return h.units, nil
	}
	units = min(want, r.available/price)
	if units < 1 {
		return 0, errRefused
	}
	r.available -= units * price
	r.held += units * price
	r.holds[id] = referenceHold{units, price, r.generation}
	return units, nil
}

func (r *reference) settle(id string, charged, generation int64) (captured int64, err error) {
	if captured, ok := r.closed[id]; ok {
		return captured, nil
	}
	h, ok := r.holds[id]
	current := ok && h.generation == r.generation
	if !current && charged > 0 && generation == r.generation {
		return 0, ledger.ErrUnknown
	}
	if !ok {
		return 0, nil
	}
	if current {
		if generation == r.generation {
			captured = min(charged, h.units*h.price)
		}
		r.held -= h.units * h.price
		r.available += h.units*h.price - captured
		r.captured += captured
	}
	delete(r.holds, id)
	r.closed[id] = captured
	return captured, nil
}

func (r *reference) give(number, amount int64) error {
	switch {
	case number <= r.grant:
		return nil
	case number > r.grant+1:
		return ledger.ErrGap
	}
	r.grant, r.granted, r.available = number, r.granted+amount, r.available+amount
	return nil
}

// load takes the reference's own totals, as SQL would have them: nothing held.
func (r *reference) load(generation int64) {
	if generation <= r.generation {
		return
	}
	r.generation, r.available, r.held = generation, r.available+r.held, 0
}

var errRefused = errors.New("refused")

// duel puts the same random calls to the gate and to the reference. Ids are few,
// so that repeats, closed ids and stale generations are common.
type duel struct {
	ctx  func() context.Context
	gate *ledger.Gate
	org  string
	ref  reference
}

var ids = rapid.SampledFrom([]string{"a", "b", "c", "d"})

func (d *duel) Hold(rt *rapid.T) {
	id, want, price := ids.Draw(rt, "id"), rapid.Int64Range(1, 5).Draw(rt, "want"), rapid.Int64Range(1, 1500).Draw(rt, "price")
	units, wantErr := d.ref.hold(id, want, price)
	held, err := d.gate.Hold(d.ctx(), ledger.HoldRequest{Org: d.org, ID: id, Want: want, Least: 1, Price: price, Life: time.Hour})
	if _, refused := errors.AsType[*ledger.InsufficientError](err); refused {
		err = errRefused
	}
	if !errors.Is(err, wantErr) || held.Units != units {
		rt.Fatalf("hold: %d units, %v; want %d, %v", held.Units, err, units, wantErr)
	}
}

func (d *duel) Settle(rt *rapid.T) {
	id, charged := ids.Draw(rt, "id"), rapid.Int64Range(0, 3000).Draw(rt, "charged")
	generation := rapid.Int64Range(max(d.ref.generation-1, 0), d.ref.generation).Draw(rt, "generation")
	want, wantErr := d.ref.settle(id, charged, generation)
	captured, err := d.gate.Settle(d.ctx(), d.org, id, charged, generation)
	if !errors.Is(err, wantErr) || captured != want {
		rt.Fatalf("settle: %d, %v; want %d, %v", captured, err, want, wantErr)
	}
}

func (d *duel) Grant(rt *rapid.T) {
	number, amount := d.ref.grant+rapid.Int64Range(-1, 2).Draw(rt, "step"), rapid.Int64Range(1, 5000).Draw(rt, "amount")
	wantErr := d.ref.give(number, amount)
	if err := d.gate.Grant(d.ctx(), d.org, number, amount); !errors.Is(err, wantErr) {
		rt.Fatalf("grant: %v, want %v", err, wantErr)
	}
}

func (d *duel) Load(rt *rapid.T) {
	d.load(rt, d.ref.generation+rapid.Int64Range(-1, 1).Draw(rt, "step"))
}

func (d *duel) load(rt *rapid.T, generation int64) {
	err := d.gate.Load(d.ctx(), ledger.Snapshot{
		Org: d.org, Generation: generation, Grant: d.ref.grant, Granted: d.ref.granted,
		Captured: d.ref.captured, Available: d.ref.available + d.ref.held,
	})
	if err != nil {
		rt.Fatal(err)
	}
	d.ref.load(generation)
}

func (d *duel) Check(rt *rapid.T) {
	b, err := d.gate.Balance(d.ctx(), d.org)
	if err != nil {
		rt.Fatal(err)
	}
	got := []int64{b.Generation, b.Grant, b.Granted, b.Available, b.Held, b.Captured}
	want := []int64{d.ref.generation, d.ref.grant, d.ref.granted, d.ref.available, d.ref.held, d.ref.captured}
	if !slices.Equal(got, want) {
		rt.Fatalf("generation, grant, granted, available, held, captured: %v, want %v", got, want)
	}
	if b.Granted != b.Available+b.Held+b.Captured || b.Available < 0 || b.Held < 0 {
		rt.Fatalf("the account does not add up: %+v", b)
	}
}

// A failure prints the seed and the calls.
func TestGateAgreesWithReference(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			d := &duel{
				ctx: t.Context, gate: ledger.New(rdb), org: fmt.Sprintf("org_%d", run),
				ref: reference{holds: map[string]referenceHold{}, closed: map[string]int64{}},
			}
			d.load(rt, 1)
			rt.Repeat(rapid.StateMachineActions(d))
		})
	})
}
