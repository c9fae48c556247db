package tasks

import (
	"context"
	_ "embed"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed beat.lua
var beatSource string

var beatScript = redis.NewScript(beatSource)

// beatEvery is how often a worker says that it is alive.
const beatEvery = time.Second

// pulse is what this worker's own beats have told it.
type pulse struct {
	mu     sync.Mutex
	last   time.Time // of the last beat that was answered
	steady time.Time // since when no beat was late
	quiet  []string  // workers that were silent at the last beat
	limit  time.Duration
}

// felt notes an answered beat.
func (p *pulse) felt(now time.Time, limit time.Duration, quiet []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.IsZero() || now.Sub(p.last) > limit/2 {
		p.steady = now
	}
	p.last, p.quiet, p.limit = now, quiet, limit
}

// silent lists the workers that are silent. While this worker's own beats were
// late within that time, nobody is: it was Redis, or we, that were away.
func (p *pulse) silent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.Sub(p.steady) < p.limit {
		return nil
	}
	return slices.Clone(p.quiet)
}

// beatLoop does nothing but say that this worker is alive, so that no amount of
// other work makes it look dead. It ends after the last chunk has.
func (r *Runner) beatLoop(ctx context.Context) {
	tick := time.NewTicker(min(beatEvery, r.cfg.Silence/4))
	defer tick.Stop()
	for {
		silent, err := beatScript.Run(ctx, r.rdb, []string{workersKey}, r.cfg.Worker, r.cfg.Silence.Milliseconds()).StringSlice()
		switch {
		case err == nil:
			r.pulse.felt(time.Now(), r.cfg.Silence, silent)
		case ctx.Err() == nil:
			r.log.WarnContext(ctx, "beat", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
