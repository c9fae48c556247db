package providers

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

const (
	maxPolls     = 5               // of one pending answer within one Ask
	defaultPoll  = time.Second     // where a vendor does not say when to ask again
	longestPoll  = 5 * time.Second // beyond this the question is put off
	defaultLater = 2 * time.Second // where nobody says when to try again
)

// Waterfall asks the providers of one service in order until one has a result
// that passes [Validate]. It never asks a provider again that has failed it.
type Waterfall struct {
	Providers []Provider
	// Asynchronous is set if a provider may answer with a ticket, so that
	// callers look for those they kept.
	Asynchronous bool
}

// Waterfalls holds the waterfall of each service.
type Waterfalls map[lookup.Service]*Waterfall

// For returns the waterfall of a service, and whether there is one with at
// least one provider.
func (w Waterfalls) For(service lookup.Service) (*Waterfall, bool) {
	waterfall := w[service]
	return waterfall, waterfall != nil && len(waterfall.Providers) > 0
}

// Ask puts one question to the providers. When ctx ends the verdict is Later,
// unless a result or a refusal came first.
//
// A vendor that takes the question on as a job is not waited for: the verdict
// is Later with its ticket, and no vendor after it is asked (and paid) as well,
// unless the job has been under way for long. With tickets in ctx the vendors
// that hold them are asked first.
func (w *Waterfall) Ask(ctx context.Context, q lookup.Query) Verdict {
	t := tally{tickets: ticketsIn(ctx)}
	for _, p := range w.order(ctx) {
		if !slices.Contains(p.Services(), q.Service) {
			continue
		}
		t.capable = true
		if ctx.Err() != nil {
			t.putOff(0)
			break
		}
		answer, result := check(q, poll(ctx, p, q))
		ticket, waiting := jobOf(ctx, p.Name(), answer)
		t.tickets.set(p.Name(), ticket, waiting)
		switch answer.Outcome {
		case Hit:
			return Verdict{Outcome: lookup.Found, Result: result, Provider: p.Name()}
		case Blocked:
			return Verdict{Outcome: lookup.NotFound, Provider: p.Name()}
		}
		t.add(p.Name(), answer)
		if waiting && time.Since(ticket.At) < ticketWait {
			break
		}
	}
	return t.verdict(q.Service)
}

// order is the providers, those first whose jobs are under way.
func (w *Waterfall) order(ctx context.Context) []Provider {
	if !w.Asynchronous {
		return w.Providers
	}
	return slices.SortedStableFunc(slices.Values(w.Providers), func(a, b Provider) int {
		_, first := TicketOf(ctx, a.Name())
		_, second := TicketOf(ctx, b.Name())
		switch {
		case first == second:
			return 0
		case first:
			return -1
		}
		return 1
	})
}

// jobOf returns the job that is under way with a provider after its answer.
// While fetching it does not succeed, the job stays what it was.
func jobOf(ctx context.Context, provider string, a Answer) (Ticket, bool) {
	held, fetched := TicketOf(ctx, provider)
	switch a.Outcome {
	case Pending:
		if a.Ticket != "" && a.Ticket != held.ID {
			return Ticket{ID: a.Ticket, At: time.Now()}, true
		}
		return held, fetched
	case Transient, Throttled, Auth:
		return held, fetched
	case Quota: // of a call that was made, it is how the job ended
		return held, fetched && a.NotAsked
	}
	return Ticket{}, false
}

// poll asks p, and again while it says Pending without a ticket.
func poll(ctx context.Context, p Provider, q lookup.Query) Answer {
	answer := p.Ask(ctx, q)
	for polls := 0; answer.Outcome == Pending && answer.Ticket == "" && polls < maxPolls; polls++ {
		after := answer.After
		if after <= 0 {
			after = defaultPoll
		}
		deadline, bounded := ctx.Deadline()
		if after > longestPoll || bounded && time.Until(deadline) <= after || !sleep(ctx, after) {
			return answer
		}
		answer = p.Ask(ctx, q)
	}
	return answer
}

// sleep waits for d and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// check turns a hit that is none into a miss, and returns the result of one
// that is.
func check(q lookup.Query, a Answer) (Answer, json.RawMessage) {
	if a.Outcome != Hit {
		return a, nil
	}
	normalised, ok, reason := Validate(q, a.Result)
	if !ok {
		return Answer{Outcome: Miss, Reason: reason}, nil
	}
	result, err := encode(q.Service.ResultFields(), normalised)
	if err != nil { // a value that is no JSON: the adapter's bug
		return Answer{Outcome: BadRequest, Reason: "result_encoding"}, nil
	}
	return a, result
}

// encode writes a result as JSON, its fields in the order of the service. Most
// values are texts or missing, and are written without reflection.
func encode(fields []string, result map[string]any) (json.RawMessage, error) {
	b := append(make([]byte, 0, 128), '{')
	for i, field := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(lookup.AppendJSONText(b, field), ':')
		switch value := result[field].(type) {
		case nil:
			b = append(b, "null"...)
		case string:
			b = lookup.AppendJSONText(b, value)
		case bool:
			b = strconv.AppendBool(b, value)
		default:
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			b = append(b, text...)
		}
	}
	return append(b, '}'), nil
}

// tally remembers how the providers without a result ended.
type tally struct {
	capable    bool // somebody serves this service
	missed     bool // somebody definitely has nothing
	unresolved bool // somebody may have something
	later      time.Duration
	broken     []string // who did not understand us
	tickets    Tickets  // what is under way
}

func (t *tally) add(provider string, a Answer) {
	switch a.Outcome {
	case Miss:
		t.missed = true
	case Ineligible:
	case BadRequest:
		t.broken = append(t.broken, provider)
	default:
		t.putOff(a.After)
	}
}

func (t *tally) putOff(after time.Duration) {
	if after <= 0 {
		after = defaultLater
	}
	if !t.unresolved || after < t.later {
		t.later = after
	}
	t.unresolved = true
}

// verdict weighs the answers: a provider that might still have the result
// outweighs a miss, and a miss outweighs a provider that could not be asked
// because of a mistake on our side.
func (t *tally) verdict(service lookup.Service) Verdict {
	switch {
	case t.unresolved:
		return Verdict{Later: t.later, Tickets: t.tickets}
	case !t.capable:
		return failed("no provider is configured for " + string(service) + "; ask the operator for one")
	case len(t.broken) > 0 && !t.missed:
		return failed("the request was not understood by " + strings.Join(t.broken, ", ") + "; the operator has been told, try again later")
	}
	return Verdict{Outcome: lookup.NotFound}
}

func failed(detail string) Verdict {
	return Verdict{Outcome: lookup.Failed, Error: &lookup.RowError{Code: "provider_error", Detail: detail}}
}
