package providers

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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
	// Terms are those of a provider, by its name.
	Terms map[string]Terms
	// Budget is how much one lookup may take.
	Budget Budget
	// Asynchronous is set if a provider may answer with a ticket.
	Asynchronous bool
	// Local is set if all providers work inside this process: asking one twice costs
	// nothing, so that nobody has to see to it that a question is asked once.
	Local bool
	// Metrics count what the providers cost; nil: nobody does.
	Metrics *Metrics
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Waterfalls holds the waterfall of each service.
type Waterfalls map[lookup.Service]*Waterfall

// For returns the waterfall of a service, and whether there is one with at
// least one provider.
func (w Waterfalls) For(service lookup.Service) (*Waterfall, bool) {
	waterfall := w[service]
	return waterfall, waterfall != nil && len(waterfall.Providers) > 0
}

// Live holds waterfalls that are replaced while lookups run: each goes on in the
// one it began with. The zero value has none.
type Live struct{ now atomic.Pointer[Waterfalls] }

// Set replaces the waterfalls.
func (l *Live) Set(w Waterfalls) { l.now.Store(&w) }

// For is [Waterfalls.For] of those set last.
func (l *Live) For(service lookup.Service) (*Waterfall, bool) {
	w := l.now.Load()
	if w == nil {
		return nil, false
	}
	return w.For(service)
}

// Ask puts one question to the providers. When ctx ends the verdict is Later,
// unless a result or a refusal came first.
//
// A vendor that takes the question on as a job is not waited for: the verdict
// is Later with its ticket, and no vendor after it is asked (and paid) as well,
// unless the job has been under way for long. With a trail in ctx the vendors
// that work on jobs are asked first, and those not again that had nothing or
// whose answers were lost a moment ago.
func (w *Waterfall) Ask(ctx context.Context, q lookup.Query) Verdict {
	t := tally{trail: trailIn(ctx)}
	for _, p := range w.order(t.trail) {
		if !slices.Contains(p.Services(), q.Service) {
			continue
		}
		t.capable = true
		if ctx.Err() != nil {
			t.putOff(0)
			break
		}
		if !w.asks(p.Name(), q, &t) {
			continue
		}
		answer, result, waiting := w.consult(ctx, p, q, &t)
		switch answer.Outcome {
		case Hit:
			return Verdict{Outcome: lookup.Found, Result: result, Provider: p.Name()}
		case Blocked:
			return Verdict{Outcome: lookup.NotFound, Provider: p.Name()}
		}
		t.add(p.Name(), answer)
		if waiting {
			break
		}
	}
	return t.verdict(q.Service)
}

// order is the providers, those first whose jobs are under way.
func (w *Waterfall) order(t Trail) []Provider {
	if !w.Asynchronous || len(t) == 0 {
		return w.Providers
	}
	return slices.SortedStableFunc(slices.Values(w.Providers), func(a, b Provider) int {
		first, second := t[a.Name()].Ticket != "", t[b.Name()].Ticket != ""
		switch {
		case first == second:
			return 0
		case first:
			return -1
		}
		return 1
	})
}

// asks reports whether a provider is to be asked now. If not, the tally knows
// why.
func (w *Waterfall) asks(name string, q lookup.Query, t *tally) bool {
	trace, terms := t.trail[name], w.Terms[name]
	if trace.Ticket != "" {
		return true // what was ordered is fetched in any case
	}
	wait := time.Duration(0)
	if trace.Lost > 0 && !terms.FreeRepeats {
		wait = lostPause - w.now().Sub(trace.At)
	}
	cost, took := t.trail.spent()
	switch {
	case trace.Missed:
		t.missed = true
	case !terms.When.holds(q):
	case !terms.FreeRepeats && trace.Lost >= lostCalls:
		t.lost = append(t.lost, name)
	case !w.Budget.allows(terms, cost, took):
		t.overBudget = true
	case wait > 0:
		t.putOff(wait)
	default:
		return true
	}
	return false
}

