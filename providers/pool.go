package providers

import (
	"math"
	"slices"
)

// The arithmetic of leases, in whole milliseconds. lease.lua does the same for
// a fleet; a test asks both the same questions. A pool is the quota of a guard
// that belongs to no fleet.
const (
	leaseLife    = 1000 // how long what was leased may be used
	arrivalSlack = 1000 // after the end of its lease the last call of a dead process is taken to arrive
	horizon      = 300  // how far ahead calls are leased
	leaseStep    = 2    // the grid of leased moments
	catchUp      = 1.05 // how much faster than the quota's mean calls may start
	pacedSpan    = 10_000
	rampTime     = 1000 // from the first answer of a vendor that was down to the full rate
	rampStart    = 0.1
	turnTime     = 1000 // how long a place is kept when there are more processes than places
	growth       = 0.05 / 1000
	leastShare   = 1.0 / 64
	cutEvery     = 1000
)

// window is one of a vendor's quotas: in no stretch of span do more than quota
// calls arrive. Uses are kept on a grid of step.
type window struct {
	name             string
	span, step, size int64
}

// terms are what all who share a quota agree on.
type terms struct {
	windows  []window // shortest first
	burst    int64    // calls that may start at once
	places   int64    // calls under way; 0: any number
	callTime int64    // after which a call is over
	openFor  int64
}

// limited reports whether there is anything to lease.
func (t terms) limited() bool { return len(t.windows) > 0 || t.places > 0 }

// paced reports whether calls are spread over the shortest window.
func (t terms) paced() bool { return len(t.windows) > 0 && t.windows[0].span <= pacedSpan }

// spent is how many calls arrived how long ago.
type spent struct{ age, calls int64 }

// news is what a process learned from the vendor.
type news struct {
	throttled bool
	after     int64 // the pause asked for
	park      Outcome
	parkFor   int64
	tripped   bool
	probe     int64 // how the fleet's probe ended
}

// How a probe ended.
const (
	probeNone int64 = iota
	probeGood
	probeBad
	probeVoid // it says nothing
)

// ask is what a process tells and wants.
type ask struct {
	member string
	seq    int64 // of the report; one that was heard is not heard again
	spent  []spent
	news   news
	held   int64 // leased calls not yet known to have arrived
	lapsed bool  // its last lease has ended: what it held counts as used
	want   int64 // more
	urgent int64 // of them for somebody who waits
	busy   int64 // calls under way
	limit  int64 // the places it goes by
	places int64 // the places it wants
}

// stamp is a number of calls that may start from a moment on.
type stamp struct{ at, calls int64 }

// grant is the answer to an ask. Times are left over from now, but for stamps.
type grant struct {
	now    int64
	stamps []stamp
	places int64
	after  int64 // where nothing was leased: until something may be
	factor float64
	pause  int64
	open   int64 // -1: closed
	probe  bool
	park   Outcome
	parked int64
	used   []int64 // of each window
}

// member is what the pool knows of a process.
type member struct {
	seq, held, last, until int64
	places, wanted, urgent int64
	starving, fed          int64 // since when it has no place; since when it has one
	asked                  int64
}

// pool is the state of one quota.
type pool struct {
	members map[string]*member
	falls   []map[int64]int64 // of each window: uses by when they fall out of it
	tat     float64

	cut                        float64
	cutAt, growFrom, notBefore int64
	open, probeUntil, ramp     int64
	prober                     string
	park                       Outcome
	parkUntil                  int64
}

func newPool(t terms) *pool {
	p := &pool{members: map[string]*member{}, cut: 1}
	for range t.windows {
		p.falls = append(p.falls, map[int64]int64{})
	}
	return p
}

// lease hears a report and gives what may be given.
func (p *pool) lease(t terms, a ask, now int64) grant {
	p.bury(t, now)
	m := p.members[a.member]
	if m == nil {
		m = &member{}
		p.members[a.member] = m
	}
	p.hear(t, m, a, now)
	g := grant{now: now, factor: p.factor(now), open: -1, pause: max(0, p.notBefore-now)}
	if p.parkUntil > now {
		g.park, g.parked = p.park, p.parkUntil-now
	}
	want := a.want
	if p.open > 0 {
		g.open = max(0, p.open-now)
		if want = p.probing(t, a, now); want > 0 {
			g.probe = true
		}
	}
	if g.pause > 0 || g.parked > 0 {
		want = 0
	}
	given := p.give(t, a, want, now, &g)
	m.held += given
	m.urgent = max(0, a.urgent-given)
	m.until, m.asked = now+leaseLife, now
	p.place(t, m, a, now, &g)
	return g
}

