package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// The queues. There are three in all, never one a tenant: each one costs a
// round trip at every poll.
const (
	Interactive = "interactive" // somebody waits: batches to be woken
	Express     = "express"     // first chunks of organizations that were idle
	Bulk        = "bulk"        // all other chunks
)

// Queues lists the queues.
var Queues = []string{Interactive, Express, Bulk}

// The types of tasks.
const (
	TypeChunk = "chunk:run"    // one round of a chunk
	TypeWake  = "credits:wake" // an organization has new credits, or room under a cap
)

// chunkPayload refers to a round; the rows are in SQL.
type chunkPayload struct {
	Batch   string         `json:"batch"`
	Chunk   int64          `json:"chunk"`
	Round   int64          `json:"round"`
	Org     string         `json:"org"`
	Service lookup.Service `json:"service"`
	At      int64          `json:"at,omitempty"` // when it was enqueued, in Unix milliseconds
}

func (p chunkPayload) round() store.Round {
	return store.Round{Batch: p.Batch, Chunk: p.Chunk, Round: p.Round}
}

type wakePayload struct {
	Org string `json:"org"`
}

// maxRetry is how often a task is repeated after an error that was not its own,
// such as SQL being down. Beyond it the sweeper takes over.
const maxRetry = 50

// Dispatcher hands chunks to the queues. Any process may have one.
type Dispatcher struct {
	rdb    redis.UniversalClient
	db     *store.DB
	client *asynq.Client
	size   int
	log    *slog.Logger
}

// NewDispatcher returns a dispatcher that keeps at most size chunks of an
// organization and service outstanding.
func NewDispatcher(rdb redis.UniversalClient, db *store.DB, size int, log *slog.Logger) *Dispatcher {
	return &Dispatcher{rdb: rdb, db: db, client: asynq.NewClientFromRedisClient(rdb), size: size, log: log}
}

func (d *Dispatcher) window(org string, service lookup.Service) window {
	return window{rdb: d.rdb, org: org, service: service, size: d.size}
}

// Start begins or resumes handing out a batch's chunks. It may fail for a
// moment without harm: the sweeper does the same for every batch that runs.
func (d *Dispatcher) Start(ctx context.Context, b store.Batch) {
	if err := d.start(ctx, b); err != nil {
		d.log.WarnContext(ctx, "a batch is started later by the sweeper", "batch", b.ID, "err", err)
	}
}

func (d *Dispatcher) start(ctx context.Context, b store.Batch) error {
	if b.Status != store.Accepted && b.Status != store.Running {
		return nil
	}
	w := d.window(b.Org, b.Service)
	if err := w.admit(ctx, d.db, b); err != nil {
		return err
	}
	return d.fill(ctx, w)
}

// fill hands out what fits into a window. The first chunk of an idle window
// goes to the express queue, which the chunks of others do not block.
func (d *Dispatcher) fill(ctx context.Context, w window) error {
	before, err := d.rdb.ZCard(ctx, w.keys()[2]).Result()
	if err != nil {
		return fmt.Errorf("tasks: window of %s, %s: %w", w.org, w.service, err)
	}
	rounds, err := w.fill(ctx)
	if err != nil {
		return err
	}
	if before == 0 && len(rounds) > 0 {
		if err := d.enqueue(ctx, w, Express, rounds[:1]); err != nil {
			return err
		}
		rounds = rounds[1:]
	}
	return d.enqueue(ctx, w, Bulk, rounds)
}

// enqueue puts rounds on a queue. One that is there already is left alone.
func (d *Dispatcher) enqueue(ctx context.Context, w window, queue string, rounds []store.Round) error {
	for _, r := range rounds {
		payload, err := json.Marshal(chunkPayload{Batch: r.Batch, Chunk: r.Chunk, Round: r.Round, Org: w.org, Service: w.service, At: time.Now().UnixMilli()})
		if err != nil {
			return fmt.Errorf("tasks: enqueue: %w", err)
		}
		task := asynq.NewTask(TypeChunk, payload)
		_, err = d.client.EnqueueContext(ctx, task, asynq.TaskID(r.String()), asynq.Queue(queue),
			asynq.MaxRetry(maxRetry), asynq.Timeout(chunkTimeout))
		if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
			return fmt.Errorf("tasks: enqueue %s: %w", r, err)
		}
	}
	return nil
}

// Wake lets the batches of an organization go on that wait for credits, or for
// room under a cap. Like
// [Dispatcher.Start] it may fail without harm.
func (d *Dispatcher) Wake(ctx context.Context, org string) {
	payload, err := json.Marshal(wakePayload{Org: org})
	if err == nil {
		_, err = d.client.EnqueueContext(ctx, asynq.NewTask(TypeWake, payload),
			asynq.Queue(Interactive), asynq.MaxRetry(5), asynq.Timeout(time.Minute))
	}
	if err != nil {
		d.log.WarnContext(ctx, "batches are woken later by the sweeper", "org", org, "err", err)
	}
}
