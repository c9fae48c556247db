package enrich

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// Ending says what a round leaves to do.
type Ending struct {
	// Next is the round in which the chunk goes on; nil if it is closed or its
	// batch may not run now.
	Next *store.Round
	// After is how long to wait before Next.
	After time.Duration
	// BatchWaits is set if the whole batch should wait that long, not only this
	// chunk: there are no credits for any of its rows.
	BatchWaits bool
	// Idle is set if the batch is paused or has ended.
	Idle bool
}

// RunRound asks the open rows of a chunk in the given round. Repeating it, also
// at the same time, changes nothing: a round that is over leads to whatever
// round the chunk is in. When ctx ends, no more rows are asked, those under way
// are finished and stored, and the rest goes into the next round.
func (e *Engine) RunRound(ctx context.Context, round store.Round) (Ending, error) {
	state, err := store.GetChunkState(ctx, e.db, round.Batch, round.Chunk)
	if errors.Is(err, store.ErrNotFound) {
		return Ending{Idle: true}, nil // the batch was deleted
	}
	if err != nil {
		return Ending{}, err
	}
	if state.Status == store.Paused || state.Status.Ended() {
		return Ending{Idle: true}, nil
	}
	if state.Round != round.Round || state.Open == 0 {
		e.metrics.rounds.WithLabelValues(roundStale).Inc()
		return e.settled(ctx, round, state)
	}
	return e.runOpen(ctx, round)
}

// settled makes sure that a round which is over in SQL is settled in the gate,
// and says where its chunk is.
func (e *Engine) settled(ctx context.Context, round store.Round, state store.ChunkState) (Ending, error) {
	batch, err := store.BatchByID(ctx, e.db, round.Batch)
	if err != nil {
		return Ending{}, err
	}
	standing, err := books.Find(ctx, e.db, round.String())
	switch {
	case err == nil:
		err = e.books.Settle(ctx, batch.Org, round.String(), standing)
	case errors.Is(err, store.ErrNotFound) && state.Round == round.Round && state.Open > 0:
		// The gate remembers a closing that SQL has lost: nothing can be held
		// under this name any more.
		_, err = e.books.CloseVoid(ctx, batch.Org, round.String(), nil)
		state.Round++
	case errors.Is(err, store.ErrNotFound):
		err = nil
	}
	if err != nil {
		return Ending{}, err
	}
	if state.Open == 0 {
		return Ending{}, nil
	}
	round.Round = state.Round
	return Ending{Next: &round}, nil
}

func (e *Engine) runOpen(ctx context.Context, round store.Round) (Ending, error) {
	batch, err := store.BatchByID(ctx, e.db, round.Batch)
	if err != nil {
		return Ending{}, err
	}
	chunk, err := store.GetChunk(ctx, e.db, round.Batch, round.Chunk)
	if err != nil {
		return Ending{}, err
	}
	if batch.Status == store.Accepted {
		err := e.db.Write(ctx, func(tx *store.Tx) error { return store.StartBatch(ctx, tx, batch.ID, e.now()) })
		if err != nil {
			return Ending{}, err
		}
	}
	proceed, stop := e.watch(ctx, batch.ID)
	defer stop()
	j := e.chunkJob(batch, chunk, round)
	r, err := e.run(ctx, j, proceed)
	if err != nil {
		return Ending{}, err
	}
	e.metrics.rounds.WithLabelValues(r.ending()).Inc()
	switch {
	case r.closed:
		state, err := store.GetChunkState(ctx, e.db, round.Batch, round.Chunk)
		if err != nil {
			return Ending{}, err
		}
		return e.settled(ctx, round, state)
	case r.refused != nil:
		return e.refused(ctx, batch, round, r)
	case r.left == 0:
		return Ending{}, nil
	}
	round.Round++
	return Ending{Next: &round, After: jitter(r.later)}, nil
}

