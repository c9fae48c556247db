package providers

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/magpie-hq/magpie/lookup"
)

// Limits are how much of a vendor a [Guard] may use.
type Limits struct {
	// PerSecond is the sustained rate of calls; 0 means no limit.
	PerSecond float64
	// Burst is how many calls may start at once after a quiet moment; 0 means 1.
	// In no second do more than PerSecond + Burst calls start: keep that sum
	// below the vendor's quota.
	Burst int
	// MaxConcurrent is how many calls may be under way; 0 means no limit.
	MaxConcurrent int
	// Patience is how long a question waits for its turn before it is held
	// back; 0 means 2 s.
	Patience time.Duration
	// ParkFor is how long a vendor is left alone that refused our key or has
	// no plan left; 0 means 5 minutes.
	ParkFor time.Duration
	// OpenFor is how long a vendor is left alone that is down, before one call
	// probes it; 0 means 5 s.
	OpenFor time.Duration
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&l.Patience, 2 * time.Second}, {&l.ParkFor, 5 * time.Minute}, {&l.OpenFor, 5 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	return l
}

// probeAfter is the hint for callers while somebody else probes the vendor.
const probeAfter = 500 * time.Millisecond

// Guard stands around every call to one provider, and is a [Provider] itself.
// A call passes when the vendor is not parked, its breaker is not open, a
// concurrent place and a turn are free within the patience. Otherwise the
// answer has NotAsked set, and the vendor saw nothing.
type Guard struct {
	provider Provider
	limits   Limits
	metrics  providerMetrics
	log      *slog.Logger
	pacer    *pacer
	places   chan struct{} // nil: no cap
	breaker  *gobreaker.TwoStepCircuitBreaker[struct{}]
	inFlight atomic.Int64

	mu        sync.Mutex
	openUntil time.Time
	park      struct {
		outcome Outcome // Quota or Auth
		until   time.Time
		logged  bool // until the vendor serves us again
	}
	misunderstood bool // a bad request was logged
}

// NewGuard returns a guard around p. A nil m counts nothing; a nil log is silent.
func NewGuard(p Provider, limits Limits, m *Metrics, log *slog.Logger) *Guard {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{
		provider: p,
		limits:   limits.withDefaults(),
		metrics:  m.provider(p.Name()),
		log:      log.With("provider", p.Name()),
		pacer:    newPacer(limits.PerSecond, limits.Burst),
	}
	if limits.MaxConcurrent > 0 {
		g.places = make(chan struct{}, limits.MaxConcurrent)
	}
	g.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](g.breakerSettings())
	return g
}

// Name is the provider's name.
func (g *Guard) Name() string { return g.provider.Name() }

// Services are the provider's services.
func (g *Guard) Services() []lookup.Service { return g.provider.Services() }

