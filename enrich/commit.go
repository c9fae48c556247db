package enrich

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// commitTime bounds a commit, which must not be given up because a worker stops.
const commitTime = 30 * time.Second

// commit stores the answers and their charge in one transaction and settles the
// hold. It returns how many rows were stored. closed means that another closing
// stood already and nothing was stored.
func (e *Engine) commit(ctx context.Context, j job, held ledger.Hold, answers []answer) (stored int, closed bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	const tries = 10 // each needs another load of the account in between
	for range tries {
		standing, first, err := e.tryCommit(ctx, j, held, answers)
		switch {
		case errors.Is(err, books.ErrFenced):
			e.metrics.fenced.Inc()
			held, answers, err = e.holdAgain(ctx, j, answers)
			if errors.Is(err, ledger.ErrClosed) {
				return 0, true, nil
			}
			if err != nil {
				return 0, false, err
			}
			continue
		case errors.Is(err, store.ErrUnknownOutcome):
			// Whichever closing stands after this is obeyed, ours or a void.
			standing, err := e.books.CloseVoid(ctx, j.org, j.hold, nil)
			if err != nil {
				return 0, false, err
			}
			if standing.Kind == books.Charge {
				e.metrics.stored(j.service, answers, standing.Charged)
				return len(answers), false, nil
			}
			return 0, true, nil
		case err != nil:
			return 0, false, err
		}
		if err := e.books.Settle(ctx, j.org, j.hold, standing); err != nil {
			e.log.WarnContext(ctx, "a hold is settled later by the sweeper", "hold", j.hold, "err", err)
		}
		if !first {
			return 0, true, nil
		}
		e.metrics.stored(j.service, answers, standing.Charged)
		return len(answers), false, nil
	}
	return 0, false, fmt.Errorf("enrich: commit %s: the account was loaded again %d times", j.hold, tries)
}

// tryCommit is one attempt at the transaction. first is false if a closing
// stood already; then nothing was written.
func (e *Engine) tryCommit(ctx context.Context, j job, held ledger.Hold, answers []answer) (standing books.Standing, first bool, err error) {
	now := e.now()
	closing := books.Closing{
		Hold: j.hold, Org: j.org, Kind: books.Charge, Service: j.service,
		Generation: held.Generation, Price: j.price, Scopes: j.scopes,
	}
	err = e.db.Write(ctx, func(tx *store.Tx) error {
		if standing, first, err = books.Open(ctx, tx, closing, now); err != nil || !first {
			return err
		}
		fresh, err := store.PutAnswers(ctx, tx, j.org, chargeable(answers), now.Add(-e.cfg.ReuseWindow), now)
		if err != nil {
			return err
		}
		rows := make([]store.RowAnswer, len(answers))
		closing.Units, closing.Rows = 0, nil
		for i, a := range answers {
			switch {
			case a.units() == 0:
			case fresh[a.question]:
				// The question is charged with its first row.
				delete(fresh, a.question)
				a.Credits = lookup.Credits(a.units()) * j.price
				closing.Units += a.units()
				closing.Rows = setBit(closing.Rows, a.Row)
			default:
				a.Reused = true // another worker asked the same and was first
			}
			rows[i] = a.RowAnswer
		}
		standing.Charged = closing.Charged()
		if err := j.write(ctx, tx, rows, closing.Charged()); err != nil {
			return err
		}
		return books.Post(ctx, tx, closing, now)
	})
	return standing, first, err
}

// chargeable are the answers that may be charged, as they are kept for reuse.
func chargeable(answers []answer) []store.Answer {
	var kept []store.Answer
	for _, a := range answers {
		if a.units() > 0 {
			kept = append(kept, store.Answer{Question: a.question, Result: a.Result, Provider: a.Provider})
		}
	}
	return kept
}

func setBit(bits []byte, i int64) []byte {
	for int64(len(bits)) <= i/8 {
		bits = append(bits, 0)
	}
	bits[i/8] |= 1 << (i % 8)
	return bits
}

// holdAgain holds credits for answers whose hold was fenced off, and drops the
// answers that the new hold cannot pay: they stay open.
func (e *Engine) holdAgain(ctx context.Context, j job, answers []answer) (ledger.Hold, []answer, error) {
	if err := e.books.Ensure(ctx, j.org); err != nil {
		return ledger.Hold{}, nil, err
	}
	var want int64
	for _, a := range answers {
		want += a.units()
	}
	held, err := e.books.Hold(ctx, ledger.HoldRequest{
		Org: j.org, ID: j.hold, Want: max(want, 1), Least: 1,
		Price: int64(j.price), Scopes: ledgerScopes(j.scopes), Life: e.cfg.HoldLife,
	})
	if _, refused := errors.AsType[*ledger.InsufficientError](err); refused {
		held, err = ledger.Hold{}, nil
	}
	if err != nil {
		return ledger.Hold{}, nil, err
	}
	var kept []answer
	left := held.Units
	for _, a := range answers {
		if left -= a.units(); left >= 0 || a.units() == 0 {
			kept = append(kept, a)
		}
	}
	return held, kept, nil
}