// bury counts what silent processes may have used, and forgets them when all
// their calls must be over.
func (p *pool) bury(t terms, now int64) {
	for id, m := range p.members {
		if m.until < now && m.held > 0 {
			p.use(t, m.until+arrivalSlack, m.held, now)
			m.held = 0
		}
		if m.until+t.callTime < now {
			delete(p.members, id)
		}
	}
}

// use counts calls that arrived at a moment in every window.
func (p *pool) use(t terms, at, calls, now int64) {
	for i, w := range t.windows {
		p.fall(i, gridUp(at+w.span, w.step), calls, now)
	}
}

func (p *pool) fall(window int, at, calls, now int64) {
	if at > now {
		p.falls[window][at] += calls
	}
}

func gridUp(at, step int64) int64 { return (at + step - 1) / step * step }

// hear takes a report in. What a process neither holds nor has used is free
// again, but not before the moment it was leased for.
func (p *pool) hear(t terms, m *member, a ask, now int64) {
	if a.lapsed && m.held > 0 {
		p.use(t, now+arrivalSlack, m.held, now)
		m.held = 0
	}
	if a.seq > m.seq {
		m.seq = a.seq
		for _, s := range a.spent {
			calls := min(s.calls, m.held)
			m.held -= calls
			p.use(t, now+1-s.age, calls, now)
		}
		p.learn(t, a, now)
	}
	if back := m.held - a.held; back > 0 {
		m.held = a.held
		for i, w := range t.windows {
			p.fall(i, gridUp(m.last, w.step), back, now)
		}
	}
}

func (p *pool) learn(t terms, a ask, now int64) {
	if a.news.throttled {
		p.notBefore = max(p.notBefore, now+a.news.after)
		if p.cutAt == 0 || now-p.cutAt >= cutEvery {
			p.cut, p.cutAt = max(p.cutFactor(now)/2, leastShare), now
		}
		p.growFrom = p.notBefore
	}
	if a.news.park != Transient {
		p.park, p.parkUntil = a.news.park, max(p.parkUntil, now+a.news.parkFor)
	}
	if a.news.tripped && p.open == 0 {
		p.open, p.prober = now+t.openFor, ""
	}
	if a.news.probe != probeNone && p.prober == a.member {
		p.prober = ""
		switch a.news.probe {
		case probeGood:
			p.open, p.ramp = 0, now
		case probeBad:
			p.open = now + t.openFor
		}
	}
}

func (p *pool) cutFactor(now int64) float64 {
	return min(1, p.cut+float64(max(0, now-p.growFrom))*growth)
}

// factor is the share of the quota that is used now.
func (p *pool) factor(now int64) float64 {
	f := p.cutFactor(now)
	if p.ramp > 0 {
		f *= min(1, rampStart+(1-rampStart)*float64(now-p.ramp)/rampTime)
	}
	return f
}

// probing returns 1 for the one process that may probe a vendor that is down. It
// keeps that while it has no question for as long as a call takes, and no longer:
// others may have one.
func (p *pool) probing(t terms, a ask, now int64) int64 {
	if now < p.open || a.want == 0 && (p.prober != a.member || now >= p.probeUntil) {
		return 0
	}
	if p.prober != "" && p.prober != a.member && now < p.probeUntil {
		return 0
	}
	if p.prober != a.member || now >= p.probeUntil {
		p.prober, p.probeUntil = a.member, now+t.callTime
	}
	return 1
}

// supply is what one window has, from now on.
type supply struct {
	free   int64 // may be negative, where the quota was cut
	falls  []stamp
	next   int     // the first that has not fallen yet
	fallen int64   // that nobody has taken yet
	taken  []int64 // of each fall
}

func (p *pool) supply(i int, size, held, now int64) *supply {
	s := &supply{free: size - held}
	for at, calls := range p.falls[i] {
		if at <= now || calls == 0 {
			delete(p.falls[i], at)
			continue
		}
		s.free -= calls
		s.falls = append(s.falls, stamp{at, calls})
	}
	slices.SortFunc(s.falls, func(a, b stamp) int { return int(a.at - b.at) })
	s.taken = make([]int64, len(s.falls))
	return s
}

// until lets uses fall out up to a moment and returns what may be leased for it.
func (s *supply) until(at int64) int64 {
	for ; s.next < len(s.falls) && s.falls[s.next].at <= at; s.next++ {
		s.fallen += s.falls[s.next].calls
	}
	return s.free + s.fallen
}

// take leases calls: what is free, or else in the place of uses that fall out
// before them, latest first.
func (s *supply) take(calls int64) {
	free := min(calls, max(0, s.free))
	s.free -= free
	calls -= free
	for i := s.next - 1; i >= 0 && calls > 0; i-- {
		n := min(calls, s.falls[i].calls-s.taken[i])
		s.taken[i] += n
		s.fallen -= n
		calls -= n
	}
}

