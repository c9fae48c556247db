package providers

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/magpie-hq/magpie/lookup"
)

// Limits are how much of a vendor a [Guard] may use.
type Limits struct {
	// PerSecond, PerMinute and PerDay are the vendor's quotas: in no stretch of
	// that length do more calls arrive, wherever it begins. 0 means no limit. Of a
	// PerSecond with a fraction the whole part counts; one below 1 is one call
	// in so many seconds.
	PerSecond         float64
	PerMinute, PerDay int
	// Burst is how many calls may start at once; those after them are spread over
	// the second. 0 means a twentieth of PerSecond, at least 1.
	Burst int
	// MaxConcurrent is how many calls may be under way; 0 means no limit.
	MaxConcurrent int
	// Quota names the quota, for providers that share one; "" is the provider's
	// name. All who share it must have the same limits.
	Quota string
	// Patience is how long a question waits for its turn before it is held
	// back; 0 means 2 s.
	Patience time.Duration
	// ParkFor is how long a vendor is left alone that refused our key or has
	// no plan left; 0 means 5 minutes.
	ParkFor time.Duration
	// OpenFor is how long a vendor is left alone that is down, before one call
	// probes it; 0 means 1 s.
	OpenFor time.Duration
	// CallTime is the longest that a call may take: places of a process that died
	// are free after it. 0 means what the provider says, or 30 s.
	CallTime time.Duration
}

// bounded is a provider that knows how long its calls may take.
type bounded interface{ Timeout() time.Duration }

func (l Limits) withDefaults(p Provider) Limits {
	callTime := 30 * time.Second
	if b, ok := p.(bounded); ok {
		callTime = b.Timeout()
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&l.Patience, 2 * time.Second}, {&l.ParkFor, 5 * time.Minute}, {&l.OpenFor, time.Second}, {&l.CallTime, callTime}} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if l.Quota == "" {
		l.Quota = p.Name()
	}
	return l
}

// gridShare is the grid of a window: four hundred steps.
const gridShare = 400

// terms are the limits as what is leased.
func (l Limits) terms() terms {
	t := terms{
		places: int64(l.MaxConcurrent), callTime: (l.CallTime + time.Second).Milliseconds(),
		openFor: l.OpenFor.Milliseconds(), burst: int64(l.Burst),
	}
	add := func(name string, span, size int64) {
		if size > 0 {
			t.windows = append(t.windows, window{name, span, max(1, span/gridShare), size})
		}
	}
	if l.PerSecond >= 1 {
		add("second", 1000, int64(l.PerSecond))
	} else if l.PerSecond > 0 {
		add("second", int64(math.Ceil(1000/l.PerSecond)), 1)
	}
	add("minute", time.Minute.Milliseconds(), int64(l.PerMinute))
	add("day", (24 * time.Hour).Milliseconds(), int64(l.PerDay))
	if t.burst <= 0 {
		t.burst = max(1, int64(l.PerSecond)/20)
	}
	return t
}

// probeAfter is the hint for callers while somebody else probes the vendor.
const probeAfter = 500 * time.Millisecond

// Guard stands around every call to one provider, and is a [Provider] itself.
// A call passes when the vendor is not parked, its breaker is not open, a
// concurrent place and a turn are free within the patience. Otherwise the
// answer has NotAsked set, and the vendor saw nothing.
//
// A guard by itself keeps its limits for one process. [Fleet.Join] makes limits,
// breaker and park those of all processes.
type Guard struct {
	provider Provider
	limits   Limits
	metrics  providerMetrics
	log      *slog.Logger
	tank     *tank
	breaker  atomic.Pointer[gobreaker.TwoStepCircuitBreaker[struct{}]]
	inFlight atomic.Int64
	// Set until the vendor serves us again: its park was logged, and ends then.
	parkLogged    atomic.Pointer[time.Time]
	misunderstood atomic.Bool // a bad request was logged
}

// NewGuard returns a guard around p. A nil m counts nothing; a nil log is silent.
func NewGuard(p Provider, limits Limits, m *Metrics, log *slog.Logger) *Guard {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{
		provider: p,
		limits:   limits.withDefaults(p),
		metrics:  m.provider(p.Name()),
		log:      log.With("provider", p.Name()),
	}
	g.tank = newTank(g.limits.terms())
	g.tank.closed = g.renewBreaker
	g.renewBreaker()
	if m != nil {
		m.guards.add(g)
	}
	return g
}

