package providers

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	firstBackOff = time.Second     // after a vendor that does not say how long
	lastBackOff  = time.Minute     // where that doubling ends
	longestPause = 24 * time.Hour  // whatever a vendor's header claims
	busyAfter    = 1 * time.Second // hint for a caller who found every place taken
	pacedAfter   = 500 * time.Millisecond
	dryAfter     = 5 * time.Second // most of that hint, so that somebody is there when a quota has room again
)

// tank holds the calls that a process has leased of one quota, and hands them
// to callers: those whom somebody waits for first, then in the order in which
// they came.
type tank struct {
	terms   terms
	member  string
	private *pool     // the quota of a guard that belongs to no fleet
	hasten  func()    // asks the fleet for a lease soon; nil without a fleet
	closed  func()    // the fleet's breaker has closed
	base    time.Time // all moments here are since then; long ago, so that none is zero
	path    path

	mu      sync.Mutex
	stamps  []moment // calls in hand, earliest first
	inHand  int64
	until   time.Duration // the lease ends
	wall    time.Time     // the same on the clock that runs while a machine sleeps
	busy    int64
	peak    int64     // most calls under way since the last ask
	limit   int64     // places
	retired bool      // no more calls will be made
	flights []*flight // calls whose arrival is not reported yet, earliest first
	flying  int64     // how many of them are not over
	spent   []moment
	report  *report // sent, and not answered
	seq     int64
	news    news
	latency float64 // mean time to an answer, in seconds
	taken   int64   // calls since the last ask
	recent  int64   // the same, falling slowly
	refused int64   // callers turned away since then
	asked   time.Duration
	waiting [2][]*waiter // urgent ones, others
	timer   *time.Timer
	dry     time.Duration // before which asking for more calls is vain
	pause   time.Duration // a pause the vendor asked for ends
	backOff time.Duration
	open    bool // the fleet's breaker is open,
	openTo  time.Duration
	probe   bool // and this process may probe it,
	probing bool // or does
	park    Outcome
	parked  time.Duration
	factor  float64
	used    []int64
}

// moment is a number of calls at a time.
type moment struct {
	at    time.Duration
	calls int64
}

// report is what a process tells until it is answered.
type report struct {
	spent []moment
	news  news
}

// permit is the right to make one call.
type permit struct {
	flight *flight // nil where nobody counts
	probe  bool
}

// flight is a call from its start until its arrival at the vendor is reported.
type flight struct {
	at      time.Duration
	counted bool
}

type waiter struct {
	ready   chan bool // true: here is your permit; false: look again
	permit  permit
	settled bool
}

// entry is how waiting for a permit ended.
type entry int

const (
	entered entry = iota
	lookAgain
	tooBusy
	tooFast
	gone // the caller
	isParked
	isOpen
)

func newTank(t terms) *tank {
	k := &tank{terms: t, member: "self", base: time.Now().Add(-time.Hour), factor: 1, used: make([]int64, len(t.windows))}
	if t.limited() {
		k.private = newPool(t)
	}
	if len(t.windows) > 0 {
		k.path.span = time.Duration(t.windows[0].span) * time.Millisecond
	}
	return k
}

func (k *tank) since(now time.Time) time.Duration { return now.Sub(k.base) }

// enter waits until a call may be made, or says why it may not by the deadline.
func (k *tank) enter(ctx context.Context, now, deadline time.Time, urgent bool) (permit, time.Duration, entry) {
	k.mu.Lock()
	at := k.since(now)
	if after, e := k.blocked(at); e != entered {
		k.refused++
		k.mu.Unlock()
		return permit{}, after, e
	}
	if k.waiters() == 0 {
		if p, ok := k.take(now, at); ok {
			k.mu.Unlock()
			return p, 0, entered
		}
	}
	if vain := max(k.pause, k.dryUntil()); vain > k.since(deadline) {
		defer k.mu.Unlock()
		k.refused++
		return permit{}, max(k.pause-at, min(k.dryUntil()-at, dryAfter)), tooFast
	}
	w := &waiter{ready: make(chan bool, 1)}
	class := 1
	if urgent {
		class = 0
	}
	k.waiting[class] = append(k.waiting[class], w)
	k.dispatch(now)
	k.mu.Unlock()
	return k.await(ctx, w, deadline)
}

