package enrich

import (
	"context"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

// ticketLife is for how long a vendor is asked for an answer that was ordered.
const ticketLife = 24 * time.Hour

// ordered is a question that was, or is, a job of an asynchronous vendor's.
type ordered struct {
	question lookup.Question
	tickets  providers.Tickets // under way from now on
	answered bool
}

// withTickets gives the rows the tickets of earlier rounds and lookups, if the
// service has a vendor who hands out any.
func (e *Engine) withTickets(ctx context.Context, j job, rows []asked) error {
	w, ok := e.waterfalls.For(j.service)
	if !ok || !w.Asynchronous || len(rows) == 0 {
		return nil
	}
	questions := make([]lookup.Question, len(rows))
	for i, row := range rows {
		questions[i] = row.question
	}
	kept, err := e.db.FindTickets(ctx, j.org, questions, e.now().Add(-ticketLife))
	if err != nil {
		return err
	}
	for i := range rows {
		for _, t := range kept[rows[i].question] {
			if rows[i].tickets == nil {
				rows[i].tickets = providers.Tickets{}
			}
			rows[i].tickets[t.Provider] = providers.Ticket{ID: t.ID, At: t.At}
		}
	}
	return nil
}

// orders are the jobs that a round began, waits for or saw end.
func orders(rows []asked, verdicts []*providers.Verdict) (all []ordered) {
	for i, v := range verdicts {
		if v != nil && len(rows[i].tickets)+len(v.Tickets) > 0 {
			all = append(all, ordered{question: rows[i].question, tickets: v.Tickets, answered: v.Later == 0})
		}
	}
	return all
}

// keepTickets stores what is under way in the transaction that closes the hold.
// The ticket of an answer that is not stored (the account could not pay) stays:
// the vendor can be asked for it again.
func keepTickets(ctx context.Context, tx *store.Tx, j job, answers []answer) error {
	if len(j.orders) == 0 {
		return nil
	}
	stored := make(map[lookup.Question]bool, len(answers))
	for _, a := range answers {
		stored[a.question] = true
	}
	change := map[lookup.Question][]store.Ticket{}
	for _, o := range j.orders {
		if o.answered && !stored[o.question] {
			continue
		}
		kept := change[o.question]
		for provider, t := range o.tickets {
			kept = append(kept, store.Ticket{Question: o.question, Provider: provider, ID: t.ID, At: t.At})
		}
		change[o.question] = kept
	}
	return store.ReplaceTickets(ctx, tx, j.org, change)
}
