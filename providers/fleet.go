package providers

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	leaseEvery     = 200 * time.Millisecond // between two asks for one quota, less up to a quarter
	leaseSoon      = 120 * time.Millisecond // the same where somebody waits or there is news
	lookEvery      = 20 * time.Millisecond
	leaseTimeout   = 500 * time.Millisecond
	reservedFor    = 5 * time.Second // calls reserved in SQL are leased within this time
	sqlTimeout     = 2 * time.Second
	longestWindow  = 24 * time.Hour
	checkpointFrom = time.Minute // windows of this length and more are known to SQL
)

var (
	//go:embed lease.lua
	leaseSource string
	//go:embed restore.lua
	restoreSource string

	leaseScript   = redis.NewScript(leaseSource)
	restoreScript = redis.NewScript(restoreSource)
)

// Reservation is a number of calls that a fleet may make of a quota.
type Reservation struct {
	ID    string
	Until time.Time // when the last of them has arrived, by the clock of Redis
	Calls int64
}

// Checkpoint keeps reservations where a loss of Redis cannot reach them. Calls
// of a minute's or a day's quota are leased only after they were reserved.
type Checkpoint interface {
	// Reserve stores reservations; one that is there already gets the new number
	// of calls.
	Reserve(ctx context.Context, quota string, reservations []Reservation) error
	// Reservations returns those that end after since.
	Reservations(ctx context.Context, quota string, since time.Time) ([]Reservation, error)
}

// FleetConfig is what a fleet's processes share.
type FleetConfig struct {
	Redis      redis.UniversalClient
	Checkpoint Checkpoint
	Log        *slog.Logger
	// Member names this process, differently at each start; without spaces.
	Member string
	// Alone is set if no other process can use this Redis, so that a Redis without
	// state means that nothing was used rather than that it was forgotten.
	Alone bool
}

// Fleet keeps the limits, breakers and parks of guards for all processes that
// share a Redis. One goroutine a process, [Fleet.Run], leases calls for all its
// guards before they run out.
type Fleet struct {
	cfg  FleetConfig
	kick chan struct{}
	wg   sync.WaitGroup // restores and reservations under way

	mu    sync.Mutex
	posts map[*Guard]*post
	lost  bool // Redis did not answer last time
}

// post is a guard in a fleet.
type post struct {
	quota string
	tank  *tank
	first int           // of the windows, from 1, that SQL knows of; 0: none
	every time.Duration // until the next ask; Run's alone
	hurry atomic.Bool

	mu       sync.Mutex
	busy     bool // with SQL
	reserved *Reservation
}

// NewFleet returns a fleet without guards.
func NewFleet(cfg FleetConfig) *Fleet {
	return &Fleet{cfg: cfg, kick: make(chan struct{}, 1), posts: map[*Guard]*post{}}
}

// Join makes a guard's limits those of the fleet. It must come before the
// guard's first question; a guard without limits stays on its own.
func (f *Fleet) Join(g *Guard) {
	k := g.tank
	if !k.terms.limited() {
		return
	}
	p := &post{quota: g.limits.Quota, tank: k, every: leaseEvery}
	for i, w := range k.terms.windows {
		if p.first == 0 && w.span >= checkpointFrom.Milliseconds() {
			p.first = i + 1
		}
	}
	k.private, k.member = nil, f.cfg.Member+":"+g.Name()
	k.hasten = func() { f.hasten(p) }
	f.mu.Lock()
	defer f.mu.Unlock()
	f.posts[g] = p
}

// Leave forgets a guard that is asked no more. What it has leased expires.
func (f *Fleet) Leave(g *Guard) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.posts, g)
}

func (f *Fleet) hasten(p *post) {
	p.hurry.Store(true)
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// Run leases until ctx ends, and then gives back what is left.
func (f *Fleet) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer f.wg.Wait()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
			f.exchange(last, f.due(true))
			cancel()
			return
		case <-f.kick:
		case <-tick.C:
		}
		f.exchange(ctx, f.due(false))
	}
}