// first is when something may be leased again.
func (s *supply) first(now int64) int64 {
	free := s.free
	for _, f := range s.falls {
		if free > 0 {
			break
		}
		free, now = free+f.calls, f.at
	}
	if free <= 0 {
		return now + 1000
	}
	return now
}

// give leases up to want calls, each for the first moment at which every
// window has room. Where there is plenty it leases more, so that nobody waits.
func (p *pool) give(t terms, a ask, want, now int64, g *grant) (given int64) {
	held, urgent, live := int64(0), int64(0), int64(0)
	for id, m := range p.members {
		held += m.held
		if m.asked > now-leaseLife || id == a.member {
			live++
			if id != a.member && a.urgent == 0 {
				urgent += m.urgent
			}
		}
	}
	supplies := make([]*supply, len(t.windows))
	plenty := int64(math.MaxInt64)
	for i, w := range t.windows {
		size := w.size
		if i == 0 {
			size = int64(math.Floor(float64(size)*g.factor + 1e-9))
		}
		s := p.supply(i, size, held, now)
		g.used = append(g.used, size-s.free)
		s.free -= urgent
		supplies[i], plenty = s, min(plenty, s.free)
	}
	if len(supplies) == 0 || want == 0 {
		return 0
	}
	if !g.probe {
		want = max(want, plenty/(4*live))
	}
	given = p.spread(t, supplies, want, now, g)
	for i, s := range supplies {
		for j, n := range s.taken {
			p.falls[i][s.falls[j].at] -= n
		}
		if given == 0 {
			g.after = max(g.after, s.first(now)-now)
		}
	}
	if given > 0 {
		m := p.members[a.member]
		m.last = max(m.last, g.stamps[len(g.stamps)-1].at)
	}
	return given
}

// spread leases calls moment by moment up to the horizon.
func (p *pool) spread(t terms, supplies []*supply, want, now int64, g *grant) (given int64) {
	pace := math.Inf(1)
	if t.paced() {
		pace = max(float64(t.windows[0].size)*g.factor, 1e-9) * catchUp / float64(t.windows[0].span)
		p.tat = max(p.tat, float64(now)-float64(t.burst)/pace)
	}
	for at := now; at <= now+horizon && given < want; at += leaseStep {
		can := want - given
		if t.paced() {
			can = min(can, int64(math.Floor((float64(at)-p.tat)*pace+1e-6)))
		}
		for _, s := range supplies {
			can = min(can, s.until(at))
		}
		if can <= 0 {
			continue
		}
		for _, s := range supplies {
			s.take(can)
		}
		if t.paced() {
			p.tat += float64(can) / pace
		}
		g.stamps = append(g.stamps, stamp{at, can})
		given += can
	}
	if given == 0 && t.paced() {
		g.after = max(0, int64(math.Ceil(p.tat+1/pace))-now)
	}
	return given
}

// place shares the places out: to each what it wants, or where that is too much
// an equal part, or where there are fewer places than processes a turn.
func (p *pool) place(t terms, m *member, a ask, now int64, g *grant) {
	if t.places == 0 {
		return
	}
	size := max(1, int64(math.Floor(float64(t.places)*g.factor+1e-9)))
	o := p.others(m, now)
	target := int64(0)
	if a.places > 0 && (g.open < 0 || g.probe) {
		fair := max(1, size/(o.wanting+1))
		target = max(a.places, fair)
		if o.hungry {
			target = min(target, fair)
		}
		room := size - o.places
		if m.places == 0 {
			room -= o.longer
		} else if o.longer > 0 && now-m.fed >= turnTime {
			room = 0
		}
		target = max(0, min(target, room))
	}
	m.wanted = a.places
	m.feed(target, now)
	m.places = max(target, a.limit, a.busy)
	g.places = target
}

// rivals are the other members, as far as places go.
type rivals struct {
	places, wanting int64
	hungry          bool  // one wants more than it has
	longer          int64 // have been without a place for longer
}

func (p *pool) others(m *member, now int64) (r rivals) {
	for _, o := range p.members {
		if o == m {
			continue
		}
		r.places += o.places
		if o.asked <= now-leaseLife || o.wanted == 0 {
			continue
		}
		r.wanting++
		r.hungry = r.hungry || o.wanted > o.places
		if o.starving > 0 && (m.starving == 0 || o.starving < m.starving) {
			r.longer++
		}
	}
	return r
}

// feed notes since when a member has a place, or wants one and has none.
func (m *member) feed(target, now int64) {
	switch {
	case m.wanted == 0:
		m.starving, m.fed = 0, 0
	case target > 0:
		m.starving = 0
		if m.fed == 0 {
			m.fed = now
		}
	default:
		m.fed = 0
		if m.starving == 0 {
			m.starving = now
		}
	}
}
