package providers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/lookup"
)

// lua asks lease.lua at a moment of the test's own.
func lua(t *testing.T, rdb redis.UniversalClient, terms terms, a ask, now int64) grant {
	t.Helper()
	words, err := leaseScript.Run(t.Context(), rdb, []string{quotaKey("v")}, leaseArguments(strconv.FormatInt(now, 10), terms, a, 0, nil)...).StringSlice()
	if err != nil {
		t.Fatal(err)
	}
	g, _, _, err := parseGrant(words, len(terms.windows))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The script and the pool are two tellings of one story: in a fleet to which
// everything happens they never differ.
func TestScriptLeasesAsThePoolDoes(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		for _, limits := range []Limits{
			{PerSecond: 20, PerMinute: 300, MaxConcurrent: 5},
			{PerSecond: 200, MaxConcurrent: 50},
			{PerMinute: 60}, {MaxConcurrent: 3}, {PerSecond: 0.5},
		} {
			seed := rand.Uint64()
			w := newWorld(seed, limits, 20*time.Millisecond)
			w.harmful = true
			if err := rdb.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if err := restoreScript.Run(t.Context(), rdb, []string{quotaKey("v")}, w.now.UnixMilli(), 0).Err(); err != nil {
				t.Fatal(err)
			}
			asks := 0
			w.lease = func(a ask) grant {
				w.upset(&a)
				asks++
				want := w.pool.lease(w.terms, a, w.now.UnixMilli())
				got := lua(t, rdb, w.terms, a, w.now.UnixMilli())
				if got.factor-want.factor < 1e-6 && want.factor-got.factor < 1e-6 {
					got.factor = want.factor
				}
				if got.used = slices.Clone(got.used); len(got.used) == 0 {
					got.used = want.used
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, ask %d: the script says\n%+v, the pool\n%+v\nto %+v", seed, asks, got, want, a)
				}
				return got
			}
			for range 4 {
				w.join()
			}
			for n := range 4000 {
				w.step(3)
				if n%700 == 0 {
					w.harm()
				}
			}
			if asks < 25 || w.vendor.violations > 0 {
				t.Errorf("seed %d: %d asks, %d violations", seed, asks, w.vendor.violations)
			}
		}
	})
}

// upset adds news of all kinds to an ask.
func (w *world) upset(a *ask) {
	switch w.rnd.IntN(100) {
	case 0:
		a.news.throttled, a.news.after = true, w.rnd.Int64N(300)
	case 1:
		a.news.park, a.news.parkFor = Quota, w.rnd.Int64N(300)
	case 2:
		a.news.tripped = true
	case 3, 4, 5, 6, 7, 8, 9, 10, 11, 12:
		a.news.probe = w.rnd.Int64N(4)
	case 13:
		a.urgent = min(a.want, 1)
	}
}

// memory is a checkpoint that can refuse to store.
type memory struct {
	mu     sync.Mutex
	calls  map[string]Reservation
	broken bool
}

func (m *memory) Reserve(_ context.Context, _ string, all []Reservation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errors.New("no database")
	}
	if m.calls == nil {
		m.calls = map[string]Reservation{}
	}
	for _, r := range all {
		m.calls[r.ID] = r
	}
	return nil
}

func (m *memory) Reservations(_ context.Context, _ string, since time.Time) (all []Reservation, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.calls {
		if r.Until.After(since) {
			all = append(all, r)
		}
	}
	return all, nil
}

func (m *memory) fail(broken bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = broken
}

// vendor is a provider that counts what it is asked.
type vendor struct {
	mu     sync.Mutex
	calls  []time.Time
	answer func() Answer
}

func (v *vendor) Name() string               { return "v" }
func (v *vendor) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }
func (v *vendor) Ask(context.Context, lookup.Query) Answer {
	v.mu.Lock()
	v.calls = append(v.calls, time.Now())
	answer := v.answer
	v.mu.Unlock()
	if answer == nil {
		return Answer{Outcome: Miss}
	}
	return answer()
}

func (v *vendor) asked() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.calls)
}

func (v *vendor) say(answer func() Answer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = answer
}

// members starts n processes that share one vendor, each with some callers who
// ask all the time until the test ends.
type members struct {
	guards []*Guard
	stop   context.CancelFunc
	wg     sync.WaitGroup
	held   atomic.Int64
}

func startMembers(t *testing.T, rdb redis.UniversalClient, cp Checkpoint, v *vendor, limits Limits, n, callers int) *members {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m := &members{stop: cancel}
	for i := range n {
		f := NewFleet(FleetConfig{Redis: rdb, Checkpoint: cp, Log: slog.New(slog.DiscardHandler), Member: fmt.Sprint("m", i), Alone: true})
		g := NewGuard(v, limits, nil, nil)
		f.Join(g)
		m.guards = append(m.guards, g)
		m.wg.Go(func() { f.Run(ctx) })
		for range callers {
			m.wg.Go(func() {
				for ctx.Err() == nil {
					if g.Ask(ctx, lookup.Query{}).NotAsked {
						m.held.Add(1)
						sleep(ctx, 10*time.Millisecond)
					}
				}
			})
		}
	}
	t.Cleanup(m.end)
	return m
}