// due returns the guards whose time it is to ask.
func (f *Fleet) due(all bool) (due []*post) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, p := range f.posts {
		if all {
			p.tank.retire()
		}
		if all || p.tank.due(now, p.every, p.hurry.Load()) {
			due = append(due, p)
			p.hurry.Store(false)
			p.every = leaseEvery - rand.N(leaseEvery/4) // so that processes do not march in step
		}
	}
	return due
}

// exchange asks for several quotas in one go.
func (f *Fleet) exchange(ctx context.Context, due []*post) {
	if len(due) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	sent := time.Now()
	pipe := f.cfg.Redis.Pipeline()
	commands := make([]*redis.Cmd, len(due))
	arguments := make([][]any, len(due))
	for i, p := range due {
		arguments[i] = p.arguments(sent)
		commands[i] = leaseScript.EvalSha(limited, pipe, []string{quotaKey(p.quota)}, arguments[i]...)
	}
	_, _ = pipe.Exec(limited) // each command has its own error
	var failed error
	for i, p := range due {
		if redis.HasErrorPrefix(commands[i].Err(), "NOSCRIPT") {
			commands[i] = leaseScript.Eval(limited, f.cfg.Redis, []string{quotaKey(p.quota)}, arguments[i]...)
		}
		if err := f.hear(ctx, p, commands[i], sent); err != nil {
			failed = err
		}
	}
	f.report(ctx, failed)
}

// report logs when leases cannot be had, and when they can again.
func (f *Fleet) report(ctx context.Context, failed error) {
	f.mu.Lock()
	was := f.lost
	f.lost = failed != nil
	f.mu.Unlock()
	switch {
	case failed != nil && !was && ctx.Err() == nil:
		f.cfg.Log.WarnContext(ctx, "no calls to providers can be leased", "err", failed)
	case failed == nil && was:
		f.cfg.Log.InfoContext(ctx, "calls to providers are leased again")
	}
}

func quotaKey(quota string) string { return "magpie:quota:{" + quota + "}" }

// arguments are those of lease.lua.
func (p *post) arguments(now time.Time) []any {
	p.tank.mu.Lock()
	a := p.tank.ask(now)
	p.tank.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	return leaseArguments("", p.tank.terms, a, p.first, p.reserved)
}

func leaseArguments(clock string, t terms, a ask, first int, r *Reservation) []any {
	after, id, until, calls := int64(-1), "", int64(0), int64(0)
	if a.news.throttled {
		after = a.news.after
	}
	if r != nil {
		id, until, calls = r.ID, r.Until.UnixMilli(), r.Calls
	}
	args := []any{
		clock, a.member, a.seq, a.lapsed, a.held, a.want, a.urgent, a.busy, a.limit, a.places,
		after, int(a.news.park), a.news.parkFor, a.news.tripped, a.news.probe,
		t.burst, t.places, t.callTime, t.openFor, first, id, until, calls, len(t.windows),
	}
	for _, w := range t.windows {
		args = append(args, w.span, w.step, w.size)
	}
	for _, s := range a.spent {
		args = append(args, s.age, s.calls)
	}
	return args
}

// hear takes in an answer.
func (f *Fleet) hear(ctx context.Context, p *post, command *redis.Cmd, sent time.Time) error {
	words, err := command.StringSlice()
	if err != nil {
		return fmt.Errorf("providers: lease of %s: %w", p.quota, err)
	}
	if len(words) == 2 && words[0] == "unknown" {
		f.background(ctx, p, func(ctx context.Context) error { return f.restore(ctx, p, words[1]) })
		return nil
	}
	g, reserve, settled, err := parseGrant(words, len(p.tank.terms.windows))
	if err != nil {
		return fmt.Errorf("providers: lease of %s: %w", p.quota, err)
	}
	p.mu.Lock()
	p.reserved = nil
	p.mu.Unlock()
	now := time.Now()
	p.tank.mu.Lock()
	p.tank.apply(g, sent, now)
	p.tank.dispatch(now)
	p.tank.mu.Unlock()
	if reserve > 0 {
		f.background(ctx, p, func(ctx context.Context) error { return f.reserve(ctx, p, g.now, reserve, settled) })
	}
	return nil
}