// blocked says whether the vendor is left alone, and for how long; k.mu is held.
func (k *tank) blocked(at time.Duration) (time.Duration, entry) {
	switch {
	case k.parked > at:
		return k.parked - at, isParked
	case k.open && !k.probe:
		if k.refused == 0 && k.hasten != nil && at >= k.openTo {
			k.hasten() // somebody would probe it
		}
		return k.openTo - at, isOpen
	}
	return 0, entered
}

func (k *tank) dryUntil() time.Duration {
	if k.inHand > 0 {
		return 0
	}
	return k.dry
}

func (k *tank) await(ctx context.Context, w *waiter, deadline time.Time) (permit, time.Duration, entry) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	result := tooFast
	select {
	case got := <-w.ready:
		if got {
			return w.permit, 0, entered
		}
		return permit{}, 0, lookAgain
	case <-timer.C:
	case <-ctx.Done():
		result = gone
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.since(time.Now())
	if w.settled {
		if <-w.ready { // it came just now, too late
			k.putBack(w.permit, now)
		}
	}
	for class := range k.waiting {
		k.waiting[class] = slices.DeleteFunc(k.waiting[class], func(other *waiter) bool { return other == w })
	}
	k.refused++
	if result == tooFast && k.terms.places > 0 && k.busy >= k.limit {
		return permit{}, busyAfter, tooBusy
	}
	return permit{}, max(pacedAfter, k.pause-now, min(k.dryUntil()-now, dryAfter)), result
}

// take takes a permit if there is one now; k.mu is held.
func (k *tank) take(now time.Time, at time.Duration) (permit, bool) {
	if k.pause > at {
		return permit{}, false
	}
	p := permit{}
	if !k.terms.limited() {
		k.busy++
		return p, true
	}
	if at >= k.until || now.Round(0).After(k.wall) || k.open && !k.probe || k.terms.places > 0 && k.busy >= k.limit {
		return permit{}, false
	}
	if len(k.terms.windows) > 0 {
		if len(k.stamps) == 0 || k.stamps[0].at > at {
			return permit{}, false
		}
		if k.stamps[0].calls--; k.stamps[0].calls == 0 {
			k.stamps = k.stamps[1:]
		}
		k.inHand--
		p.flight = &flight{at: at}
		k.flights = append(k.flights, p.flight)
		k.flying++
	}
	if k.probe {
		p.probe, k.probe, k.probing = true, false, true
	}
	k.busy++
	k.peak = max(k.peak, k.busy)
	k.taken++
	return p, true
}

// count notes a call that has arrived at a moment.
func (k *tank) count(at time.Duration) {
	at = (at + time.Millisecond - 1).Truncate(time.Millisecond)
	if n := len(k.spent); n > 0 && k.spent[n-1].at == at {
		k.spent[n-1].calls++
		return
	}
	k.spent = append(k.spent, moment{at, 1})
}

// leave ends a call. Its answer proves that it had arrived.
func (k *tank) leave(p permit, started, now time.Time, asked bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := k.since(now)
	if !asked {
		k.putBack(p, at)
	} else {
		k.busy--
		took := now.Sub(started)
		k.latency += (took.Seconds() - k.latency) / 32
		if p.flight != nil && !p.flight.counted {
			k.land(p.flight, k.path.arrival(k.since(started), took))
		}
	}
	if len(k.waiting[0])+len(k.waiting[1]) > 0 {
		k.dispatch(now)
	}
}

// land reports that a call arrived at a moment, unless that was reported before.
func (k *tank) land(f *flight, at time.Duration) {
	if f == nil || f.counted {
		return
	}
	f.counted = true
	k.flying--
	k.count(at)
	for len(k.flights) > 0 && k.flights[0].counted {
		k.flights = k.flights[1:]
	}
}

