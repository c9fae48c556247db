package enrich

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/ledger"
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
	batch, err := store.BatchByID(ctx, e.db, round.Batch)
	if err == nil && (batch.Status == store.Paused || batch.Status.Ended()) {
		return Ending{Idle: true}, nil
	}
	var chunk store.Chunk
	if err == nil {
		chunk, err = store.GetChunk(ctx, e.db, round.Batch, round.Chunk)
	}
	if errors.Is(err, store.ErrNotFound) {
		return Ending{Idle: true}, nil // the batch was deleted
	}
	if err != nil {
		return Ending{}, err
	}
	if chunk.Round != round.Round || chunk.Open == 0 {
		e.metrics.rounds.WithLabelValues(roundStale).Inc()
		return e.settled(ctx, round, batch, chunk.Round, chunk.Open)
	}
	return e.runOpen(ctx, round, batch, chunk)
}

// settled makes sure that a round which is over in SQL is settled in the gate,
// and says where its chunk is: SQL has it in round now, with so many open rows.
func (e *Engine) settled(ctx context.Context, round store.Round, batch store.Batch, now, open int64) (Ending, error) {
	standing, err := books.Find(ctx, e.db, round.String())
	switch {
	case err == nil:
		err = e.books.Settle(ctx, batch.Org, round.String(), standing)
	case errors.Is(err, store.ErrNotFound) && now == round.Round && open > 0:
		// The gate remembers a closing that SQL has lost: nothing can be held
		// under this name any more.
		_, err = e.books.CloseVoid(ctx, batch.Org, round.String(), nil)
		now++
	case errors.Is(err, store.ErrNotFound):
		err = nil
	}
	if err != nil {
		return Ending{}, err
	}
	if open == 0 {
		return Ending{}, nil
	}
	round.Round = now
	return Ending{Next: &round}, nil
}

func (e *Engine) runOpen(ctx context.Context, round store.Round, batch store.Batch, chunk store.Chunk) (Ending, error) {
	if batch.Status == store.Accepted {
		err := e.db.Write(ctx, func(tx *store.Tx) error { return store.StartBatch(ctx, tx, batch.ID, e.now()) })
		if err != nil {
			return Ending{}, err
		}
	}
	proceed, stop := e.watch(ctx, batch.ID)
	defer stop()
	j := e.chunkJob(batch, chunk, round)
	begun := e.now()
	r, err := e.run(ctx, j, proceed)
	if err != nil {
		return Ending{}, err
	}
	e.metrics.rounds.WithLabelValues(r.ending()).Inc()
	e.log.InfoContext(ctx, "round ended", "org", batch.Org, "service", batch.Service, "ending", r.ending(),
		"stored", r.stored, "left", r.left, "duration", e.now().Sub(begun))
	switch {
	case r.closed:
		state, err := store.GetChunkState(ctx, e.db, round.Batch, round.Chunk)
		if err != nil {
			return Ending{}, err
		}
		return e.settled(ctx, round, batch, state.Round, state.Open)
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
		hold: round.String(), asker: batch.ID + ":" + strconv.FormatInt(round.Chunk, 10), org: batch.Org, service: batch.Service, price: batch.Price,
		scopes:  e.scopes(batch),
		overdue: !chunk.AskedAt.IsZero() && e.now().Sub(chunk.AskedAt) > e.cfg.RowDeadline,
	}
	for i, input := range chunk.Input {
		if chunk.Answers[i].Outcome == "" && input.Askable() {
			j.rows = append(j.rows, asked{row: int64(i), query: lookup.Query{
				Service: batch.Service, Fields: input.Fields, Options: batch.Options,
			}})
		}
	}
	w := &roundWriter{batch: batch, chunk: chunk, round: round, now: e.now}
	j.batch, j.write, j.count = batch.ID, w.write, w.count
	return j
}

// roundWriter stores what a round found out.
type roundWriter struct {
	batch   store.Batch
	chunk   store.Chunk
	round   store.Round
	now     func() time.Time
	repeats map[int64]int64 // of the batch's rows: how many later ones repeat them
	closed  int64           // chunks that this round closes: 1 or 0
}

// write stores the answers and moves the chunk on.
func (w *roundWriter) write(ctx context.Context, tx *store.Tx, answers []store.RowAnswer) error {
	if err := store.PutResults(ctx, tx, w.round, answers); err != nil {
		return err
	}
	if w.batch.Rows.Duplicate > 0 {
		if err := w.answerRepeats(ctx, tx, answers); err != nil {
			return err
		}
	}
	open, err := store.AdvanceRound(ctx, tx, w.round, int64(len(answers)), w.now())
	w.closed = 0
	if open == 0 {
		w.closed = 1
	}
	return err
}

// answerRepeats gives rows that repeat an answered one its answer.
func (w *roundWriter) answerRepeats(ctx context.Context, tx *store.Tx, answers []store.RowAnswer) (err error) {
	last := w.chunk.First + int64(len(w.chunk.Input)) - 1
	if w.repeats, err = store.CountDuplicates(ctx, tx, w.batch.ID, w.chunk.First, last); err != nil {
		return err
	}
	for _, a := range answers {
		row := w.chunk.First + a.Row
		if w.repeats[row] == 0 {
			continue
		}
		if err := store.AnswerDuplicates(ctx, tx, w.batch.ID, row, a); err != nil {
			return err
		}
	}
	return nil
}

// count counts the answers, and those of the rows that repeat them.
func (w *roundWriter) count(ctx context.Context, tx *store.Tx, answers []store.RowAnswer, charged lookup.Credits) error {
	var counts store.RowCounts
	for _, a := range answers {
		counts.Add(a, 1+w.repeats[w.chunk.First+a.Row])
	}
	return store.CountRows(ctx, tx, w.batch.ID, counts, charged, w.closed, w.now())
}

// refused decides what a batch without credits does: it waits while credits are
// held that may come back, and pauses when none are. A cap is as good as the
// balance; a batch that has held its share of that only waits.
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
	paused, err := e.pauseIfEmpty(ctx, batch, r.refused)
	if err != nil {
		return Ending{}, err
	}
	if paused {
		e.log.InfoContext(ctx, "batch paused", "org", batch.Org, "lack", r.refused.Reason)
		return Ending{Idle: true}, nil
	}
	round.Round++
	return Ending{Next: &round, After: jitter(200 * time.Millisecond), BatchWaits: true}, nil
}

// pauseIfEmpty pauses a batch for which nothing is left, not even what is held.
func (e *Engine) pauseIfEmpty(ctx context.Context, batch store.Batch, refused *ledger.InsufficientError) (paused bool, err error) {
	switch {
	case refused.Reason == ledger.AtLimit:
		return e.db.PauseAtCap(ctx, batch.ID, e.now())
	case refused.Reason == ledger.NoCredits && refused.Held == 0:
		return e.db.PauseForCredits(ctx, batch.ID, refused.Grant, e.now())
	}
	return false, nil
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
