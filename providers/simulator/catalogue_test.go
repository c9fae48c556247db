package simulator_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/prospeo"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// TestCatalogue forces every fault on Hunter alone: nothing that a careful
// reader cannot trust is a hit, the truth says which can be read, and the other
// vendor does not notice.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	numbers := map[string]bool{}
	for _, fault := range simulator.Catalogue() {
		numbers[fault.Number] = true
		t.Run(fault.Name, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Config{Hunter: simulator.Vendor{Slow: 10 * time.Millisecond}})
			q := finder(t, map[string]string{"full_name": "Ada Byron", "domain": "fault-" + strings.ReplaceAll(fault.Name, "_", "-") + ".hunter.test"})
			answer := b.hunter.Ask(context.Background(), q)
			if answer.Outcome == providers.Pending {
				answer = b.hunter.Ask(context.Background(), q)
			}
			_, hit, _ := providers.Validate(q, answer.Result)
			truth, _ := b.sim.Truth(q)
			if hit != fault.Answers || truth.Vendors["hunter"].Knows != fault.Answers {
				t.Errorf("%v %v, the truth is %+v", answer.Outcome, answer.Result, truth.Vendors["hunter"])
			}
			b.prospeo.Ask(context.Background(), q)
			stats := b.sim.Stats().Vendors
			if stats["hunter"].Faults[fault.Number] == 0 || len(stats["prospeo"].Faults) != 0 {
				t.Errorf("counted %v for Hunter, %v for Prospeo", stats["hunter"].Faults, stats["prospeo"].Faults)
			}
		})
	}
	for number := range strings.FieldsSeq("F1 F2 F3 F4 F5 F6 F7 F9 F10 F11 F12 F13 F14 F15 F16 F17 F18 F19 F20") {
		if !numbers[number] {
			t.Errorf("no fault of the family %s", number)
		}
	}
}

// TestSchedule moves the clock by hand through a spell.
func TestSchedule(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	b := start(t, simulator.Config{
		Now:    func() time.Time { return time.Unix(1_800_000_000, clock.Load()) },
		Hunter: simulator.Vendor{Schedule: []simulator.Spell{{Fault: "html", At: 10 * time.Second, For: 20 * time.Second}}},
	})
	for _, c := range []struct {
		at   time.Duration
		fail bool
	}{{0, false}, {10 * time.Second, true}, {29 * time.Second, true}, {30 * time.Second, false}} {
		clock.Store(int64(c.at))
		for i := range 20 {
			if failed := b.hunter.Ask(context.Background(), someone(t, i)).Outcome == providers.Transient; failed != c.fail {
				t.Errorf("at %s: failed %t", c.at, failed)
			}
		}
	}
}

func TestFixedWindowsAndLockOut(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(int64(900 * time.Millisecond))
	b := start(t, simulator.Config{
		Now:     func() time.Time { return time.Unix(1_800_000_000, clock.Load()) },
		Hunter:  simulator.Vendor{Quota: simulator.Quota{PerSecond: 3, Fixed: true}},
		Prospeo: simulator.Vendor{Key: "another", LockOut: simulator.LockOut{After: 2, For: time.Hour}},
	})
	for i, want := range []int{0, 0, 0, 1} {
		b.hunter.Ask(context.Background(), someone(t, i))
		if n := b.sim.Stats().Violated(); n != want {
			t.Errorf("call %d: %d violations", i, n)
		}
	}
	clock.Store(int64(time.Second)) // the window jumps: three more, a tenth of a second later
	for i := range 3 {
		if b.hunter.Ask(context.Background(), someone(t, i)); b.sim.Stats().Violated() != 1 {
			t.Errorf("call %d of the next window is over quota", i)
		}
	}
	for range 2 {
		b.prospeo.Ask(context.Background(), someone(t, 1))
	}
	right := providers.NewHTTP(prospeo.Adapter{}, providers.HTTPConfig{BaseURL: b.url + simulator.ProspeoPath, Key: "another", Client: client(t)})
	if a := right.Ask(context.Background(), someone(t, 1)); a.Outcome != providers.Auth {
		t.Errorf("after too many wrong keys the right one is answered with %v", a.Outcome)
	}
	clock.Add(int64(time.Hour))
	if a := right.Ask(context.Background(), someone(t, 1)); a.Outcome == providers.Auth {
		t.Error("the lock-out does not end")
	}
}

// TestDocumentedQuotas: every vendor that documents a limit enforces it.
func TestDocumentedQuotas(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Documented: true, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	for i := range 20 {
		b.hunter.Ask(context.Background(), someone(t, i))
		b.prospeo.Ask(context.Background(), someone(t, i))
	}
	stats := b.sim.Stats().Vendors
	if h, p := stats["hunter"].Violations["second"], stats["prospeo"].Violations["second"]; h != 5 || p != 15 {
		t.Errorf("%d and %d violations of 20 calls, want 5 over 15 and 15 over 5", h, p)
	}
}
