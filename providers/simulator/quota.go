package simulator

import "time"

// window counts calls in a stretch of time that slides: it remembers when the
// last so many were allowed.
type window struct {
	span    time.Duration
	allowed []time.Time // a ring; its length is the quota, 0 for none
	next    int
}

func newWindow(span time.Duration, quota int) *window {
	return &window{span: span, allowed: make([]time.Time, max(0, quota))}
}

// full returns how long until another call fits; 0 means it fits now.
func (w *window) full(now time.Time) time.Duration {
	if len(w.allowed) == 0 || w.allowed[w.next].IsZero() {
		return 0
	}
	return max(0, w.span-now.Sub(w.allowed[w.next]))
}

// add counts a call that was allowed.
func (w *window) add(now time.Time) {
	if len(w.allowed) > 0 {
		w.allowed[w.next] = now
		w.next = (w.next + 1) % len(w.allowed)
	}
}
