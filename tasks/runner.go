package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/logging"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// chunkTimeout is when Asynq gives a chunk up and runs it again. A round ends
// far earlier by itself.
const chunkTimeout = 10 * time.Minute

// Config sizes a worker.
type Config struct {
	// Worker names this process among the workers; it must be new at every start.
	Worker string
	// Concurrency is how many bulk chunks run at once. Default 4.
	Concurrency int
	// Servers is over how many Asynq servers these are spread. Each fetches one
	// task at a time, so one of them starts at most one chunk a round trip to
	// Redis. From 1 to Concurrency; default 1.
	Servers int
	// Reserved is how many express and interactive tasks run at once beside
	// them. Default 2.
	Reserved int
	// Poll is how often an idle queue is looked at. Default 100 ms.
	Poll time.Duration
	// Sweep is how often lost work is looked for. Default 1 second.
	Sweep time.Duration
	// Silence is how long a worker may be silent before its chunks are given to
	// others. Default 10 seconds.
	Silence time.Duration
	// StopTime bounds how long a stopping worker waits for its chunks. Default
	// 30 seconds.
	StopTime time.Duration
	// Metrics counts what the worker does. Default: counted, shown nowhere.
	Metrics *Metrics
}

// WithDefaults fills in what is zero.
func (c Config) WithDefaults() Config {
	for _, n := range []struct {
		field *int
		value int
	}{{&c.Concurrency, 4}, {&c.Servers, 1}, {&c.Reserved, 2}} {
		if *n.field == 0 {
			*n.field = n.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.Poll, 100 * time.Millisecond}, {&c.Sweep, time.Second},
		{&c.Silence, 10 * time.Second}, {&c.StopTime, 30 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return c
}

// Validate reports more servers than there are chunks to share.
func (c Config) Validate() error {
	if c = c.WithDefaults(); c.Servers < 1 || c.Servers > c.Concurrency {
		return fmt.Errorf("tasks: %d servers for %d chunks at once, want 1 to %d", c.Servers, c.Concurrency, c.Concurrency)
	}
	return nil
}

// share is how many of the bulk chunks run on the server of the given number.
func (c Config) share(server int) int {
	share := c.Concurrency / c.Servers
	if server < c.Concurrency%c.Servers {
		share++
	}
	return share
}

// Engine is the part of package enrich that a worker needs.
type Engine interface {
	RunRound(ctx context.Context, r store.Round) (enrich.Ending, error)
}

// Runner is a worker: it runs tasks and sweeps.
type Runner struct {
	*Dispatcher
	cfg     Config
	engine  Engine
	books   *books.Books
	now     func() time.Time
	servers []*asynq.Server
	stop    context.CancelFunc // ends sweeping, and tells chunks to come to an end
	sweeps  sync.WaitGroup
	still   context.CancelFunc // ends beating, once no chunk is left
	beats   sync.WaitGroup
	pulse   pulse
	orphans map[string]time.Time // of the sweeper: rounds that nobody seems to run, since when
}

// NewRunner returns a worker that has not been started.
func NewRunner(cfg Config, d *Dispatcher, engine Engine, b *books.Books, now func() time.Time) *Runner {
	return &Runner{Dispatcher: d, cfg: cfg.WithDefaults(), engine: engine, books: b, now: now, stop: func() {}, still: func() {}, orphans: map[string]time.Time{}}
}

// Start begins to run tasks.
func (r *Runner) Start() error {
	if err := r.cfg.Validate(); err != nil {
		return err
	}
	working, stop := context.WithCancel(context.Background())
	r.stop = stop
	mux := asynq.NewServeMux()
	mux.HandleFunc(TypeChunk, func(ctx context.Context, task *asynq.Task) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(working, cancel)()
		return r.runChunk(ctx, task)
	})
	mux.HandleFunc(TypeWake, r.wake)
	// Reserved, so that a newcomer does not wait behind chunks of seconds.
	err := r.serve(mux, r.cfg.Reserved, map[string]int{Interactive: 2, Express: 1})
	for n := 0; n < r.cfg.Servers && err == nil; n++ {
		err = r.serve(mux, r.cfg.share(n), map[string]int{Bulk: 1})
	}
	if err != nil {
		r.Stop()
		return err
	}
	worker := slog.String(logging.Worker, r.cfg.Worker)
	r.sweeps.Go(func() { r.sweepLoop(logging.With(working, worker)) })
	beating, still := context.WithCancel(logging.With(context.Background(), worker))
	r.still = still
	r.beats.Go(func() { r.beatLoop(beating) })
	return nil
}

// serve starts one Asynq server. All share one client.
func (r *Runner) serve(mux *asynq.ServeMux, concurrency int, queues map[string]int) error {
	server := asynq.NewServerFromRedisClient(r.rdb, asynq.Config{
		Concurrency:              concurrency,
		Queues:                   queues,
		TaskCheckInterval:        r.cfg.Poll,
		DelayedTaskCheckInterval: time.Second,
		ShutdownTimeout:          r.cfg.StopTime,
		RetryDelayFunc:           retryDelay,
		IsFailure:                func(err error) bool { return !errors.Is(err, errLater) },
		ErrorHandler:             asynq.ErrorHandlerFunc(r.failed),
		Logger:                   quietLogger{r.log.With(logging.Worker, r.cfg.Worker)},
		LogLevel:                 asynq.WarnLevel,
	})
	if err := server.Start(mux); err != nil {
		return fmt.Errorf("tasks: start: %w", err)
	}
	r.servers = append(r.servers, server)
	return nil
}

// Stop ends the worker: chunks finish the calls under way, store them, and give
// the rest back.
func (r *Runner) Stop() {
	r.stop()
	var all sync.WaitGroup
	for _, s := range r.servers {
		all.Go(s.Shutdown)
	}
	all.Wait()
	r.sweeps.Wait()
	r.still()
	r.beats.Wait()
}

// errLater marks an error that is not the task's fault.
var errLater = errors.New("tasks: try again later")

func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	if errors.Is(err, asynq.ErrLeaseExpired) {
		return 0 // its worker is gone, nothing is gained by waiting
	}
	return time.Second + rand.N(2*time.Second)
}