func (w *Waterfall) now() time.Time {
	if w.Now == nil {
		return time.Now()
	}
	return w.Now()
}

// consult asks one provider and notes what it said. waiting is true if the
// question is its job now, which has not been under way for long.
func (w *Waterfall) consult(ctx context.Context, p Provider, q lookup.Query, t *tally) (answer Answer, result json.RawMessage, waiting bool) {
	name, begun := p.Name(), w.now()
	terms, trace := w.Terms[name], t.trail[name]
	said := poll(withTimeout(ctx, terms.Timeout), p, q)
	now := w.now()
	cost := terms.costs(said, trace.Ticket != "")
	w.Metrics.spent(name, cost)
	answer, result = check(q, said)
	if answer.Outcome == Hit {
		return answer, result, false // the trail ends here
	}
	if result != nil && t.remark == nil {
		t.remark, t.remarkBy = result, name
	}
	if !said.NotAsked {
		trace.Took += now.Sub(begun)
	}
	trace.Spent += cost
	trace.Missed = answer.Outcome == Miss
	fetched := trace.Ticket != ""
	trace.Ticket, trace.At = jobOf(trace, answer, now)
	if said.Lost && !fetched {
		trace.Lost, trace.At = trace.Lost+1, now
	}
	if !said.NotAsked || fetched {
		t.trail = t.trail.with(name, trace)
	}
	return answer, nil, trace.Ticket != "" && now.Sub(trace.At) < ticketWait
}

// jobOf returns the job that is under way with a provider after its answer, and
// since when. While fetching it does not succeed, the job stays what it was.
func jobOf(held Trace, a Answer, now time.Time) (ticket string, at time.Time) {
	switch a.Outcome {
	case Pending:
		if a.Ticket != "" && a.Ticket != held.Ticket {
			return a.Ticket, now
		}
		return held.Ticket, held.At
	case Transient, Throttled, Auth:
		return held.Ticket, held.At
	case Quota: // of a call that was made, it is how the job ended
		if a.NotAsked {
			return held.Ticket, held.At
		}
	}
	return "", held.At
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

// check turns a hit that is none into a miss. It returns the result of one that
// is, and of a miss the remark, if there is one.
func check(q lookup.Query, a Answer) (Answer, json.RawMessage) {
	var shown map[string]any
	ok := false
	if a.Outcome == Hit {
		var reason string
		if shown, ok, reason = Validate(q, a.Result); !ok {
			a = Answer{Outcome: Miss, Reason: reason, Result: a.Result}
		}
	}
	if a.Outcome == Miss {
		shown, ok = remark(q, a.Result)
	}
	if !ok {
		return a, nil
	}
	result, err := encode(q.Service.ResultFields(), shown)
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
	overBudget bool // somebody was too dear
	later      time.Duration
	broken     []string        // who did not understand us
	lost       []string        // whose answers were lost too often
	remark     json.RawMessage // of the first who had one
	remarkBy   string
	trail      Trail
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
// because of a mistake on our side, or for its price.
func (t *tally) verdict(service lookup.Service) Verdict {
	switch {
	case t.unresolved:
		return Verdict{Later: t.later, Trail: t.trail}
	case !t.capable:
		return t.failed("no provider is configured for " + string(service) + "; ask the operator for one")
	case len(t.lost) > 0:
		return t.failed("the answers of " + strings.Join(t.lost, ", ") + " did not arrive, and asking again may cost twice; try again tomorrow")
	case len(t.broken) > 0 && !t.missed:
		return t.failed("the request was not understood by " + strings.Join(t.broken, ", ") + "; the operator has been told, try again later")
	case t.overBudget && !t.missed:
		return t.failed("what one lookup may cost was used up before a provider could answer; try again later")
	}
	return Verdict{Outcome: lookup.NotFound, Result: t.remark, Provider: t.remarkBy}
}

func (t *tally) failed(detail string) Verdict {
	return Verdict{Outcome: lookup.Failed, Error: &lookup.RowError{Code: "provider_error", Detail: detail}, Trail: t.trail}
}
