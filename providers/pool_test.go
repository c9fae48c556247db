package providers

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"testing"
	"time"
)

// world is a fleet under a virtual clock: real tanks, one pool, a network that
// delays and loses answers, and a vendor that counts arrivals in windows of its
// own. One step is a millisecond.
type world struct {
	rnd     *rand.Rand
	terms   terms
	pool    *pool
	now     time.Time
	vendor  counting
	procs   []*virtual
	pending []event
	latency time.Duration // of the vendor
	names   int
	harmful bool      // asks and answers are lost
	stalled time.Time // calls on their way do not arrive before
	lease   func(a ask) grant
}

type event struct {
	at time.Time
	do func()
}

// virtual is a process: its tank, and whether it runs.
type virtual struct {
	tank   *tank
	asking bool
	next   time.Time // when it asks
	paused time.Time // it does nothing before
	dead   bool
}

// counting is the vendor: what it allowed, and what was too much.
type counting struct {
	windows           []window
	places            int
	arrived           []time.Time
	inside, most      int
	violations, calls int
}

func (c *counting) arrive(now time.Time) {
	c.calls++
	for _, w := range c.windows {
		since := now.Add(-time.Duration(w.span) * time.Millisecond)
		first := sort.Search(len(c.arrived), func(i int) bool { return c.arrived[i].After(since) })
		if len(c.arrived)-first >= int(w.size) {
			c.violations++
		}
	}
	c.arrived = append(c.arrived, now)
	if c.inside++; c.places > 0 && c.inside > c.places {
		c.violations++
	}
	c.most = max(c.most, c.inside)
}

func newWorld(seed uint64, l Limits, latency time.Duration) *world {
	l.CallTime = 2 * time.Second
	t := l.terms()
	w := &world{
		rnd: rand.New(rand.NewPCG(seed, 1)), terms: t, pool: newPool(t), latency: latency,
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), vendor: counting{windows: t.windows, places: l.MaxConcurrent},
	}
	w.lease = func(a ask) grant { return w.pool.lease(w.terms, a, w.now.UnixMilli()) }
	return w
}

func (w *world) join() {
	w.names++
	k := newTank(w.terms)
	k.private, k.member, k.base = nil, fmt.Sprint("p", w.names), w.now.Add(-time.Hour)
	k.hasten, k.closed = func() {}, func() {}
	w.procs = append(w.procs, &virtual{tank: k, next: w.now.Add(w.ms(20))})
}

func (w *world) ms(most int) time.Duration {
	return time.Duration(w.rnd.IntN(most*1000)) * time.Microsecond
}

