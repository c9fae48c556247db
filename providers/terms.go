package providers

import (
	"context"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Cost is what vendors cost the operator, in millionths of whatever the operator
// counts in: a currency, or a vendor's credits. It has nothing to do with what
// customers pay.
type Cost int64

// CostUnit is one of what costs are counted in.
const CostUnit Cost = 1_000_000

// Terms are what holds for one provider in one waterfall. The zero value asks it
// every question, at no cost.
type Terms struct {
	Timeout time.Duration // of one call; 0: the provider's own
	When    Condition
	PerCall Cost // of each call that the vendor answered
	PerHit  Cost // of each hit, beside PerCall
	// FreeRepeats is set if the vendor charges nothing for a question that it
	// was paid for: then one whose answer was lost is asked again at once.
	FreeRepeats bool
}

// Condition says which questions a provider is asked. All parts must hold.
type Condition struct {
	Countries []string // the query points to one of them (lookup.Query.Country); none: any
	Has       []string // the query has all of these fields
}

// holds reports whether q is such a question.
func (c Condition) holds(q lookup.Query) bool {
	if len(c.Countries) > 0 && !slices.Contains(c.Countries, q.Country()) {
		return false
	}
	return !slices.ContainsFunc(c.Has, func(field string) bool { return q.Get(field) == "" })
}

// Budget is how much one lookup may take, all its providers and tries together;
// 0 means no limit.
type Budget struct {
	// Time is spent in calls. When it is used up, no other call is begun.
	Time time.Duration
	// Cost is never exceeded: a provider that could take a lookup over it, with
	// a hit, is not asked.
	Cost Cost
}

// allows reports whether a provider may still be asked.
func (b Budget) allows(t Terms, spent Cost, took time.Duration) bool {
	return (b.Time == 0 || took < b.Time) && (b.Cost == 0 || spent+t.PerCall+t.PerHit <= b.Cost)
}

// costs is what an answer cost; fetching what was ordered costs no call. A call
// whose answer was lost counts as a hit, one that the vendor refused as none.
func (t Terms) costs(a Answer, fetched bool) Cost {
	if a.NotAsked {
		return 0
	}
	var cost Cost
	switch {
	case a.Outcome == Hit || a.Lost:
		cost = t.PerCall + t.PerHit
	case a.Outcome == Miss, a.Outcome == Ineligible, a.Outcome == Pending, a.Outcome == Blocked:
		cost = t.PerCall
	}
	if fetched {
		cost -= min(cost, t.PerCall)
	}
	return cost
}

type timeoutKey struct{}

// withTimeout returns a context that says how long one call may take. It is not
// the context's deadline, which would run while a call waits for its turn.
func withTimeout(ctx context.Context, d time.Duration) context.Context {
	if d <= 0 {
		return ctx
	}
	return context.WithValue(ctx, timeoutKey{}, d)
}

// timeoutIn returns how long one call may take; standard where ctx says nothing.
func timeoutIn(ctx context.Context, standard time.Duration) time.Duration {
	if d, ok := ctx.Value(timeoutKey{}).(time.Duration); ok {
		return d
	}
	return standard
}