// chunkJob is the open rows of a chunk as a job.
func (e *Engine) chunkJob(batch store.Batch, chunk store.Chunk, round store.Round) job {
	j := job{
		hold: round.String(), org: batch.Org, service: batch.Service, price: batch.Price,
		scopes:  []string{batch.Scope(), keyScope(batch.Key, e.now())},
		overdue: !chunk.AskedAt.IsZero() && e.now().Sub(chunk.AskedAt) > e.cfg.RowDeadline,
	}
	for i, input := range chunk.Input {
		if _, answered := chunk.Answers[int64(i)]; !answered && input.Askable() {
			j.rows = append(j.rows, asked{row: int64(i), query: lookup.Query{
				Service: batch.Service, Fields: input.Fields, Options: batch.Options,
			}})
		}
	}
	j.write = func(ctx context.Context, tx *store.Tx, answers []store.RowAnswer, charged lookup.Credits) error {
		return e.writeRound(ctx, tx, chunk, round, answers, charged)
	}
	return j
}

// writeRound stores a round's answers, moves the chunk on and counts.
func (e *Engine) writeRound(ctx context.Context, tx *store.Tx, chunk store.Chunk, round store.Round, answers []store.RowAnswer, charged lookup.Credits) error {
	now := e.now()
	if err := store.PutResults(ctx, tx, round, answers); err != nil {
		return err
	}
	repeats, err := store.CountDuplicates(ctx, tx, round.Batch, chunk.First, chunk.First+int64(len(chunk.Input))-1)
	if err != nil {
		return err
	}
	var counts store.RowCounts
	for _, a := range answers {
		row := chunk.First + a.Row
		counts.Add(a, 1+repeats[row])
		if repeats[row] > 0 {
			if err := store.AnswerDuplicates(ctx, tx, round.Batch, row, a); err != nil {
				return err
			}
		}
	}
	open, err := store.AdvanceRound(ctx, tx, round, int64(len(answers)), now)
	if err != nil {
		return err
	}
	closed := int64(0)
	if open == 0 {
		closed = 1
	}
	return store.CountRows(ctx, tx, round.Batch, counts, charged, closed, now)
}

// refused decides what a batch without credits does: it waits while credits are
// held that may come back, and pauses when none are.
func (e *Engine) refused(ctx context.Context, batch store.Batch, round store.Round, r report) (Ending, error) {
	if r.left == 0 {
		return Ending{}, nil
	}
	if r.stored == 0 {
		// Nothing closed the round yet. Deferring closes it, so that the next
		// run has an identity of its own in queue and gate.
		if _, err := e.books.CloseVoid(ctx, batch.Org, round.String(), nil); err != nil {
			return Ending{}, err
		}
	}
	if r.refused.Held == 0 && r.refused.Available < int64(batch.Price) {
		paused, err := e.db.PauseForCredits(ctx, batch.ID, r.refused.Grant, e.now())
		if err != nil {
			return Ending{}, err
		}
		if paused {
			e.log.InfoContext(ctx, "batch paused: out of credits", "batch", batch.ID, "org", batch.Org)
			return Ending{Idle: true}, nil
		}
	}
	round.Round++
	return Ending{Next: &round, After: jitter(200 * time.Millisecond), BatchWaits: true}, nil
}

// jitter spreads what was deferred together over up to twice the time.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + rand.N(d)
}

// flagInterval is how old a worker's knowledge of a batch's status may be.
const flagInterval = 500 * time.Millisecond

// watch reports, until stop is called, whether more rows of the batch may be
// asked: not once ctx has ended, the batch was paused or cancelled, or the
// round has used its time.
func (e *Engine) watch(ctx context.Context, batch string) (proceed func() bool, stop func()) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.RoundTime)
	var halted atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(flagInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				status, err := store.BatchStatus(ctx, e.db, batch)
				// Without the flag nothing new is started.
				halted.Store(err != nil || status != store.Running)
			}
		}
	}()
	return func() bool { return ctx.Err() == nil && !halted.Load() }, func() { cancel(); <-done }
}