// landLate takes calls that have been under way for long to have arrived, so
// that their use is known before they fall out of the window.
func (k *tank) landLate(at time.Duration) {
	for len(k.flights) > 0 && (k.flights[0].counted || at-k.flights[0].at >= k.path.span*2/5) {
		f := k.flights[0]
		k.flights = k.flights[1:]
		if !f.counted {
			k.land(f, k.path.unanswered(f.at))
		}
	}
}

// putBack returns a permit whose call was not made; k.mu is held.
func (k *tank) putBack(p permit, at time.Duration) {
	k.busy--
	if p.probe {
		k.probing, k.news.probe = false, probeVoid
	}
	if p.flight != nil && !p.flight.counted {
		p.flight.counted = true
		k.flying--
		k.inHand++
		k.stamps = slices.Insert(k.stamps, 0, moment{at, 1})
	}
}

// dispatch hands permits to those who wait; k.mu is held.
func (k *tank) dispatch(now time.Time) {
	for {
		k.serve(now)
		if k.waiters() == 0 || k.private == nil || !k.refill(now) {
			break
		}
	}
	if k.waiters() > 0 {
		k.arm(now)
		if k.hasten != nil && k.since(now) >= k.dry && k.waiters() > k.inHand {
			k.hasten()
		}
	}
}

func (k *tank) waiters() int64 { return int64(len(k.waiting[0]) + len(k.waiting[1])) }

func (k *tank) serve(now time.Time) {
	at := k.since(now)
	for class := range k.waiting {
		for len(k.waiting[class]) > 0 {
			p, ok := k.take(now, at)
			if !ok {
				return
			}
			w := k.waiting[class][0]
			k.waiting[class] = k.waiting[class][1:]
			w.permit, w.settled = p, true
			w.ready <- true
		}
	}
}

// wake makes everybody who waits look again; k.mu is held.
func (k *tank) wake() {
	for class, all := range k.waiting {
		k.waiting[class] = nil
		for _, w := range all {
			w.settled = true
			w.ready <- false
		}
	}
}

// refill leases from the private quota, and reports whether that brought
// anything.
func (k *tank) refill(now time.Time) bool {
	at := k.since(now)
	if k.pause > at || k.dry > at || at < k.until && (k.inHand > 0 || len(k.terms.windows) == 0 || k.terms.places > 0 && k.busy >= k.limit) {
		return false
	}
	before := k.limit
	k.leaseHere(now, at)
	return k.inHand > 0 && k.stamps[0].at <= at || k.limit > before
}

// leaseHere asks the private quota, for which nobody is ever silent.
func (k *tank) leaseHere(now time.Time, at time.Duration) {
	if m := k.private.members[k.member]; m != nil {
		m.until = at.Milliseconds()
	}
	k.apply(k.private.lease(k.terms, k.ask(now), at.Milliseconds()), now, now)
}

// arm sets the timer to the next moment at which something may change.
func (k *tank) arm(now time.Time) {
	at := k.since(now)
	next := time.Duration(-1)
	for _, moment := range []time.Duration{k.pause, k.dryUntil()} {
		if moment > at && (next < 0 || moment > next) {
			next = moment
		}
	}
	if next < 0 && len(k.stamps) > 0 && k.stamps[0].at > at {
		next = k.stamps[0].at
	}
	if next < 0 {
		return // whoever leaves a place, or the fleet, wakes us
	}
	wait := next - at
	if k.timer == nil {
		k.timer = time.AfterFunc(wait, k.tick)
		return
	}
	k.timer.Reset(wait)
}

func (k *tank) tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dispatch(time.Now())
}