func (m *members) end() {
	m.stop()
	m.wg.Wait()
}

// until waits for a condition.
func until(t *testing.T, what string, limit time.Duration, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, limit)
		}
		sleep(t.Context(), 5*time.Millisecond)
	}
}

// A flush of Redis forgets nothing of the minute's quota, and without SQL
// nothing of it is leased.
func TestFlushForgetsNoUse(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		v, cp := &vendor{}, &memory{}
		m := startMembers(t, rdb, cp, v, Limits{PerMinute: 60, Burst: 60, PerDay: 1000}, 3, 4)
		until(t, "some calls", 5*time.Second, func() bool { return v.asked() >= 30 })
		if err := rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		sleep(t.Context(), 2*time.Second)
		if n := v.asked(); n > 60 {
			t.Errorf("%d calls within a minute of 60", n)
		}
		m.end()
	})
}

func TestWithoutSQLNothingOfAMinuteIsLeased(t *testing.T) {
	t.Parallel()
	rdb := testredis.Mini(t)
	v, cp := &vendor{}, &memory{}
	cp.fail(true)
	m := startMembers(t, rdb, cp, v, Limits{PerMinute: 60}, 1, 2)
	until(t, "callers are held back", 10*time.Second, func() bool { return m.held.Load() >= 2 })
	if v.asked() > 0 {
		t.Errorf("%d calls that SQL does not know of", v.asked())
	}
	cp.fail(false)
	until(t, "calls", 5*time.Second, func() bool { return v.asked() > 0 })
}

// Without Redis calls end with the leases, and begin again with it.
func TestCallsEndWithTheLease(t *testing.T) {
	t.Parallel()
	rdb, server := testredis.MiniServer(t)
	v := &vendor{}
	startMembers(t, rdb, &memory{}, v, Limits{PerSecond: 50, MaxConcurrent: 4}, 2, 3)
	until(t, "calls", 5*time.Second, func() bool { return v.asked() > 20 })
	server.SetError("away")
	sleep(t.Context(), leaseLife*time.Millisecond+100*time.Millisecond)
	before := v.asked()
	sleep(t.Context(), 500*time.Millisecond)
	if after := v.asked(); after != before {
		t.Errorf("%d calls after the leases had ended", after-before)
	}
	server.SetError("")
	until(t, "calls again", 5*time.Second, func() bool { return v.asked() > before+20 })
}

// One process learns that the key is refused: none asks again.
func TestParkIsShared(t *testing.T) {
	t.Parallel()
	rdb := testredis.Mini(t)
	v := &vendor{}
	v.say(func() Answer { return Answer{Outcome: Auth} })
	m := startMembers(t, rdb, &memory{}, v, Limits{PerSecond: 20, MaxConcurrent: 1, ParkFor: time.Minute}, 4, 2)
	until(t, "everybody is held back", 5*time.Second, func() bool {
		return !slices.ContainsFunc(m.guards, func(g *Guard) bool { return g.State().Condition != "parked" })
	})
	asked := v.asked()
	sleep(t.Context(), 500*time.Millisecond)
	if v.asked() != asked || asked > 4 {
		t.Errorf("%d calls to a vendor that refuses the key, then %d", asked, v.asked()-asked)
	}
}

// A pause that one process was told is everybody's.
func TestPauseIsShared(t *testing.T) {
	t.Parallel()
	rdb := testredis.Mini(t)
	v := &vendor{}
	m := startMembers(t, rdb, &memory{}, v, Limits{PerSecond: 100}, 4, 2)
	until(t, "calls", 5*time.Second, func() bool { return v.asked() > 40 })
	var once sync.Once
	v.say(func() Answer {
		a := Answer{Outcome: Miss}
		once.Do(func() { a = Answer{Outcome: Throttled, After: time.Minute} })
		return a
	})
	until(t, "everybody pauses", 5*time.Second, func() bool {
		return !slices.ContainsFunc(m.guards, func(g *Guard) bool { return time.Until(g.State().NotBefore) < 50*time.Second })
	})
	if rate := m.guards[3].State().Rate; rate != 50 {
		t.Errorf("the shared rate is %g after a refusal, want 50", rate)
	}
}