// Ask lets the question through to the provider, or says why not.
func (g *Guard) Ask(ctx context.Context, q lookup.Query) Answer {
	began := time.Now()
	deadline := began.Add(g.limits.Patience)
	if a, held := g.heldBack(began); held {
		return g.refuse(ctx, a)
	}
	if a, ok := g.enter(ctx, deadline); !ok {
		return g.refuse(ctx, a)
	}
	defer g.leave()
	if after, ok := g.pacer.wait(ctx, deadline); !ok {
		return g.refuse(ctx, notAsked(ctx, heldPaced, after))
	}
	if a, held := g.parked(time.Now()); held { // others learned something while we waited
		return g.refuse(ctx, a)
	}
	done, err := g.breaker.Allow()
	if err != nil {
		return g.refuse(ctx, g.openAnswer())
	}
	return g.call(ctx, q, done)
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

// heldBack answers for a vendor that is parked or down.
func (g *Guard) heldBack(now time.Time) (Answer, bool) {
	if a, held := g.parked(now); held {
		return a, true
	}
	if g.breaker.State() == gobreaker.StateOpen {
		return g.openAnswer(), true
	}
	return Answer{}, false
}

// parked answers for a vendor that is left alone.
func (g *Guard) parked(now time.Time) (Answer, bool) {
	g.mu.Lock()
	left, outcome := g.park.until.Sub(now), g.park.outcome
	g.mu.Unlock()
	if left <= 0 {
		return Answer{}, false
	}
	return Answer{Outcome: outcome, Reason: heldParked, After: left, NotAsked: true}, true
}

func (g *Guard) openAnswer() Answer {
	g.mu.Lock()
	defer g.mu.Unlock()
	after := max(time.Until(g.openUntil), probeAfter)
	return Answer{Outcome: Transient, Reason: heldOpen, After: after, NotAsked: true}
}

// enter takes a concurrent place.
func (g *Guard) enter(ctx context.Context, deadline time.Time) (Answer, bool) {
	if g.places == nil {
		return Answer{}, true
	}
	select {
	case g.places <- struct{}{}:
		return Answer{}, true
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case g.places <- struct{}{}:
		return Answer{}, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return notAsked(ctx, heldBusy, busyAfter), false
}

func (g *Guard) leave() {
	if g.places != nil {
		<-g.places
	}
}

// call asks the provider and learns from the answer. The breaker always hears
// how it ended: a half-open one waits for that for ever.
func (g *Guard) call(ctx context.Context, q lookup.Query, done func(error)) (answer Answer) {
	started := time.Now()
	g.inFlight.Add(1)
	answer = Answer{Outcome: Transient, Reason: "panic"}
	defer func() {
		if recover() != nil { // its value may quote the question; the stack does not
			answer = Answer{Outcome: Transient, Reason: "panic"}
			g.log.ErrorContext(ctx, "provider panicked", "stack", string(debug.Stack()))
		}
		g.inFlight.Add(-1)
		done(forBreaker(ctx, answer))
		g.learn(ctx, started, answer)
		g.called(ctx, answer, time.Since(started))
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
		g.pacer.throttled(started, a.After)
	case Quota, Auth:
		g.parkVendor(ctx, a)
	case BadRequest:
		g.reportMisunderstood(ctx, a)
	case Hit, Miss, Ineligible, Pending, Blocked:
		g.pacer.answered(started)
		g.served(ctx, started)
	case Transient: // the breaker's business
	}
}

func (g *Guard) parkVendor(ctx context.Context, a Answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	pause := g.limits.ParkFor
	if a.After > 0 {
		pause = min(a.After, longestPause)
	}
	g.park.outcome, g.park.until = a.Outcome, time.Now().Add(pause)
	if !g.park.logged {
		g.park.logged = true
		g.log.ErrorContext(ctx, "provider is parked; check its key and its plan", "outcome", a.Outcome.String(), "reason", a.Reason, "for", pause)
	}
}

func (g *Guard) served(ctx context.Context, started time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.park.logged && started.After(g.park.until) {
		g.park.logged = false
		g.log.InfoContext(ctx, "provider serves again")
	}
}

func (g *Guard) reportMisunderstood(ctx context.Context, a Answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.misunderstood {
		g.misunderstood = true
		g.log.ErrorContext(ctx, "provider does not understand a request; its adapter needs a look (logged once)", "reason", a.Reason)
	}
}

// State is what a guard knows about its provider at one moment.
type State struct {
	Provider  string
	Condition string    // "closed" (all is well), "half-open", "open" or "parked"
	Until     time.Time // with open and parked: when the vendor is tried again
	NotBefore time.Time // end of the last pause that the vendor asked for
	Rate      float64   // calls a second allowed now; 0: no limit
	InFlight  int       // calls under way
	Quotas    []QuotaUse
}

// QuotaUse is how much of one window of a vendor's quota is used: calls made in
// it, and those leased to processes.
type QuotaUse struct {
	Window      string // "second", "minute" or "day"
	Used, Quota int64
}

// State reports how the guard stands.
func (g *Guard) State() State {
	now := time.Now()
	s := State{Provider: g.Name(), Condition: g.breaker.State().String(), InFlight: int(g.inFlight.Load())}
	s.Rate, s.NotBefore = g.pacer.state(now)
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.Condition == gobreaker.StateOpen.String() {
		s.Until = g.openUntil
	}
	if g.park.until.After(now) {
		s.Condition, s.Until = "parked", g.park.until
	}
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
			g.mu.Lock()
			if to == gobreaker.StateOpen {
				g.openUntil = time.Now().Add(g.limits.OpenFor)
			}
			g.mu.Unlock()
			g.log.Warn("provider's breaker changed", "from", from.String(), "to", to.String())
		},
	}
}