// ask says what to tell and what to want; k.mu is held.
func (k *tank) ask(now time.Time) ask {
	at := k.since(now)
	a := ask{member: k.member, lapsed: at >= k.until && k.private == nil}
	if a.lapsed {
		for _, f := range k.flights {
			f.counted = true
		}
		k.stamps, k.inHand, k.flights, k.flying, k.limit, k.spent = nil, 0, nil, 0, 0, nil
		if k.report != nil {
			k.report.spent = nil
		}
	}
	k.landLate(at)
	if k.report == nil {
		k.seq++
		k.report = &report{k.spent, k.news}
		k.spent, k.news = nil, news{}
	}
	a.seq, a.news = k.seq, k.report.news
	for _, s := range k.report.spent {
		a.spent = append(a.spent, spent{floorMillis(at - s.at), s.calls})
	}
	// What is in hand waits for its moment up to the horizon, so that what is
	// taken between two asks lags behind what is wanted.
	k.recent = max(k.taken, k.recent*3/4)
	need := k.waiters() + 3*k.recent
	if k.terms.places > 0 {
		a.places = max(k.busy, k.peak) + k.waiters()
		need = min(need, max(k.limit, 1)*(1+int64(horizon/max(1000*k.latency, 1))))
	}
	if k.open {
		need = min(1, k.refused+k.waiters())
		a.places = max(a.places, need)
		if !k.probe {
			k.drop(k.inHand) // who has calls in hand wants none, and so would not be let probe
		}
	}
	if k.retired {
		need, a.places = 0, k.busy
	}
	if need == 0 || k.waiters() == 0 && k.inHand > 2*need+4 {
		k.drop(k.inHand - need)
	}
	a.held = k.inHand + k.flying
	for _, s := range k.spent {
		a.held += s.calls
	}
	if a.want = max(0, need-k.inHand); len(k.terms.windows) == 0 {
		a.want = need
	}
	a.urgent = min(int64(len(k.waiting[0])), a.want)
	a.busy, a.limit = k.busy, k.limit
	k.taken, k.refused, k.peak, k.asked = 0, 0, k.busy, at
	return a
}

// floorMillis rounds down, also what is negative: a use is reported as late
// rather than early.
func floorMillis(d time.Duration) int64 {
	return int64((d+time.Hour)/time.Millisecond) - time.Hour.Milliseconds()
}

// drop gives calls back, the latest first.
func (k *tank) drop(calls int64) {
	for i := len(k.stamps) - 1; i >= 0 && calls > 0; i-- {
		n := min(calls, k.stamps[i].calls)
		k.stamps[i].calls -= n
		k.inHand -= n
		calls -= n
		if k.stamps[i].calls == 0 {
			k.stamps = k.stamps[:i]
		}
	}
}

// apply takes in what was leased by an ask that was sent and answered at these
// moments; k.mu is held. A lease ends early and its calls begin late, whatever
// the answer's way took.
func (k *tank) apply(g grant, sent, answered time.Time) {
	before, at := k.since(sent), k.since(answered)
	k.report = nil
	k.until, k.wall = before+leaseLife*time.Millisecond, sent.Add(leaseLife*time.Millisecond).Round(0)
	for _, s := range g.stamps {
		k.stamps = append(k.stamps, moment{at + time.Duration(s.at-g.now)*time.Millisecond, s.calls})
		k.inHand += s.calls
	}
	slices.SortStableFunc(k.stamps, func(a, b moment) int { return int(a.at - b.at) })
	k.limit, k.factor, k.used = g.places, g.factor, g.used
	k.dry = 0
	if g.after > 0 {
		k.dry = at + time.Duration(g.after)*time.Millisecond
	}
	left := func(ms int64) time.Duration { return at + time.Duration(ms)*time.Millisecond }
	if g.pause > 0 {
		k.pause = max(k.pause, left(g.pause))
	}
	if k.private != nil {
		return // park and breaker are the guard's own
	}
	if g.park != Transient {
		k.park, k.parked = g.park, max(k.parked, left(g.parked))
	}
	if !k.news.tripped && k.news.probe == probeNone { // else the fleet does not know yet
		k.heard(g.open >= 0, left(g.open), g.probe)
	}
	if g.pause > 0 || g.parked > 0 || k.open && !k.probe {
		k.wake()
	}
}

