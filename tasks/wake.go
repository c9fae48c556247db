package tasks

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

var (
	//go:embed wake.lua
	wakeSource string

	wakeScript = redis.NewScript(wakeSource)
)

const (
	wakingKey = "magpie:waking" // hash: organization → when its next batches may be resumed

	// wakeMost is how many batches of an organization are resumed at once, and
	// wakePause about how long it is until the next are. A top-up for hundreds of
	// batches must not start them all together.
	wakeMost  = 8
	wakePause = 500 * time.Millisecond
)

// wake resumes the batches of an organization that wait for credits or room.
func (r *Runner) wake(ctx context.Context, task *asynq.Task) error {
	var p wakePayload
	if err := json.Unmarshal(task.Payload(), &p); err != nil {
		return fmt.Errorf("tasks: payload of %s: %w", task.Type(), asynq.SkipRetry)
	}
	paused, err := store.ListBatches(ctx, r.db, store.BatchFilter{Org: p.Org, Statuses: []store.Status{store.Paused}})
	if err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	_, err = r.resumeWaiting(ctx, paused)
	return err
}

// sweepPaused resumes batches whose wake-up was lost, or whose key's month has
// turned over, and those that an earlier wake-up left for later.
func (r *Runner) sweepPaused(ctx context.Context) error {
	paused, err := store.ListBatches(ctx, r.db, store.BatchFilter{Statuses: []store.Status{store.Paused}})
	if err != nil {
		return err
	}
	resumed, err := r.resumeWaiting(ctx, paused)
	r.cfg.Metrics.repaired(repairBatch, resumed)
	return err
}

// resumeWaiting resumes batches, of those paused for credits or at a cap, whose
// next hold would be granted now. It returns how many.
func (r *Runner) resumeWaiting(ctx context.Context, paused []store.Batch) (resumed int, _ error) {
	waiting := map[string][]store.Batch{}
	for _, b := range paused {
		if b.Waits() {
			waiting[b.Org] = append(waiting[b.Org], b)
		}
	}
	var errs []error
	for org, batches := range waiting {
		n, err := r.resumeOf(ctx, org, batches)
		resumed += n
		errs = append(errs, err)
	}
	return resumed, errors.Join(errs...)
}

// resumeOf resumes waiting batches of one organization, longest-waiting first, as
// many as its credits are for.
func (r *Runner) resumeOf(ctx context.Context, org string, waiting []store.Batch) (resumed int, _ error) {
	ready, err := r.ready(ctx, org, waiting)
	if err != nil || len(ready) == 0 {
		return 0, err
	}
	pause := wakePause/2 + rand.N(wakePause)
	first, err := wakeScript.Run(ctx, r.rdb, []string{wakingKey}, org, pause.Milliseconds()).Int()
	if err != nil {
		return 0, fmt.Errorf("tasks: wake %s: %w", org, err)
	}
	if first == 0 {
		return 0, nil // others have just been resumed; the sweeper comes again
	}
	// Again, since those that were resumed a moment ago may have used it all.
	if ready, err = r.ready(ctx, org, waiting); err != nil {
		return 0, err
	}
	for _, b := range ready[:min(len(ready), wakeMost)] {
		b, did, err := r.db.ResumeWaiting(ctx, org, b.ID, r.now())
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			continue // it ended meanwhile
		}
		if did {
			r.log.InfoContext(ctx, "batch resumed: credits or room arrived", "batch", b.ID, "org", org)
			resumed++
			err = r.start(ctx, b)
		}
		if err != nil {
			return resumed, err
		}
	}
	return resumed, nil
}

// ready are the batches that would be granted a hold, longest-waiting first: no
// more of them than the credits last for if each takes all it can use. A unit is
// left for each batch that runs: one that was resumed may not have held it yet.
func (r *Runner) ready(ctx context.Context, org string, waiting []store.Batch) (ready []store.Batch, _ error) {
	slices.SortFunc(waiting, func(a, b store.Batch) int {
		return cmp.Or(a.PausedAt.Compare(b.PausedAt), cmp.Compare(a.ID, b.ID))
	})
	// Who runs before the balance: one that pauses in between has used it up.
	running, err := store.ListBatches(ctx, r.db, store.BatchFilter{Org: org, Statuses: []store.Status{store.Accepted, store.Running}})
	if err != nil {
		return nil, err
	}
	balance, err := r.books.Balance(ctx, org)
	if err != nil {
		return nil, err
	}
	left := lookup.Credits(balance.Available)
	for _, b := range running {
		left -= b.Price
	}
	for _, b := range waiting {
		room, err := store.Room(ctx, r.db, b, r.now())
		if err != nil {
			return nil, err
		}
		if lack := b.Lack(room); lack != b.PauseReason {
			if err := r.db.ExplainPause(ctx, b, lack); err != nil {
				return nil, err
			}
		}
		if room >= b.Price && left >= b.Price {
			ready = append(ready, b)
			left -= min(b.Remaining(), room)
		}
	}
	return ready, nil
}
