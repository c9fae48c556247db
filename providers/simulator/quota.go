package simulator

import "time"

// window counts calls in a stretch of time. A sliding one remembers when the
// last so many were allowed; a fixed one begins anew at multiples of its span.
type window struct {
	span    time.Duration
	allowed []time.Time // a ring; its length is the quota, 0 for none
	next    int
	fixed   bool
}

func newWindow(span time.Duration, quota int, fixed bool) *window {
	return &window{span: span, allowed: make([]time.Time, max(0, quota)), fixed: fixed}
}

// full returns how long until another call fits; 0 means it fits now.
func (w *window) full(now time.Time) time.Duration {
	if len(w.allowed) == 0 || w.allowed[w.next].IsZero() {
		return 0
	}
	oldest := w.allowed[w.next]
	if w.fixed {
		oldest = oldest.Truncate(w.span)
	}
	return max(0, w.span-now.Sub(oldest))
}

// add counts a call that was allowed.
func (w *window) add(now time.Time) {
	if len(w.allowed) > 0 {
		w.allowed[w.next] = now
		w.next = (w.next + 1) % len(w.allowed)
	}
}