// heard takes in what the fleet says about its breaker.
func (k *tank) heard(open bool, until time.Duration, probe bool) {
	if k.open && !open {
		k.closed()
	}
	k.open, k.openTo, k.probe = open, until, open && probe && !k.probing
}

// trip tells the fleet that the vendor is down. Until it has heard, this process
// alone knows.
func (k *tank) trip() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open {
		return
	}
	k.openTo = k.since(time.Now()) + time.Duration(k.terms.openFor)*time.Millisecond
	if k.hasten == nil {
		return // the guard's own breaker keeps callers away
	}
	k.open, k.news.tripped = true, true
	k.wake()
	k.tell()
}

// openLeft is how long the breaker stays open.
func (k *tank) openLeft() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.openTo - k.since(time.Now())
}

// probed tells the fleet how its probe ended.
func (k *tank) probed(result int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.probing, k.news.probe = false, result
	k.tell()
}

// leaveAlone parks the vendor.
func (k *tank) leaveAlone(o Outcome, pause time.Duration) (until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.park, k.parked = o, k.since(now)+pause
	k.news.park, k.news.parkFor = o, pause.Milliseconds()
	k.wake()
	k.tell()
	return now.Add(pause)
}

// throttled notes that a call started at that moment was told to slow down, and
// for how long (0: the vendor did not say).
func (k *tank) throttled(started time.Time, after time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	at := k.since(now)
	if after <= 0 && k.since(started) > k.pause { // not a straggler of the same burst
		k.backOff = min(max(firstBackOff, 2*k.backOff), lastBackOff)
		after = k.backOff
	}
	after = min(after, longestPause)
	k.pause = max(k.pause, at+after)
	k.news.throttled, k.news.after = true, max(k.news.after, after.Milliseconds())
	if k.private != nil {
		k.leaseHere(now, at)
	}
	k.wake()
	k.tell()
}

// tell hastens the news to the fleet; k.mu is held.
func (k *tank) tell() {
	if k.hasten != nil {
		k.hasten()
	}
}

// answered notes that a call started at that moment was served: blind pauses
// begin small again, unless a refusal came after it.
func (k *tank) answered(started time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.since(started) >= k.pause {
		k.backOff = 0
	}
}

// parkedFor is why the vendor is parked.
func (k *tank) parkedFor() Outcome {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.park
}

// state fills in what the tank knows.
func (k *tank) state(now time.Time, s *State) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := k.since(now)
	if k.pause > 0 {
		s.NotBefore = k.base.Add(k.pause)
	}
	for i, w := range k.terms.windows {
		if i == 0 {
			s.Rate = float64(w.size) * 1000 / float64(w.span) * k.factorAt(at)
		}
		use := QuotaUse{Window: w.name, Quota: w.size}
		if i < len(k.used) {
			use.Used = max(0, k.used[i])
		}
		s.Quotas = append(s.Quotas, use)
	}
	switch {
	case k.parked > at:
		s.Condition, s.Until, s.Parked = "parked", k.base.Add(k.parked), k.park
	case k.open && k.openTo > at:
		s.Condition, s.Until = "open", k.base.Add(k.openTo)
	case k.open:
		s.Condition = "half-open"
	case s.Condition == "open":
		s.Until = k.base.Add(k.openTo)
	}
}

func (k *tank) factorAt(at time.Duration) float64 {
	if k.private != nil {
		return k.private.factor(at.Milliseconds())
	}
	return k.factor
}

// due reports whether it is time to ask the fleet again.
func (k *tank) due(now time.Time, every time.Duration, hurry bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	since := k.since(now) - k.asked
	if hurry && since >= leaseSoon {
		return true
	}
	active := k.waiters()+k.taken+k.refused+k.inHand+k.busy+k.limit > 0 || len(k.spent) > 0 || k.report != nil || k.news != news{}
	return active && since >= every
}

// retire makes the next ask give everything back.
func (k *tank) retire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.retired = true
}