// A vendor that is down is probed by one process at a time, and when it is back
// all of them know.
func TestOneProbeForTheFleet(t *testing.T) {
	t.Parallel()
	rdb := testredis.Mini(t)
	v := &vendor{}
	m := startMembers(t, rdb, &memory{}, v, Limits{PerSecond: 400, MaxConcurrent: 40, OpenFor: 300 * time.Millisecond}, 8, 3)
	until(t, "calls", 5*time.Second, func() bool { return v.asked() > 40 })
	v.say(func() Answer { return Answer{Outcome: Transient} })
	until(t, "everybody knows", 5*time.Second, func() bool {
		return !slices.ContainsFunc(m.guards, func(g *Guard) bool { return g.State().Condition == "closed" })
	})
	before, began := v.asked(), time.Now()
	sleep(t.Context(), 2*time.Second)
	down := v.asked() - before
	if most := int(time.Since(began)/(300*time.Millisecond)) + 1; down > most || down < 2 {
		t.Errorf("%d calls to a vendor that is down for %s, want at least 2 probes and at most %d", down, time.Since(began), most)
	}
	v.say(nil)
	until(t, "calls again", 2*time.Second, func() bool { return v.asked() > before+down+50 })
	until(t, "all closed", 5*time.Second, func() bool {
		return !slices.ContainsFunc(m.guards, func(g *Guard) bool { return g.State().Condition != "closed" })
	})
}

// A process that has calls in hand when the vendor goes down asks to probe it all
// the same.
func TestCallsInHandDoNotKeepFromProbing(t *testing.T) {
	t.Parallel()
	g := NewGuard(&vendor{}, Limits{PerSecond: 400, MaxConcurrent: 40}, nil, nil)
	k, now := g.tank, time.Now()
	k.private, k.hasten = nil, func() {} // in a fleet
	k.until, k.stamps, k.inHand = k.since(now)+time.Second, []moment{{k.since(now), 2}}, 2
	k.trip()
	k.refused = 3
	if a := k.ask(now); a.want != 1 || a.held != 0 || a.places < 1 {
		t.Errorf("it wants %d calls in %d places and holds %d, want 1 in 1 and none", a.want, a.places, a.held)
	}
}

// Who was given the probe and has no question any more does not keep it from one
// who has: a worker whose batch was cancelled, from a lookup.
func TestProbeIsNotKeptForNothing(t *testing.T) {
	t.Parallel()
	few := terms{windows: []window{{"second", 1000, 5, 10}}, places: 4, callTime: 5000, openFor: 1000}
	play := func(t *testing.T, lease func(ask, int64) grant) {
		t.Helper()
		seq, now := int64(0), int64(1_000_000)
		asks := func(member string, want int64, tripped bool) bool {
			seq++
			return lease(ask{member: member, seq: seq, want: want, places: want, news: news{tripped: tripped}}, now).probe
		}
		asks("worker", 1, true)
		now += few.openFor
		if !asks("worker", 1, false) || asks("api", 1, false) {
			t.Error("the probe is not the first's alone")
		}
		for range 20 { // longer than a call
			now += 300
			asks("worker", 0, false)
		}
		if !asks("api", 1, false) || asks("worker", 1, false) {
			t.Error("a process without questions kept the probe")
		}
	}
	p := newPool(few)
	play(t, func(a ask, now int64) grant { return p.lease(few, a, now) })
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		if err := restoreScript.Run(t.Context(), rdb, []string{quotaKey("v")}, 0, 0).Err(); err != nil {
			t.Fatal(err)
		}
		play(t, func(a ask, now int64) grant { return lua(t, rdb, few, a, now) })
	})
}

// What somebody waits for goes before batches, also those of other processes.
func TestInteractiveGoesFirst(t *testing.T) {
	t.Parallel()
	rdb := testredis.Mini(t)
	v := &vendor{}
	m := startMembers(t, rdb, &memory{}, v, Limits{PerSecond: 10, Patience: 5 * time.Second}, 4, 20)
	until(t, "calls", 5*time.Second, func() bool { return v.asked() > 10 })
	for i := range 4 {
		began := time.Now()
		if a := m.guards[i].Ask(Interactive(t.Context()), lookup.Query{}); a.NotAsked || time.Since(began) > 1500*time.Millisecond {
			t.Errorf("after %s: %+v", time.Since(began), a)
		}
	}
}

// The keys of a quota are in one slot of a cluster.
func TestLeasesOnACluster(t *testing.T) {
	t.Parallel()
	v := &vendor{}
	startMembers(t, testredis.Cluster(t), &memory{}, v, Limits{PerSecond: 100, PerMinute: 1000, MaxConcurrent: 10}, 2, 2)
	until(t, "calls", 10*time.Second, func() bool { return v.asked() > 50 })
}

// Scripts say what they take and answer.
func TestGrantsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{nil, {"1"}, strings.Fields("1 2 3 4 5 6 7 8 9 10 id 11 x")} {
		if _, _, _, err := parseGrant(words, 1); err == nil {
			t.Errorf("%v was read", words)
		}
	}
}
