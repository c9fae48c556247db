package ledger

import (
	"context"
	"errors"
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
	// scriptSize bounds how many holds one script opens or closes, and with it
	// how long Redis does nothing else.
	scriptSize = 32
	// flightTime bounds a pipeline, which outlives the callers that gave up.
	flightTime = 30 * time.Second
)

// flow runs scripts, those that are asked for at the same time in one pipeline:
// a round trip costs both sides as much as a script does. Of these, the holds
// that are opened in one account share a script, and so do those that are closed.
// A call that is alone goes at once.
type flow struct {
	rdb redis.UniversalClient

	mu      sync.Mutex
	waiting []*call
	flying  int
}

// call asks for one script. With own keys it may share the script with other
// calls that have the same common keys and arguments.
type call struct {
	script  *redis.Script
	keys    []string
	args    []any
	ownKey  string
	ownArgs []any
	answer  string
	err     error
	done    chan struct{}
}

func (c *call) shares(with *call) bool {
	return c.ownKey != "" && with.ownKey != "" && c.script == with.script && c.keys[0] == with.keys[0] &&
		c.args[0] == with.args[0] && c.args[1] == with.args[1]
}

// run runs a script and returns its answer. It may run although ctx ended.
func (f *flow) run(ctx context.Context, c *call) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	c.done = make(chan struct{})
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
		return c.answer, c.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
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
		f.send(ctx, gather(batch))
		for _, c := range batch {
			close(c.done)
		}
	}
}

// shared is calls that one script answers.
type shared []*call

// gather puts calls together that may share a script. The order of calls that
// are under way at the same time is nobody's business.
func gather(batch []*call) (all []shared) {
next:
	for _, c := range batch {
		for i, s := range all {
			if len(s) < scriptSize && c.shares(s[0]) {
				all[i] = append(s, c)
				continue next
			}
		}
		all = append(all, shared{c})
	}
	return all
}

func (f *flow) send(ctx context.Context, scripts []shared) {
	ctx, cancel := context.WithTimeout(ctx, flightTime)
	defer cancel()
	answers := make([]*redis.Cmd, len(scripts))
	// Each script has its own answer and error; the pipeline's is the first of them.
	_, _ = f.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, s := range scripts {
			keys, args := s.arguments()
			answers[i] = p.EvalSha(ctx, s[0].script.Hash(), keys, args...)
		}
		return nil
	})
	for i, s := range scripts {
		if redis.HasErrorPrefix(answers[i].Err(), "NOSCRIPT") {
			// A pipeline cannot repair that; every script may be repeated.
			keys, args := s.arguments()
			answers[i] = s[0].script.Eval(ctx, f.rdb, keys, args...)
		}
		s.take(answers[i])
	}
}

func (s shared) arguments() (keys []string, args []any) {
	if s[0].ownKey == "" {
		return s[0].keys, s[0].args
	}
	keys, args = append(keys, s[0].keys...), append(args, s[0].args...)
	for _, c := range s {
		keys, args = append(keys, c.ownKey), append(args, c.ownArgs...)
	}
	return keys, args
}

// take gives each call its answer: its own in a list, or the one that is for all.
func (s shared) take(answer *redis.Cmd) {
	value, err := answer.Result()
	list, listed := value.([]any)
	for i, c := range s {
		c.err = err
		if err != nil {
			continue
		}
		if listed {
			value = nil
			if i < len(list) {
				value = list[i]
			}
		}
		text, ok := value.(string)
		if !ok {
			c.err = errAnswer
		}
		c.answer = text
	}
}

var errAnswer = errors.New("the script's answer cannot be read")