// renewBreaker begins with a closed breaker that remembers nothing.
func (g *Guard) renewBreaker() {
	g.breaker.Store(gobreaker.NewTwoStepCircuitBreaker[struct{}](g.breakerSettings()))
}

// Name is the provider's name.
func (g *Guard) Name() string { return g.provider.Name() }

// Services are the provider's services.
func (g *Guard) Services() []lookup.Service { return g.provider.Services() }

// Ask lets the question through to the provider, or says why not.
func (g *Guard) Ask(ctx context.Context, q lookup.Query) Answer {
	breaker := g.breaker.Load()
	if g.tank.hasten == nil && breaker.State() == gobreaker.StateOpen {
		return g.refuse(ctx, openAnswer(g.tank.openLeft()))
	}
	began := time.Now()
	p, a, ok := g.enter(ctx, began, began.Add(g.limits.Patience))
	if !ok {
		return g.refuse(ctx, a)
	}
	if p.probe {
		return g.call(ctx, q, p, func(err error) { g.tank.probed(probeResult(err)) })
	}
	done, err := breaker.Allow()
	if err != nil {
		g.tank.leave(p, began, began, false)
		return g.refuse(ctx, openAnswer(g.tank.openLeft()))
	}
	return g.call(ctx, q, p, done)
}

// probeResult is what the end of the fleet's probe means.
func probeResult(err error) int64 {
	switch {
	case err == nil:
		return probeGood
	case errors.Is(err, errExcluded):
		return probeVoid
	}
	return probeBad
}

// enter waits for a permit.
func (g *Guard) enter(ctx context.Context, now, deadline time.Time) (permit, Answer, bool) {
	for {
		p, after, e := g.tank.enter(ctx, now, deadline, isInteractive(ctx))
		switch e {
		case entered:
			return p, Answer{}, true
		case isParked:
			return p, Answer{Outcome: g.tank.parkedFor(), Reason: heldParked, After: after, NotAsked: true}, false
		case isOpen:
			return p, openAnswer(after), false
		case tooBusy:
			return p, notAsked(ctx, heldBusy, after), false
		case tooFast, gone:
			return p, notAsked(ctx, heldPaced, after), false
		case lookAgain:
			now = time.Now()
		}
	}
}

func (g *Guard) refuse(ctx context.Context, a Answer) Answer {
	g.metrics.heldBack(a.Reason)
	if g.log.Enabled(ctx, slog.LevelDebug) {
		g.log.DebugContext(ctx, "provider not asked", "outcome", a.Outcome.String(), "reason", a.Reason, "after", a.After)
	}
	return a
}

// notAsked answers for a question that got no turn.
func notAsked(ctx context.Context, reason string, after time.Duration) Answer {
	if ctx.Err() != nil {
		return Answer{Outcome: Transient, Reason: heldCancelled, NotAsked: true}
	}
	return Answer{Outcome: Throttled, Reason: reason, After: after, NotAsked: true}
}

func openAnswer(after time.Duration) Answer {
	return Answer{Outcome: Transient, Reason: heldOpen, After: max(after, probeAfter), NotAsked: true}
}

// call asks the provider and learns from the answer. The breaker always hears
// how it ended: a half-open one waits for that for ever.
func (g *Guard) call(ctx context.Context, q lookup.Query, p permit, done func(error)) (answer Answer) {
	started := time.Now()
	g.inFlight.Add(1)
	answer = Answer{Outcome: Transient, Reason: "panic"}
	defer func() {
		if recover() != nil { // its value may quote the question; the stack does not
			answer = Answer{Outcome: Transient, Reason: "panic"}
			g.log.ErrorContext(ctx, "provider panicked", "stack", string(debug.Stack()))
		}
		ended := time.Now()
		g.inFlight.Add(-1)
		g.tank.leave(p, started, ended, !answer.NotAsked)
		done(forBreaker(ctx, answer))
		g.learn(ctx, started, answer)
		g.called(ctx, answer, ended.Sub(started))
	}()
	return g.provider.Ask(ctx, q)
}

