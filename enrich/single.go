package enrich

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/logging"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

// Request is a single lookup.
type Request struct {
	ID    string // of the lookup, the same when it is repeated
	Org   string
	Key   string // id of the API key that asks
	Query lookup.Query
	Price lookup.Credits
	// KeyCap is the most that the key may be charged in a month; 0: no cap.
	KeyCap lookup.Credits
}

// Lookup answers a single lookup at once. Repeating it with the same ID returns
// the first answer. Errors: [*ledger.InsufficientError]; [ErrUnavailable] if no
// provider could answer, after which the ID is spent.
func (e *Engine) Lookup(ctx context.Context, r Request) (lookup.Row, error) {
	e = e.reading(r.Org)
	ctx = logging.With(ctx, slog.String(logging.Hold, store.LookupHold(r.ID)))
	db := e.db.As(r.Org)
	if row, err := db.GetLookup(ctx, r.ID); !errors.Is(err, store.ErrNotFound) {
		if err == nil {
			e.settleLookup(ctx, r)
		}
		return row, err
	}
	var row lookup.Row
	j := job{
		hold: store.LookupHold(r.ID), asker: r.ID, org: r.Org, service: r.Query.Service, price: r.Price,
		scopes: []ledger.Scope{{Name: store.KeyScope(r.Key, e.now()), Limit: int64(r.KeyCap)}},
		rows:   []asked{{query: r.Query}},
	}
	j.write = func(ctx context.Context, tx *store.Tx, answers []store.RowAnswer) error {
		if len(answers) == 0 {
			return nil
		}
		a := answers[0]
		row = lookup.Row{Outcome: &a.Outcome, Result: a.Result, Provider: lookup.OptionalText(a.Provider), Credits: a.Credits, Reused: a.Reused, Error: a.Error}
		return store.PutLookup(ctx, tx, r.ID, r.Org, r.Query.Service, row, e.now())
	}
	j.patience = e.cfg.LookupPatience
	report, err := e.run(providers.Interactive(ctx), j, func() bool { return ctx.Err() == nil })
	switch {
	case err != nil:
		return lookup.Row{}, err
	case report.refused != nil && report.stored == 0:
		return lookup.Row{}, report.refused
	case report.closed:
		row, err := db.GetLookup(ctx, r.ID)
		if errors.Is(err, store.ErrNotFound) {
			err = ErrUnavailable // it was voided
		}
		return row, err
	case report.left > 0:
		return lookup.Row{}, ErrUnavailable
	}
	return row, nil
}

// reading is the engine for one organization's question: what may be reused it
// reads as that organization. It commits as it does for batches.
func (e *Engine) reading(org string) *Engine {
	its := *e
	its.db = reusing{e.db, e.db.As(org)}
	return &its
}

// reusing recalls only what is one organization's.
type reusing struct {
	database
	tenant *store.Tenant
}

// Recall recalls what the tenant may see, whose organization it is.
func (r reusing) Recall(ctx context.Context, _ string, questions []lookup.Question, since store.Since) (store.Known, error) {
	return r.tenant.Recall(ctx, questions, since)
}

// settleLookup repeats the last step of a lookup whose answer was lost. The row
// is paid for and is given whether that succeeds or not.
func (e *Engine) settleLookup(ctx context.Context, r Request) {
	hold := store.LookupHold(r.ID)
	standing, err := books.Find(ctx, e.db, hold)
	if err == nil {
		err = e.books.Settle(ctx, r.Org, hold, standing)
	}
	if err != nil {
		e.log.WarnContext(ctx, "a hold is settled later by the sweeper", "err", err)
	}
}

// pause waits for d, or less if ctx ends first.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