func (r *Runner) failed(ctx context.Context, task *asynq.Task, err error) {
	var p chunkPayload
	if task.Type() == TypeChunk && json.Unmarshal(task.Payload(), &p) == nil {
		ctx = r.named(ctx, p.round())
	}
	r.log.WarnContext(ctx, "a task is tried again", "type", task.Type(), "err", err)
}

// named returns a context whose log lines name the round and this worker.
func (r *Runner) named(ctx context.Context, round store.Round) context.Context {
	return logging.With(ctx, slog.String(logging.Worker, r.cfg.Worker), slog.String(logging.Batch, round.Batch),
		slog.Int64(logging.Chunk, round.Chunk), slog.Int64(logging.Round, round.Round), slog.String(logging.Hold, round.String()))
}

// runChunk runs a round and hands out what takes its place. It comes to an end
// early, but in order, when ctx ends.
func (r *Runner) runChunk(ctx context.Context, task *asynq.Task) error {
	var p chunkPayload
	if err := json.Unmarshal(task.Payload(), &p); err != nil {
		return fmt.Errorf("tasks: payload of %s: %w", task.Type(), asynq.SkipRetry)
	}
	round := p.round()
	stopping := ctx // ends with the worker
	ctx = r.named(ctx, round)
	queue, _ := asynq.GetQueueName(ctx) // "" is no queue of ours
	r.cfg.Metrics.waited(queue, p.At)
	if err := r.rdb.HSet(ctx, runningKey, round.String(), r.cfg.Worker).Err(); err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	ending, err := r.engine.RunRound(ctx, round)
	r.cfg.Metrics.ran(ending, err, stopping.Err() != nil)
	// The answer must go out although the worker is stopping.
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	if err := r.finish(ctx, p.Org, p.Service, round, ending); err != nil {
		return err
	}
	// Last: a worker that dies before it is taken over from at once.
	if err := r.rdb.HDel(ctx, runningKey, round.String()).Err(); err != nil {
		r.log.WarnContext(ctx, "a finished round is still noted as running", "err", err)
	}
	return nil
}

// finish frees a round's place in its window and enqueues what was handed out.
func (r *Runner) finish(ctx context.Context, org string, service lookup.Service, round store.Round, e enrich.Ending) error {
	w := r.window(org, service)
	handed, err := w.finish(ctx, round, e)
	if err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	if err := r.enqueue(ctx, w, Bulk, handed); err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	return nil
}

// quietLogger passes Asynq's warnings and errors on.
type quietLogger struct{ log *slog.Logger }

func (l quietLogger) Debug(...any)     {}
func (l quietLogger) Info(...any)      {}
func (l quietLogger) Warn(args ...any) { l.log.Warn("asynq", "message", fmt.Sprint(args...)) }
func (l quietLogger) Error(args ...any) {
	l.log.Error("asynq", "message", fmt.Sprint(args...))
}

// Fatal is what Asynq calls when it cannot go on; the process decides itself.
func (l quietLogger) Fatal(args ...any) {
	l.log.Error("asynq cannot go on", "message", fmt.Sprint(args...))
}
