package enrich

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// commitTime bounds a commit, which must not be given up because a worker stops.
const commitTime = 30 * time.Second

// commitAgain is how long a commit waits that met a deadlock or an outage.
const commitAgain = 200 * time.Millisecond

// commit stores the answers and their charge in one transaction and settles the
// hold. It returns how many rows were stored. closed means that whatever closing
// stands may not be this run's: SQL knows what was stored.
func (e *Engine) commit(ctx context.Context, j job, held ledger.Hold, answers []answer) (stored int, closed bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	const tries = 10 // each needs another load of the account in between
	for fenced := 0; fenced < tries; {
		standing, first, err := e.tryCommit(ctx, j, held, answers)
		switch {
		case err == nil:
			e.settle(ctx, j, held, standing)
			if !first {
				return 0, true, nil
			}
			e.metrics.stored(j.service, answers, standing.Charged)
			return len(answers), false, nil
		case errors.Is(err, books.ErrFenced), errors.Is(err, books.ErrOverdrawn):
			fenced++
			e.metrics.fenced.Inc()
			held, answers, err = e.holdPatiently(ctx, j, held.Opened, answers, errors.Is(err, books.ErrOverdrawn))
			if errors.Is(err, ledger.ErrClosed) {
				return 0, true, nil
			}
			if err != nil {
				return 0, false, err
			}
		case errors.Is(err, store.ErrUnknownOutcome):
			// Whichever closing stands after this is obeyed: ours, another
			// run's, or a void.
			if _, voidErr := e.books.CloseVoid(ctx, j.org, j.hold, nil); voidErr != nil {
				return 0, false, errors.Join(err, voidErr)
			}
			return 0, true, nil
		case e.db.Retry(err) && ctx.Err() == nil:
			// The answers may have cost something: they are not thrown away.
			pause(ctx, commitAgain)
		default:
			return 0, false, err
		}
	}
	return 0, false, fmt.Errorf("enrich: commit %s: the account was loaded again %d times", j.hold, tries)
}

// settle tells the gate of a closing. If that fails the sweeper will.
func (e *Engine) settle(ctx context.Context, j job, held ledger.Hold, standing books.Standing) {
	if err := e.books.Settle(ctx, j.org, j.hold, standing); err != nil {
		e.log.WarnContext(ctx, "a hold is settled later by the sweeper", "err", err)
		return
	}
	if held.Units > 0 {
		e.metrics.settled.Inc()
	}
}

// tryCommit is one attempt at the transaction. first is false if a closing
// stood already; then nothing was written.
func (e *Engine) tryCommit(ctx context.Context, j job, held ledger.Hold, answers []answer) (standing books.Standing, first bool, err error) {
	now := e.now()
	closing := books.Closing{
		Hold: j.hold, Org: j.org, Kind: books.Charge, Service: j.service,
		Generation: held.Generation, Price: j.price, Scopes: held.Scopes, Slices: held.Slices,
	}
	if held.Units > 0 {
		closing.Price = lookup.Credits(held.Price) // of the first call, if this is a repeat
	}
	var stored []store.RowAnswer
	rows := func(ctx context.Context, tx *store.Tx) error {
		var err error
		if standing, first, err = books.Open(ctx, tx, closing, now); err != nil || !first {
			return err
		}
		fresh, err := store.PutAnswers(ctx, tx, j.org, chargeable(answers), now.Add(-e.cfg.ReuseWindow), now)
		if err != nil {
			return err
		}
		stored = charge(&closing, answers, fresh)
		if err := keepTrails(ctx, tx, j, answers, now); err != nil {
			return err
		}
		standing.Charged = closing.Charged()
		return j.write(ctx, tx, stored)
	}
	counts := func(ctx context.Context, tx *store.Tx) error {
		if !first || j.count == nil {
			return nil
		}
		return j.count(ctx, tx, stored, closing.Charged())
	}
	last := func(ctx context.Context, tx *store.Tx) error {
		if first {
			return books.Post(ctx, tx, closing, now)
		}
		// The run that was first may share this transaction: when our rows ran it
		// had not posted its charge yet, now it has.
		var err error
		standing, err = books.Find(ctx, tx, j.hold)
		return err
	}
	err = e.db.WriteGrouped(ctx, store.Write{Org: j.org, Batch: j.batch, Rows: rows, Counts: counts, Last: last})
	return standing, first, err
}

// charge charges the answers to fresh questions and counts them in the closing.
// The answer to any other was paid for before: another worker asked the same and
// was first.
func charge(closing *books.Closing, answers []answer, fresh map[lookup.Question]bool) []store.RowAnswer {
	closing.Units, closing.Rows = 0, nil
	rows := make([]store.RowAnswer, len(answers))
	for i, a := range answers {
		switch {
		case a.units() == 0:
		case fresh[a.question]:
			delete(fresh, a.question) // charged with its first row
			a.Credits = lookup.Credits(a.units()) * closing.Price
			closing.Units += a.units()
			closing.Rows = setBit(closing.Rows, a.Row)
		default:
			a.Reused = true
		}
		rows[i] = a.RowAnswer
	}
	return rows
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

// wholeBalance is a share that limits nothing.
const wholeBalance = 1000

// holdPatiently is holdAgain while Redis or SQL is away for a moment, which is
// when holds are fenced off: the answers may have cost something.
func (e *Engine) holdPatiently(ctx context.Context, j job, opened time.Time, answers []answer, load bool) (held ledger.Hold, kept []answer, err error) {
	for {
		held, kept, err = e.holdAgain(ctx, j, opened, answers, load)
		if !e.db.Retry(err) || ctx.Err() != nil {
			return held, kept, err
		}
		pause(ctx, commitAgain)
	}
}

// holdAgain holds credits for answers whose hold was fenced off, and drops the
// answers that the new hold cannot pay: they stay open. load says that the gate
// is wrong although it has SQL's generation. What was asked is paid for upstream:
// a share of the balance does not limit it any more.
func (e *Engine) holdAgain(ctx context.Context, j job, opened time.Time, answers []answer, load bool) (ledger.Hold, []answer, error) {
	refresh := e.books.Ensure
	if load {
		refresh = e.books.Load
	}
	if err := refresh(ctx, j.org); err != nil {
		return ledger.Hold{}, nil, err
	}
	var want int64
	for _, a := range answers {
		want += a.units()
	}
	scopes := slices.Clone(j.scopes)
	for i := range scopes {
		if scopes[i].Share > 0 {
			scopes[i].Share = wholeBalance
		}
	}
	held, err := e.books.Hold(ctx, ledger.HoldRequest{
		Org: j.org, ID: j.hold, Want: max(want, 1), Least: 1,
		Price: int64(j.price), Scopes: scopes, Life: e.cfg.HoldLife, Opened: opened,
	})
	if _, refused := errors.AsType[*ledger.InsufficientError](err); refused {
		held, err = ledger.Hold{Opened: opened}, nil
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