// called counts and logs a call. It is the hottest line of the program, so that
// it costs nothing unless somebody reads it.
func (g *Guard) called(ctx context.Context, a Answer, took time.Duration) {
	if !a.NotAsked {
		g.metrics.called(a.Outcome, took)
	}
	if g.log.Enabled(ctx, slog.LevelDebug) {
		g.log.DebugContext(ctx, "provider call", "outcome", a.Outcome.String(), "reason", a.Reason, "latency", took, "asked", !a.NotAsked)
	}
}

// learn keeps what an answer says about the vendor rather than the question.
func (g *Guard) learn(ctx context.Context, started time.Time, a Answer) {
	if a.NotAsked {
		return
	}
	switch a.Outcome {
	case Throttled:
		g.tank.throttled(started, a.After)
	case Quota, Auth:
		g.parkVendor(ctx, a)
	case BadRequest:
		if !g.misunderstood.Swap(true) {
			g.log.ErrorContext(ctx, "provider does not understand a request; its adapter needs a look (logged once)", "reason", a.Reason)
		}
	case Hit, Miss, Ineligible, Pending, Blocked:
		g.tank.answered(started)
		if until := g.parkLogged.Load(); until != nil && started.After(*until) && g.parkLogged.CompareAndSwap(until, nil) {
			g.log.InfoContext(ctx, "provider serves again")
		}
	case Transient: // the breaker's business
	}
}

func (g *Guard) parkVendor(ctx context.Context, a Answer) {
	pause := g.limits.ParkFor
	if a.After > 0 {
		pause = min(a.After, longestPause)
	}
	until := g.tank.leaveAlone(a.Outcome, pause)
	if g.parkLogged.Swap(&until) == nil {
		g.log.ErrorContext(ctx, "provider is parked; check its key and its plan", "outcome", a.Outcome.String(), "reason", a.Reason, "for", pause)
	}
}

// State is what a guard knows about its provider at one moment. In a fleet all
// but InFlight is the fleet's, as of the last lease.
type State struct {
	Provider  string     `json:"provider"`
	Condition string     `json:"condition"`  // "closed" (all is well), "half-open", "open" or "parked"
	Until     time.Time  `json:"until"`      // with open and parked: when the vendor is tried again
	Parked    Outcome    `json:"parked"`     // with parked: Quota or Auth
	NotBefore time.Time  `json:"not_before"` // end of the last pause that the vendor asked for
	Rate      float64    `json:"rate"`       // calls a second allowed now; 0: no limit
	InFlight  int        `json:"in_flight"`  // calls of this process under way
	Quotas    []QuotaUse `json:"quotas"`
}

// QuotaUse is how much of one window of a vendor's quota is used: calls made in
// it, and those leased to processes.
type QuotaUse struct {
	Window string `json:"window"` // "second", "minute" or "day"
	Used   int64  `json:"used"`
	Quota  int64  `json:"quota"`
}

// State reports how the guard stands.
func (g *Guard) State() State {
	s := State{Provider: g.Name(), Condition: g.breaker.Load().State().String(), InFlight: int(g.inFlight.Load())}
	g.tank.state(time.Now(), &s)
	return s
}

var (
	errFailed   = errors.New("the vendor failed")
	errExcluded = errors.New("says nothing about the vendor's health")
)

// forBreaker says what an answer means to the breaker. Only failures of the
// vendor count against it; a caller who left says nothing either way.
func forBreaker(ctx context.Context, a Answer) error {
	switch {
	case a.NotAsked:
		return errExcluded
	case a.Outcome == Transient && errors.Is(ctx.Err(), context.Canceled):
		return errExcluded
	case a.Outcome == Transient:
		return errFailed
	case a.Outcome == Hit, a.Outcome == Miss, a.Outcome == Pending:
		return nil
	}
	return errExcluded
}

// breakerSettings opens the breaker after five failures in a row, or when half
// of at least ten calls within a minute failed.
func (g *Guard) breakerSettings() gobreaker.Settings {
	return gobreaker.Settings{
		Name:         g.provider.Name(),
		MaxRequests:  1, // one probe
		Interval:     time.Minute,
		BucketPeriod: 5 * time.Second,
		Timeout:      g.limits.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			judged := c.TotalSuccesses + c.TotalFailures
			return c.ConsecutiveFailures >= 5 || judged >= 10 && 2*c.TotalFailures >= judged
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errExcluded) },
		// Called under the breaker's lock: it must not ask the breaker anything.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				g.tank.trip()
			}
			g.log.Warn("provider's breaker changed", "from", from.String(), "to", to.String())
		},
	}
}
