package providers

import (
	"context"
	"encoding/json"
	"slices"
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
func (w *Waterfall) Ask(ctx context.Context, q lookup.Query) Verdict {
	var t tally
	for _, p := range w.Providers {
		if !slices.Contains(p.Services(), q.Service) {
			continue
		}
		t.capable = true
		if ctx.Err() != nil {
			t.putOff(0)
			break
		}
		answer, result := check(q, poll(ctx, p, q))
		switch answer.Outcome {
		case Hit:
			return Verdict{Outcome: lookup.Found, Result: result, Provider: p.Name()}
		case Blocked:
			return Verdict{Outcome: lookup.NotFound, Provider: p.Name()}
		}
		t.add(p.Name(), answer)
	}
	return t.verdict(q.Service)
}

// poll asks p, and again while it says Pending.
func poll(ctx context.Context, p Provider, q lookup.Query) Answer {
	answer := p.Ask(ctx, q)
	for polls := 0; answer.Outcome == Pending && polls < maxPolls; polls++ {
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
	result, err := json.Marshal(normalised)
	if err != nil { // a value that is no JSON: the adapter's bug
		return Answer{Outcome: BadRequest, Reason: "result_encoding"}, nil
	}
	return a, result
}

// tally remembers how the providers without a result ended.
type tally struct {
	capable    bool // somebody serves this service
	missed     bool // somebody definitely has nothing
	unresolved bool // somebody may have something
	later      time.Duration
	broken     []string // who did not understand us
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
		return Verdict{Later: t.later}
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
