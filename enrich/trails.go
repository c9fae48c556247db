package enrich

import (
	"context"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

// trailLife is for how long it is remembered what was said to an open question,
// and a vendor is asked for an answer that was ordered.
const trailLife = 24 * time.Hour

// trailOf is what was said in earlier rounds and lookups.
func trailOf(kept []store.Trace) providers.Trail {
	if len(kept) == 0 {
		return nil
	}
	trail := make(providers.Trail, len(kept))
	for _, t := range kept {
		trail[t.Provider] = providers.Trace{
			Ticket: t.Ticket, Missed: t.Missed, Lost: t.Lost, At: t.At, Spent: providers.Cost(t.Spent), Took: t.Took,
		}
	}
	return trail
}

// followed is a question of which something is or was remembered.
type followed struct {
	question lookup.Question
	trail    providers.Trail // from now on
	answered bool
}

// follow returns the questions whose trails this round began, went on with or
// saw end.
func follow(rows []asked, verdicts []*providers.Verdict) (all []followed) {
	for i, v := range verdicts {
		if v != nil && len(rows[i].trail)+len(v.Trail) > 0 {
			all = append(all, followed{question: rows[i].question, trail: v.Trail, answered: v.Later == 0})
		}
	}
	return all
}

// keepTrails stores what was said in the transaction that closes the hold. The
// trail of an answer that is not stored (the account could not pay) stays: a
// vendor that works on jobs can be asked for it again.
func keepTrails(ctx context.Context, tx *store.Tx, j job, answers []answer, now time.Time) error {
	if len(j.trails) == 0 {
		return nil
	}
	stored := make(map[lookup.Question]bool, len(answers))
	for _, a := range answers {
		stored[a.question] = true
	}
	change := map[lookup.Question][]store.Trace{}
	for _, f := range j.trails {
		if f.answered && !stored[f.question] {
			continue
		}
		kept := change[f.question]
		for provider, t := range f.trail {
			if t.At.IsZero() {
				t.At = now
			}
			kept = append(kept, store.Trace{
				Question: f.question, Provider: provider, Ticket: t.Ticket, Missed: t.Missed, Lost: t.Lost,
				Spent: int64(t.Spent), Took: t.Took, At: t.At,
			})
		}
		change[f.question] = kept
	}
	return store.ReplaceTrails(ctx, tx, j.org, change)
}
