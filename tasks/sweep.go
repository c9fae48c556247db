package tasks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

const (
	workersKey = "magpie:workers" // zset: worker → last beat
	runningKey = "magpie:running" // hash: round → the worker that runs it
	// queueNames is where Asynq lists its queues, for inspection only. It is
	// written once by each process and missing after Redis has lost its data.
	queueNames = "asynq:queues"

	// lostAfter is how long a round may be in flight before it is enqueued
	// again, in case its message was lost; one that is there is left alone.
	lostAfter = 5 * time.Second
	// stuckAfter is when a round that is still in flight is voided: its task
	// may sit in Asynq's archive, where its id is taken for ever.
	stuckAfter = 2 * chunkTimeout
	// rescueTime bounds the rescue of one round: its row may be locked.
	rescueTime = 15 * time.Second
	// abandonedAfter is when an upload that was never accepted is deleted.
	abandonedAfter = time.Hour
)

// sweepLoop looks for lost work until ctx ends.
func (r *Runner) sweepLoop(ctx context.Context) {
	var seldom time.Time
	for {
		err := r.sweep(ctx)
		// Also after an error: one organization's trouble holds up nobody's credits.
		if now := r.now(); now.Sub(seldom) > 5*r.cfg.Sweep {
			seldom = now
			err = errors.Join(err, r.sweepSeldom(ctx))
		}
		if err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "sweep", "err", err)
		}
		// Jitter keeps the sweepers of a fleet apart.
		timer := time.NewTimer(r.cfg.Sweep/2 + rand.N(r.cfg.Sweep))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// sweep is one look at everything that may be waiting for nobody. Any number of
// workers may sweep at the same time.
func (r *Runner) sweep(ctx context.Context) error {
	return errors.Join(r.takeOver(ctx), r.sweepWindows(ctx), r.sweepPaused(ctx))
}

// sweepSeldom is upkeep that need not be prompt.
func (r *Runner) sweepSeldom(ctx context.Context) error {
	names := make([]any, len(Queues))
	for i, q := range Queues {
		names[i] = q
	}
	maps.DeleteFunc(r.orphans, func(_ string, since time.Time) bool { return r.now().Sub(since) > stuckAfter })
	mended, err := r.books.Sweep(ctx)
	r.cfg.Metrics.repaired(repairGate, mended)
	return errors.Join(err,
		r.rdb.SAdd(ctx, queueNames, names...).Err(),
		r.db.DropAbandonedIntakes(ctx, "", r.now().Add(-abandonedAfter)))
}

// takeOver gives the chunks of silent workers to others.
func (r *Runner) takeOver(ctx context.Context) error {
	silent := r.pulse.silent()
	if len(silent) == 0 {
		return nil
	}
	running, err := r.rdb.HGetAll(ctx, runningKey).Result()
	if err != nil {
		return fmt.Errorf("tasks: take over: %w", err)
	}
	var errs []error // one that cannot be rescued yet does not hold up the others
	for _, worker := range silent {
		errs = append(errs, r.takeOverFrom(ctx, worker, running))
	}
	return errors.Join(errs...)
}