// parseGrant reads the answer of lease.lua.
func parseGrant(words []string, windows int) (g grant, reserve int64, settled *Reservation, err error) {
	if len(words) < 12+windows {
		return grant{}, 0, nil, errors.New("the answer is too short")
	}
	n := make([]int64, len(words))
	for i, word := range words {
		if i == 10 { // the id of a reservation
			continue
		}
		if n[i], err = strconv.ParseInt(word, 10, 64); err != nil {
			return grant{}, 0, nil, fmt.Errorf("word %d of the answer: %w", i, err)
		}
	}
	g = grant{
		now: n[0], places: n[1], after: n[2], factor: float64(n[3]) / 1e6, pause: n[4], open: n[5], probe: n[6] == 1,
		park: Outcome(n[7]), parked: n[8], used: n[12 : 12+windows],
	}
	for i := 12 + windows; i+1 < len(n); i += 2 {
		g.stamps = append(g.stamps, stamp{n[i], n[i+1]})
	}
	if words[10] != "" {
		settled = &Reservation{ID: words[10], Calls: n[11]}
	}
	return g, n[9], settled, nil
}

// background does something with SQL for a quota, one thing at a time, so that
// a slow database holds up no other lease.
func (f *Fleet) background(ctx context.Context, p *post, do func(ctx context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || ctx.Err() != nil {
		return
	}
	p.busy = true
	f.wg.Go(func() {
		limited, cancel := context.WithTimeout(ctx, sqlTimeout)
		defer cancel()
		err := do(limited)
		p.mu.Lock()
		p.busy = false
		p.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			f.cfg.Log.WarnContext(ctx, "a provider's quota waits for SQL", "quota", p.quota, "err", err)
			return
		}
		f.hasten(p)
	})
}

// reserve notes in SQL what is going to be leased, and what of the reservation
// before was not.
func (f *Fleet) reserve(ctx context.Context, p *post, now, calls int64, settled *Reservation) error {
	until := time.UnixMilli(now).Add(reservedFor + (leaseLife+arrivalSlack)*time.Millisecond)
	r := Reservation{ID: fmt.Sprintf("%d-%s", until.UnixMilli(), p.tank.member), Until: until, Calls: calls}
	all := []Reservation{r}
	if settled != nil {
		at, _, _ := strings.Cut(settled.ID, "-")
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return fmt.Errorf("providers: reservation %q: %w", settled.ID, err)
		}
		settled.Until = time.UnixMilli(ms)
		all = append(all, *settled)
	}
	if err := f.cfg.Checkpoint.Reserve(ctx, p.quota, all); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved = &r
	return nil
}

// restore makes the state in Redis anew from SQL.
func (f *Fleet) restore(ctx context.Context, p *post, clock string) error {
	ms, err := strconv.ParseInt(clock, 10, 64)
	if err != nil {
		return fmt.Errorf("providers: the clock of Redis: %w", err)
	}
	args := []any{"", f.freeze(p)}
	if p.first > 0 {
		since := time.UnixMilli(ms).Add(-longestWindow)
		reservations, err := f.cfg.Checkpoint.Reservations(ctx, p.quota, since)
		if err != nil {
			return err
		}
		args = append(args, remembered(p, reservations, ms)...)
	}
	return restoreScript.Run(ctx, f.cfg.Redis, []string{quotaKey(p.quota)}, args...).Err()
}

// freeze is how long nothing is leased of a quota that Redis has forgotten: what
// it had leased may still be used, and stays in the shortest window after that.
func (f *Fleet) freeze(p *post) int64 {
	switch {
	case f.cfg.Alone:
		return 0
	case p.first == 1 || len(p.tank.terms.windows) == 0:
		return leaseLife
	}
	return leaseLife + p.tank.terms.windows[0].span
}

// remembered is what is left of reservations in the windows that SQL knows of:
// triples of window, moment and calls.
func remembered(p *post, reservations []Reservation, now int64) []any {
	var args []any
	for i, w := range p.tank.terms.windows {
		if i+1 < p.first {
			continue
		}
		sums := map[int64]int64{}
		for _, r := range reservations {
			if at := gridUp(r.Until.UnixMilli()+w.span, w.step); at > now {
				sums[at] += r.Calls
			}
		}
		for at, calls := range sums {
			args = append(args, i+1, at, calls)
		}
	}
	return args
}
