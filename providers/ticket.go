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

// Tickets holds a question's tickets by the names of the providers.
type Tickets map[string]Ticket

// ticketWait is how long a question waits for one vendor's job before the
// vendors after it are asked too.
const ticketWait = 2 * time.Minute

type ticketKey struct{}

// WithTickets returns a context in which [Waterfall.Ask] fetches answers that
// were ordered before. A context carries them because they pass through guards
// and HTTP, which have no business with them, to the adapter.
func WithTickets(ctx context.Context, t Tickets) context.Context {
	if len(t) == 0 {
		return ctx
	}
	return context.WithValue(ctx, ticketKey{}, t)
}

// TicketOf returns the ticket that a provider's adapter should fetch, and
// whether there is one; else it asks anew.
func TicketOf(ctx context.Context, provider string) (Ticket, bool) {
	t, _ := ctx.Value(ticketKey{}).(Tickets)
	ticket, ok := t[provider]
	return ticket, ok
}

// ticketsIn returns a copy of what ctx carries.
func ticketsIn(ctx context.Context) Tickets {
	t, _ := ctx.Value(ticketKey{}).(Tickets)
	return maps.Clone(t)
}

// set keeps or forgets a provider's ticket.
func (t *Tickets) set(provider string, ticket Ticket, keep bool) {
	if !keep {
		delete(*t, provider)
		return
	}
	if *t == nil {
		*t = Tickets{}
	}
	(*t)[provider] = ticket
}