func (r *Runner) takeOverFrom(ctx context.Context, silent string, running map[string]string) error {
	var errs []error
	for member, by := range running {
		if by == silent {
			errs = append(errs, r.rescue(ctx, member))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	removed, err := r.rdb.ZRem(ctx, workersKey, silent).Result()
	if err != nil {
		return fmt.Errorf("tasks: take over: %w", err)
	}
	if removed == 0 {
		return nil // it was taken over from before, by others or since our last beat
	}
	r.cfg.Metrics.repaired(repairWorker, 1)
	r.log.InfoContext(ctx, "took over from a silent worker", "silent", silent)
	return nil
}

// rescue voids a round that nobody runs any more and lets its chunk go on.
func (r *Runner) rescue(ctx context.Context, member string) error {
	ctx, cancel := context.WithTimeout(ctx, rescueTime)
	defer cancel()
	round, err := store.ParseRound(member)
	if err != nil {
		return errors.Join(err, r.rdb.HDel(ctx, runningKey, member).Err())
	}
	batch, err := store.BatchByID(ctx, r.db, round.Batch)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	default:
		if err := r.void(ctx, batch.Org, batch.Service, round); err != nil {
			return err
		}
	}
	return r.rdb.HDel(ctx, runningKey, member).Err()
}

// void closes a round with nothing stored, unless it was closed already, and
// hands its chunk out in the round it is then in.
func (r *Runner) void(ctx context.Context, org string, service lookup.Service, round store.Round) error {
	ctx = r.named(ctx, round)
	voided := false // by us; the transaction may be tried several times
	_, err := r.books.CloseVoid(ctx, org, round.String(), func(tx *store.Tx) error {
		voided = true
		return store.CountDeath(ctx, tx, round)
	})
	if err != nil {
		return err
	}
	if voided {
		r.cfg.Metrics.repaired(repairRound, 1)
		r.log.InfoContext(ctx, "round voided: its worker is gone", "org", org)
	}
	state, err := store.GetChunkState(ctx, r.db, round.Batch, round.Chunk)
	if err != nil {
		return err
	}
	ending := enrich.Ending{Idle: state.Status == store.Paused || state.Status.Ended()}
	if state.Open > 0 {
		next := round
		next.Round = state.Round
		ending.Next = &next
	}
	return r.finish(ctx, org, service, round, ending)
}

// sweepWindows restores the windows of all batches that run.
func (r *Runner) sweepWindows(ctx context.Context) error {
	batches, err := store.ActiveBatches(ctx, r.db)
	if err != nil {
		return err
	}
	byWindow := map[window][]store.Batch{}
	var order []window
	for _, b := range batches {
		w := r.window(b.Org, b.Service)
		if byWindow[w] == nil {
			order = append(order, w)
		}
		byWindow[w] = append(byWindow[w], b)
	}
	var errs []error
	for _, w := range order {
		errs = append(errs, r.sweepWindow(ctx, w, byWindow[w]))
	}
	return errors.Join(errs...)
}

func (r *Runner) sweepWindow(ctx context.Context, w window, batches []store.Batch) error {
	v, err := w.look(ctx)
	if err != nil {
		return err
	}
	for _, b := range batches {
		_, known := v.batches[b.ID]
		delete(v.batches, b.ID)
		if known && !v.exhausted(b.ID) {
			continue
		}
		// Unknown, or it has open chunks in SQL and nobody is waiting for them.
		if err := errors.Join(w.forget(ctx, b.ID), w.admit(ctx, r.db, b)); err != nil {
			return err
		}
		r.cfg.Metrics.repaired(repairWindow, 1)
	}
	for ended := range v.batches {
		// It may have been accepted since the list was read.
		status, err := store.BatchStatus(ctx, r.db, ended)
		if err == nil && (status == store.Accepted || status == store.Running) {
			continue
		}
		if err := w.forget(ctx, ended); err != nil {
			return err
		}
	}
	for member, since := range v.inflight {
		if err := r.checkInFlight(ctx, w, member, v.now.Sub(since)); err != nil {
			return err
		}
	}
	return r.fill(ctx, w)
}

// checkInFlight repeats the message of a round that may have lost it.
func (r *Runner) checkInFlight(ctx context.Context, w window, member string, age time.Duration) error {
	if age < lostAfter {
		return nil
	}
	round, err := store.ParseRound(member)
	if err != nil {
		return err
	}
	if age > stuckAfter && r.stuck(member) {
		return r.void(ctx, w.org, w.service, round)
	}
	states, noted, err := r.whereabouts(ctx, member)
	if err != nil {
		return err
	}
	if !noted && slices.Contains(states, asynq.TaskStateActive.String()) {
		return r.checkOrphan(ctx, w, round)
	}
	delete(r.orphans, member)
	// A task's id is unique in its own queue only: a first chunk that is still
	// on the express queue would run a second time beside itself.
	if express := states[0]; express != "" && express != asynq.TaskStateArchived.String() {
		return nil
	}
	return r.enqueue(ctx, w, Bulk, []store.Round{round})
}

// whereabouts returns the states of a round's tasks in the express and the bulk
// queue, "" for none, and whether a worker has noted that it runs the round.
// (Asked without the inspector, which knows no queue after Redis lost its data.)
func (r *Runner) whereabouts(ctx context.Context, member string) (states []string, noted bool, err error) {
	var express, bulk *redis.StringCmd
	var running *redis.BoolCmd
	_, err = r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		express = p.HGet(ctx, "asynq:{"+Express+"}:t:"+member, "state")
		bulk = p.HGet(ctx, "asynq:{"+Bulk+"}:t:"+member, "state")
		running = p.HExists(ctx, runningKey, member)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, fmt.Errorf("tasks: look for %s: %w", member, err)
	}
	return []string{express.Val(), bulk.Val()}, running.Val(), nil
}

// checkOrphan voids a round whose task was taken off its queue while no worker
// has noted it for as long as a worker may be silent: Redis' answer was lost on
// its way to the worker. Asynq itself notices after one to two minutes.
func (r *Runner) checkOrphan(ctx context.Context, w window, round store.Round) error {
	member, now := round.String(), r.now()
	since, known := r.orphans[member]
	switch {
	case !known:
		r.orphans[member] = now
	case now.Sub(since) > r.cfg.Silence:
		delete(r.orphans, member)
		return r.void(ctx, w.org, w.service, round)
	}
	return nil
}

// stuck reports whether a round's task will never run: it is in the archive, or
// nowhere. One that waits for its turn in a long queue is not stuck.
func (r *Runner) stuck(member string) bool {
	inspector := asynq.NewInspectorFromRedisClient(r.rdb)
	for _, queue := range []string{Bulk, Express} {
		info, err := inspector.GetTaskInfo(queue, member)
		if err == nil {
			return info.State == asynq.TaskStateArchived
		}
		if !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound) {
			return false
		}
	}
	return true
}
