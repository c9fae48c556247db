package enrich

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/lookup"
)

const (
	// claimLife is how long a claim lasts unless it is renewed, which happens
	// every third of it: so long a question waits for an asker that died.
	claimLife = 15 * time.Second
	// missLife is how long those who waited are told that nothing was found.
	missLife = 10 * time.Second
	// claimTime bounds a call to Redis: without an answer we ask unguarded.
	claimTime = 250 * time.Millisecond
	// Those who wait look again after as long as they have waited, within this.
	shortestWait, longestWait = 50 * time.Millisecond, 2 * time.Second
	// claimsACall bounds the questions of one script.
	claimsACall = 1000
)

var (
	//go:embed claim.lua
	claimSource string
	//go:embed release.lua
	releaseSource string

	claimScript   = redis.NewScript(claimSource)
	releaseScript = redis.NewScript(releaseSource)
)

// Option adds to an engine.
type Option func(*Engine)

// WithClaims keeps workers and processes that ask the same question of an
// organization at the same time from each paying for it: one asks, the others
// wait for its answer. Claims are a short lease in Redis. They only save money:
// without an answer from Redis every question is asked, and what is found is
// charged once all the same.
func WithClaims(rdb redis.UniversalClient) Option { return func(e *Engine) { e.claims = rdb } }

// claim is the questions that one job may ask, and what it must not.
type claim struct {
	engine *Engine
	key    string
	asker  string
	all    []lookup.Question       // that were asked for
	held   map[lookup.Question]int // by others: as claim.lua answers
	stop   func()                  // renewing
}

// claim claims the questions of a job. It costs a round trip.
func (e *Engine) claim(ctx context.Context, j job) *claim {
	c := &claim{engine: e, key: "magpie:asking:{" + j.org + "}", asker: j.asker, stop: func() {}}
	if w, ok := e.waterfalls.For(j.service); e.claims == nil || !ok || w.Local {
		return c
	}
	for _, row := range j.rows {
		c.all = append(c.all, row.question)
	}
	held, err := c.take(ctx)
	if err != nil {
		e.metrics.unguarded.Inc()
		e.log.WarnContext(ctx, "questions are asked without knowing who else asks them", "err", err)
		c.all = nil
		return c
	}
	c.held = held
	c.keep(ctx)
	return c
}

// take claims all questions and returns those of others.
func (c *claim) take(ctx context.Context) (map[lookup.Question]int, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	held := map[lookup.Question]int{}
	for start := 0; start < len(c.all); start += claimsACall {
		part := c.all[start:min(start+claimsACall, len(c.all))]
		args := []any{c.asker, claimLife.Milliseconds()}
		for _, question := range part {
			args = append(args, question[:])
		}
		answers, err := claimScript.Run(ctx, c.engine.claims, []string{c.key}, args...).Int64Slice()
		if err != nil {
			return nil, err
		}
		for i, answer := range answers {
			if answer != 0 {
				held[part[i]] = int(answer)
			}
		}
	}
	return held, nil
}

// keep renews the claims until they are released.
func (c *claim) keep(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // calls under way outlive a stopping worker
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(claimLife / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, _ = c.take(ctx) // or they end, and others may ask as well
			}
		}
	}()
	c.stop = func() { cancel(); <-done }
}

// split returns the rows that are to be asked, those that another asker has just
// found nothing for, and, if others are asking the rest, when to look again.
func (c *claim) split(rows []asked) (mine, missed []asked, wait time.Duration) {
	if len(c.held) == 0 {
		return rows, nil, 0
	}
	for _, row := range rows {
		switch n := c.held[row.question]; {
		case n == 0:
			mine = append(mine, row)
		case n < 0:
			missed = append(missed, row)
		default:
			wait = soonest(wait, min(max(time.Duration(n)*time.Millisecond, shortestWait), longestWait))
		}
	}
	return mine, missed, wait
}

// release ends the claims, after the commit: who waited finds what was stored.
// Where nothing was found nothing is stored, so that they are told.
func (c *claim) release(ctx context.Context, answers []answer) {
	c.stop()
	if len(c.all) == 0 {
		return
	}
	nothing := map[lookup.Question]bool{}
	for _, a := range answers {
		nothing[a.question] = a.Outcome == lookup.NotFound
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
	defer cancel()
	for start := 0; start < len(c.all); start += claimsACall {
		args := []any{c.asker, missLife.Milliseconds()}
		for _, question := range c.all[start:min(start+claimsACall, len(c.all))] {
			found := "0"
			if nothing[question] {
				found = "1"
			}
			args = append(args, found, question[:])
		}
		if err := releaseScript.Run(ctx, c.engine.claims, []string{c.key}, args...).Err(); err != nil {
			return // they end by themselves
		}
	}
}
