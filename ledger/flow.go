package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// flights is how many pipelines are under way at once, so that the server
	// works while answers travel.
	flights = 2
	// flightSize bounds a pipeline: one call does not wait for more than so many.
	flightSize = 128
	// flightTime bounds a pipeline, which outlives the callers that gave up.
	flightTime = 30 * time.Second
)

// flow runs scripts, those that are asked for at the same time in one pipeline:
// a round trip costs both sides as much as a script does. A call that is alone
// goes at once.
type flow struct {
	rdb redis.UniversalClient

	mu      sync.Mutex
	waiting []*call
	flying  int
}

// call is one script to run.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
	answer *redis.Cmd
	done   chan struct{}
}

// run runs a script and returns its answer. It may run although ctx ended.
func (f *flow) run(ctx context.Context, s *redis.Script, keys []string, args []any) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	c := &call{script: s, keys: keys, args: args, done: make(chan struct{})}
	f.mu.Lock()
	f.waiting = append(f.waiting, c)
	flies := f.flying < flights
	if flies {
		f.flying++
	}
	f.mu.Unlock()
	if flies {
		// Not the caller itself: it would have to fly for others after it was done.
		go f.fly(context.WithoutCancel(ctx))
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	text, err := c.answer.Text()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		// A pipeline cannot repair that; every script may be repeated.
		return s.Eval(ctx, f.rdb, keys, args...).Text()
	}
	return text, err
}

// fly sends what waits until nothing does.
func (f *flow) fly(ctx context.Context) {
	for {
		f.mu.Lock()
		n := min(len(f.waiting), flightSize)
		if n == 0 {
			f.flying--
			f.mu.Unlock()
			return
		}
		batch := f.waiting[:n:n]
		f.waiting = f.waiting[n:]
		f.mu.Unlock()
		f.send(ctx, batch)
	}
}

func (f *flow) send(ctx context.Context, batch []*call) {
	ctx, cancel := context.WithTimeout(ctx, flightTime)
	defer cancel()
	// Each call has its own answer and error; the pipeline's is the first of them.
	_, _ = f.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, c := range batch {
			c.answer = p.EvalSha(ctx, c.script.Hash(), c.keys, c.args...)
		}
		return nil
	})
	for _, c := range batch {
		close(c.done)
	}
}