func (w *world) after(d time.Duration, do func()) {
	e := event{w.now.Add(d), do}
	at, _ := slices.BinarySearchFunc(w.pending, e, func(a, b event) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	w.pending = slices.Insert(w.pending, at, e)
}

// step moves the clock on. demand is how many callers want to call at once in
// every process.
func (w *world) step(demand int) {
	to := w.now.Add(time.Millisecond)
	for len(w.pending) > 0 && !w.pending[0].at.After(to) {
		e := w.pending[0]
		w.pending = w.pending[1:]
		w.now = e.at
		e.do()
	}
	w.now = to
	for _, p := range w.procs {
		if p.dead || w.now.Before(p.paused) {
			continue
		}
		w.act(p, demand)
	}
}

func (w *world) act(p *virtual, demand int) {
	k := p.tank
	for range demand {
		permit, ok := k.take(w.now, k.since(w.now))
		if !ok {
			k.refused++
			break
		}
		w.call(p, permit)
	}
	if !p.asking && !w.now.Before(p.next) {
		w.ask(p, demand)
	}
}

// call is one call: on its way, at the vendor, on its way back.
func (w *world) call(p *virtual, permit permit) {
	started := w.now
	w.after(max(w.ms(2), w.stalled.Sub(w.now)), func() {
		w.vendor.arrive(w.now)
		w.after(w.latency*3/4+w.ms(max(1, int(w.latency.Milliseconds()/2))), func() {
			w.vendor.inside--
			w.after(w.ms(2), func() { w.end(p, permit, started) })
		})
	})
}

func (w *world) end(p *virtual, permit permit, started time.Time) {
	if p.dead {
		return
	}
	if w.now.Before(p.paused) {
		w.after(p.paused.Sub(w.now)+w.ms(2), func() { w.end(p, permit, started) })
		return
	}
	p.tank.leave(permit, started, w.now, true)
}

// ask sends an ask, which may be heard and not answered, or not be heard.
func (w *world) ask(p *virtual, demand int) {
	k, sent := p.tank, w.now
	k.waiting[1] = make([]*waiter, demand) // what is wanted beside what was taken
	a := k.ask(w.now)
	k.waiting[1] = nil
	p.asking = true
	p.next = w.now.Add(150*time.Millisecond + w.ms(50))
	lost := 2
	if w.harmful {
		lost = w.rnd.IntN(40)
	}
	again := func() { p.asking = false }
	if lost == 0 {
		w.after(w.ms(500), again)
		return
	}
	w.after(w.ms(1), func() {
		g := w.lease(a)
		if lost == 1 {
			w.after(w.ms(500), again)
			return
		}
		w.after(w.ms(1), func() { w.answered(p, g, sent) })
	})
}

func (w *world) answered(p *virtual, g grant, sent time.Time) {
	if w.now.Before(p.paused) {
		w.after(p.paused.Sub(w.now)+w.ms(1), func() { w.answered(p, g, sent) })
		return
	}
	p.asking = false
	p.tank.apply(g, sent, w.now)
}

// used is how much of a window's quota is used: its span to the time in which so
// many calls came as it allows.
func (w *world) used(win window) float64 {
	all, size := w.vendor.arrived, int(win.size)
	if len(all) < 2*size {
		return 0
	}
	sum := time.Duration(0)
	for i := range all[size:] {
		sum += all[i+size].Sub(all[i])
	}
	return float64(win.span) * float64(len(all)-size) / float64(sum.Milliseconds())
}

// Processes join, crash and pause, answers are lost: the vendor counts no call
// too many, in any window.
func TestQuotaHoldsWhateverHappens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limits  Limits
		latency time.Duration
	}{
		{Limits{PerSecond: 200, PerMinute: 5000, MaxConcurrent: 50}, 5 * time.Millisecond},
		{Limits{PerSecond: 200, MaxConcurrent: 50}, 300 * time.Millisecond},
		{Limits{PerSecond: 5, PerMinute: 100}, 20 * time.Millisecond},
		{Limits{PerMinute: 300, MaxConcurrent: 3}, 50 * time.Millisecond},
		{Limits{PerSecond: 0.5}, 5 * time.Millisecond},
		{Limits{PerSecond: 50, MaxConcurrent: 8}, 1200 * time.Millisecond},
	} {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%+v/%d", c.limits, seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(seed, c.limits, c.latency)
			for range 8 {
				w.join()
			}
			w.harmful = true
			for n := range long(30_000, 600_000) {
				w.step(16)
				switch n % 700 {
				case 0:
					w.harm()
				case 350:
					w.stall()
				}
			}
			if w.vendor.violations > 0 || w.vendor.calls < int(w.terms.windows[0].size)/2 {
				t.Errorf("%d of %d calls were too many", w.vendor.violations, w.vendor.calls)
			}
			t.Logf("%d calls, at most %d at once", w.vendor.calls, w.vendor.most)
		})
	}
}

// stall lets the way to a vendor with regular answers stand still for a moment.
func (w *world) stall() {
	if w.latency < 50*time.Millisecond {
		w.stalled = w.now.Add(w.ms(40))
	}
}

// harm kills, pauses or adds a process.
func (w *world) harm() {
	p := w.procs[w.rnd.IntN(len(w.procs))]
	switch w.rnd.IntN(4) {
	case 0:
		p.dead = true
		w.join()
	case 1:
		p.paused = w.now.Add(w.ms(5000))
	case 2:
		w.join()
	case 3:
		if len(w.procs) > 20 {
			w.procs = slices.Delete(w.procs, 0, 15)
			for range 3 {
				w.join()
			}
		}
	}
	w.procs = slices.DeleteFunc(w.procs, func(p *virtual) bool { return p.dead })
}

// long is how many steps a test takes: more if MAGPIE_SOAK asks for it.
func long(short, full int) int {
	if os.Getenv("MAGPIE_SOAK") != "" {
		return full
	}
	return short
}

// With demand nothing of the quota is left unused.
func TestQuotaIsUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limits  Limits
		latency time.Duration
		window  int
	}{
		{Limits{PerSecond: 200, MaxConcurrent: 50}, 5 * time.Millisecond, 0},
		{Limits{PerSecond: 200, MaxConcurrent: 400}, 300 * time.Millisecond, 0},
		{Limits{PerSecond: 1000}, 20 * time.Millisecond, 0},
		{Limits{PerSecond: 15, MaxConcurrent: 16}, 5 * time.Millisecond, 0},
		{Limits{PerSecond: 5}, 5 * time.Millisecond, 0},
		{Limits{PerSecond: 20, PerMinute: 100}, 5 * time.Millisecond, 1},
	} {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%+v/%d", c.limits, seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(seed, c.limits, c.latency)
			for range 8 {
				w.join()
			}
			for range long(20_000, 300_000) * (1 + 7*c.window) {
				w.step(16)
			}
			if used := w.used(w.terms.windows[c.window]); used < 0.98 || w.vendor.violations > 0 {
				t.Errorf("%.4f of the quota used, want 0.98; %d violations", used, w.vendor.violations)
			} else {
				t.Logf("%.4f of the quota used", used)
			}
		})
	}
}
