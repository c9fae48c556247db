package providers

import (
	"context"
	"maps"
	"time"
)

// Ticket names a question that an asynchronous vendor has taken on: with it the
// answer is fetched, without it the question is asked, and paid for, again.
type Ticket struct {
	ID string    // the vendor's own name for the job; it says nothing about the question
	At time.Time // when the vendor took it on
}

// Trace is what one provider has said to an open question so far.
type Trace struct {
	Ticket string        // of the job under way; "": none
	Missed bool          // it definitely has nothing, and is not asked again
	Lost   int           // calls whose answers never came, although they may have been charged
	At     time.Time     // when the ticket was given or, without one, the last answer was lost
	Spent  Cost          // on it
	Took   time.Duration // its calls, together
}

// Trail is what has been said to an open question, by the providers' names.
// Whoever asks it again later asks only those who may have something.
type Trail map[string]Trace

const (
	// ticketWait is how long a question waits for one vendor's job before the
	// vendors after it are asked too.
	ticketWait = 2 * time.Minute
	// lostPause is how long a vendor is not asked a question again whose answer
	// was lost, and lostCalls after how many it never is: each may be charged.
	lostPause = 30 * time.Second
	lostCalls = 2
)

type trailKey struct{}

// WithTrail returns a context in which [Waterfall.Ask] goes on where an earlier
// one ended. A context carries it because tickets pass through guards and HTTP,
// which have no business with them, to the adapter.
func WithTrail(ctx context.Context, t Trail) context.Context {
	if len(t) == 0 {
		return ctx
	}
	return context.WithValue(ctx, trailKey{}, t)
}

// TicketOf returns the ticket that a provider's adapter should fetch, and
// whether there is one; else it asks anew.
func TicketOf(ctx context.Context, provider string) (Ticket, bool) {
	t, _ := ctx.Value(trailKey{}).(Trail)
	trace := t[provider]
	return Ticket{ID: trace.Ticket, At: trace.At}, trace.Ticket != ""
}

// trailIn returns a copy of what ctx carries.
func trailIn(ctx context.Context) Trail {
	t, _ := ctx.Value(trailKey{}).(Trail)
	return maps.Clone(t)
}

// with returns the trail with what a provider has said.
func (t Trail) with(provider string, trace Trace) Trail {
	if t == nil {
		t = Trail{}
	}
	t[provider] = trace
	return t
}

// spent is what all providers together have cost, in money and time.
func (t Trail) spent() (cost Cost, took time.Duration) {
	for _, trace := range t {
		cost += trace.Spent
		took += trace.Took
	}
	return cost, took
}
