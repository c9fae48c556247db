package providers

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	firstBackOff = time.Second     // after a vendor that does not say how long
	lastBackOff  = time.Minute     // where that doubling ends
	longestPause = 24 * time.Hour  // whatever a vendor's header claims
	cutEvery     = time.Second     // one burst of refusals halves the rate once
	regrowth     = 0.05            // of the full rate, a second
	leastShare   = 1.0 / 64        // of the full rate; the rate is never cut to nothing
	busyAfter    = 1 * time.Second // hint for a caller who found every place taken
)

// pacer decides when a call may start: not before the moment a vendor named,
// and no faster than a rate that halves when the vendor complains and grows
// back steadily. It keeps the pace of this process only.
type pacer struct {
	full    rate.Limit // the configured rate, rate.Inf for none
	limiter *rate.Limiter

	mu        sync.Mutex
	cutRate   rate.Limit    // the rate after the last cut
	cutAt     time.Time     // when it was cut; zero: never, or grown back
	growFrom  time.Time     // when it began to grow again
	notBefore time.Time     // the pause a vendor asked for ends here
	backOff   time.Duration // the last blind pause; 0: none since the last good answer
}

func newPacer(perSecond float64, burst int) *pacer {
	full := rate.Limit(perSecond)
	if perSecond <= 0 {
		full = rate.Inf
	}
	return &pacer{full: full, limiter: rate.NewLimiter(full, max(1, burst))}
}

// wait returns true when a call may start. If that cannot be before deadline
// (or ctx ends), it returns false and how long it would take.
func (p *pacer) wait(ctx context.Context, deadline time.Time) (after time.Duration, ok bool) {
	for {
		now := time.Now()
		if pause := p.pause(now); pause > 0 {
			if now.Add(pause).After(deadline) || !sleep(ctx, pause) {
				return pause, false
			}
			continue
		}
		turn := p.limiter.ReserveN(now, 1)
		delay := turn.DelayFrom(now)
		if now.Add(delay).After(deadline) || !sleep(ctx, delay) {
			turn.Cancel()
			return delay, false
		}
		if p.pause(time.Now()) <= 0 { // nobody was refused in the meantime
			return 0, true
		}
	}
}

// sleep waits for d and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pause returns what is left of the vendor's pause, and lets the rate grow.
func (p *pacer) pause(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cutAt.IsZero() {
		current := p.rateAt(now)
		p.limiter.SetLimitAt(now, current)
		if current >= p.full {
			p.cutAt = time.Time{}
		}
	}
	return p.notBefore.Sub(now)
}

// rateAt is the rate allowed at a moment; p.mu is held.
func (p *pacer) rateAt(now time.Time) rate.Limit {
	if p.cutAt.IsZero() {
		return p.full
	}
	grown := max(0, now.Sub(p.growFrom).Seconds()) * regrowth
	return min(p.full, p.cutRate+p.full*rate.Limit(grown))
}

// throttled notes that a call started at that moment was told to slow down,
// and for how long (0: the vendor did not say).
func (p *pacer) throttled(started time.Time, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if after <= 0 && started.After(p.notBefore) { // not a straggler of the same burst
		p.backOff = min(max(firstBackOff, 2*p.backOff), lastBackOff)
		after = p.backOff
	}
	if until := now.Add(min(after, longestPause)); until.After(p.notBefore) {
		p.notBefore = until
	}
	if p.full == rate.Inf {
		return
	}
	if p.cutAt.IsZero() || now.Sub(p.cutAt) >= cutEvery {
		p.cutRate = max(p.rateAt(now)/2, p.full*leastShare)
		p.cutAt = now
		p.limiter.SetLimitAt(now, p.cutRate)
	}
	p.growFrom = p.notBefore
}

// answered notes that a call started at that moment was served: blind pauses
// begin small again, unless a refusal came after it.
func (p *pacer) answered(started time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !started.Before(p.notBefore) {
		p.backOff = 0
	}
}

// state returns the calls a second allowed now (0: no limit) and the end of
// the vendor's pause.
func (p *pacer) state(now time.Time) (perSecond float64, notBefore time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full != rate.Inf {
		perSecond = float64(p.rateAt(now))
	}
	return perSecond, p.notBefore
}
