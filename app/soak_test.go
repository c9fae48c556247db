package app_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/tasks"
)

// stage is a fleet with a Redis of its own, behind a proxy, in the middle of a
// batch.
type stage struct {
	*fleet

	server *testredis.Server
	proxy  *proxy
	batch  string
	rows   int64
	time   time.Duration // that a disaster lasts, if it has no time of its own
}

// disaster is what goes wrong while a batch runs. Afterwards every row must have
// been answered once and charged once, and an audit must find nothing.
type disaster struct {
	name     string
	quick    bool // also when there is little time
	rows     int64
	workers  int
	server   []string // options of Redis
	settings []string // of all processes
	strike   func(s *stage)
}

// disasters are those that a ledger in two systems has to survive. A clock
// that jumps is here only as an account sees it, since processes share the
// machine's clock; enrich moves the clocks themselves.
var disasters = []disaster{
	{name: "a worker is killed, at any moment", strike: killWorkers},
	{name: "a worker stands still while others take over", strike: freezeWorkers},
	{name: "a chunk is delivered to two workers", quick: true, strike: deliverTwice},
	{name: "answers of Redis are lost", quick: true, strike: loseAnswers},
	{name: "Redis is killed", server: []string{"--appendonly", "yes", "--appendfsync", "everysec"}, strike: killRedis},
	{name: "Redis is emptied every second", rows: 100_000, settings: []string{"CHUNK_ROWS=200", "HUNTER_PER_SECOND=900", "PROSPEO_PER_SECOND=900"}, strike: emptyRedis},
	{name: "a replica that lags is promoted", strike: promoteReplicas},
	{name: "Redis is full", strike: fillRedis},
	{name: "Redis is busy", server: []string{"--enable-debug-command", "yes"}, strike: occupyRedis},
	{name: "PostgreSQL is away for a minute", strike: stopPostgres},
	{name: "the clock of an account jumps by an hour", strike: moveClock},
	{name: "a subscription is renewed over a thousand holds", rows: 6000, workers: 4, strike: renewSubscription, settings: []string{
		"CHUNK_ROWS=2", "WINDOW=1200", "WORKER_CONCURRENCY=320", "WORKER_SERVERS=4", "HUNTER_CONCURRENT=1000", "PROSPEO_CONCURRENT=1000",
		"HUNTER_PER_SECOND=1000", "PROSPEO_PER_SECOND=1000", vendorVariable + `={"Key": "key", "Latency": 3000000000}`,
	}},
	{name: "two versions of the scripts run side by side", rows: 40_000, strike: mixVersions},
	{name: "keys of the account are corrupt", strike: corruptKeys},
}

// With MAGPIE_SOAK all of them happen, at full length; else two, shortly.
func TestFleetSurvives(t *testing.T) {
	t.Parallel()
	soak := os.Getenv("MAGPIE_SOAK") != ""
	for _, d := range disasters {
		if !soak && !d.quick {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.happen(t, soak)
		})
	}
}

func (d disaster) happen(t *testing.T, soak bool) {
	s := &stage{server: testredis.Restartable(t, d.server...), rows: 3000, time: 2 * time.Second}
	if soak {
		s.rows, s.time = 20_000, 20*time.Second
	}
	if d.rows > 0 {
		s.rows = d.rows
	}
	s.proxy = newProxy(t, s.server.Options(), nil)
	s.fleet = newFleetOn(t, s.proxy.client(t), s.proxy.url(), max(3, d.workers), d.settings...)
	began := time.Now()
	s.batch = s.submit(int(s.rows)).ID
	s.awaitDone(s.batch, s.rows/50)
	struck := time.Now()
	d.strike(s)
	over, done := time.Now(), s.done(s.batch)
	if done == s.rows {
		t.Error("the batch was done before the disaster was over; that proves little")
	}
	s.awaitDone(s.batch, s.rows)
	t.Logf("%d rows in %s; the disaster from %s to %s, with %d rows done then", s.rows, time.Since(began).Round(time.Second),
		struck.Sub(began).Round(time.Second), over.Sub(began).Round(time.Second), done)
	s.wantEveryRowOnce(s.batch, int(s.rows))
	s.wantSound(s.batch)
}

// A replica that was master before is promoted, which has missed whole rounds,
// from hold to settle. Nothing is in flight, so nobody comes to ask for them.
func TestKnownReplicaIsPromoted(t *testing.T) {
	t.Parallel()
	s := &stage{server: testredis.Restartable(t)}
	s.proxy = newProxy(t, s.server.Options(), nil)
	s.fleet = newFleetOn(t, s.proxy.client(t), s.proxy.url(), 1)
	p := newPair(s)
	for range 2 { // the second time it is the master of the beginning
		p.follow()
		p.lag()
		s.more(200)
		p.promote()
		s.wantProof()
	}
}

// more lets a batch of other rows be done.
func (s *stage) more(rows int64) {
	s.t.Helper()
	s.batch = s.submit(int(rows)).ID
	s.awaitDone(s.batch, rows)
}

// during does something again and again for a time, each a while after the other.
func (s *stage) during(length, every time.Duration, do func()) {
	end := time.NewTimer(length)
	defer end.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		do()
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

// wait lets time pass in which the fleet is left alone.
func (s *stage) wait(length time.Duration) { s.during(length, length, func() {}) }

// must ends the test if Redis did not do what the test itself asked of it.
func (s *stage) must(cmd redis.Cmder) {
	s.t.Helper()
	if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatal(err)
	}
}

// killWorkers kills one worker after the other, each in the middle of its
// chunks, and hires another.
func killWorkers(s *stage) {
	killed := 0
	s.during(s.time, 500*time.Millisecond, func() {
		s.wait(rand.N(500 * time.Millisecond))
		at := rand.IntN(len(s.workers))
		s.workers[at].kill()
		s.workers[at] = s.worker()
		killed++
	})
	s.t.Logf("%d workers killed", killed)
}

// freezeWorkers stops workers for longer than a worker may be silent. They wake
// up in the middle of rounds that others have taken over meanwhile.
func freezeWorkers(s *stage) {
	for _, w := range s.workers[:2] {
		if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			s.t.Fatal(err)
		}
		s.wait(14 * time.Second)
		if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			s.t.Fatal(err)
		}
	}
}

// deliverTwice enqueues the rounds that run once more, on another queue, where
// their tasks' ids are not taken.
func deliverTwice(s *stage) {
	queue := asynq.NewClientFromRedisClient(s.rdb)
	twice := 0
	s.during(s.time, 50*time.Millisecond, func() {
		for round := range s.rdb.HGetAll(s.t.Context(), "magpie:running").Val() {
			parts := strings.Split(round, ":")
			payload := fmt.Appendf(nil, `{"batch":%q,"chunk":%s,"round":%s,"org":%q,"service":%q}`, parts[0], parts[1], parts[2], s.org, lookup.EmailFinder)
			_, err := queue.EnqueueContext(s.t.Context(), asynq.NewTask(tasks.TypeChunk, payload), asynq.TaskID(round), asynq.Queue(tasks.Express))
			switch {
			case err == nil:
				twice++
			case !errors.Is(err, asynq.ErrTaskIDConflict):
				s.t.Fatal(err)
			}
		}
	})
	if s.t.Logf("%d rounds delivered twice", twice); twice == 0 {
		s.t.Error("no round was delivered twice")
	}
}

// loseAnswers cuts connections after the server did what it was asked, and before
// the answer arrives.
func loseAnswers(s *stage) {
	var lost atomic.Int64
	s.proxy.meanwhile(func() fate {
		if rand.IntN(50) > 0 {
			return arrives
		}
		lost.Add(1)
		return breaks
	})
	s.wait(s.time)
	s.proxy.meanwhile(func() fate { return arrives })
	if s.t.Logf("%d answers lost", lost.Load()); lost.Load() == 0 {
		s.t.Error("no answer was lost")
	}
}

// killRedis kills a Redis that writes to disk every second, three times.
func killRedis(s *stage) {
	for range 3 {
		s.server.Kill()
		s.wait(time.Second)
		s.server.Start()
		s.wait(s.time / 4)
	}
}

// emptyRedis loses queues, windows and accounts alike.
func emptyRedis(s *stage) {
	s.during(30*time.Second, time.Second, func() { s.must(s.rdb.FlushAll(s.t.Context())) })
}

// promoteReplicas promotes a replica that has missed what came last, and after
// it its former master, which is known and has missed something too.
func promoteReplicas(s *stage) {
	p := newPair(s)
	for range 3 {
		p.follow()
		s.wait(s.time / 8)
		p.lag()
		s.wait(2 * time.Second)
		p.promote()
		s.wait(s.time / 8)
	}
}

// pair is a master, behind the stage's proxy, and its replica.
type pair struct {
	*stage

	master, replica *node
	link            *proxy // between the two
}

type node struct {
	*redis.Client

	at   *redis.Options
	port string
}

func newPair(s *stage) *pair {
	listening := func(server *testredis.Server) *node {
		n := &node{Client: server.Client(), at: server.Options(), port: strconv.Itoa(testredis.FreePort(s.t))}
		s.must(n.ConfigSet(s.t.Context(), "port", n.port))
		s.must(n.ConfigSet(s.t.Context(), "repl-diskless-sync-delay", "0")) // only one replica is to be waited for
		return n
	}
	return &pair{stage: s, master: listening(s.server), replica: listening(testredis.Restartable(s.t))}
}

// follow makes the replica have all that the master has.
func (p *pair) follow() {
	ctx := p.t.Context()
	p.link = newProxy(p.t, &redis.Options{Network: "tcp", Addr: "127.0.0.1:" + p.master.port}, nil)
	host, port, _ := strings.Cut(p.link.Addr().String(), ":")
	p.must(p.replica.ReplicaOf(ctx, host, port))
	p.await("a replica", 20*time.Second, func() bool {
		return strings.Contains(p.replica.Info(ctx, "replication").Val(), "master_link_status:up")
	})
}

// lag keeps the replica from hearing anything more.
func (p *pair) lag() { p.link.meanwhile(func() fate { return vanishes }) }

// promote puts the replica in its master's place.
func (p *pair) promote() {
	p.must(p.replica.ReplicaOf(p.t.Context(), "NO", "ONE"))
	p.proxy.promote(p.replica.at)
	p.master, p.replica = p.replica, p.master
}

// fillRedis leaves Redis no memory. What is held must be released all the same.
func fillRedis(s *stage) {
	gate := ledger.New(s.rdb)
	s.must(s.rdb.ConfigSet(s.t.Context(), "maxmemory", "1"))
	s.await("all holds released", 30*time.Second, func() bool {
		balance, err := gate.Balance(s.t.Context(), s.org)
		return err == nil && balance.Held == 0
	})
	s.wait(s.time / 2)
	s.must(s.rdb.ConfigSet(s.t.Context(), "maxmemory", "0"))
}

// occupyRedis keeps Redis from answering: with scripts, during which it says
// that it is busy, and by standing still for longer than a worker may be silent.
func occupyRedis(s *stage) {
	const longScript = `local ends = redis.call('TIME')[1] + ARGV[1]; while redis.call('TIME')[1] + 0 < ends do end`
	ctx, patient := s.t.Context(), s.server.Options()
	patient.ReadTimeout = time.Minute
	rdb := redis.NewClient(patient)
	defer func() { _ = rdb.Close() }()
	s.must(rdb.ConfigSet(ctx, "busy-reply-threshold", "100"))
	for range 3 {
		s.must(rdb.Eval(ctx, longScript, nil, 5))
		s.wait(s.time / 10)
	}
	s.must(rdb.Do(ctx, "DEBUG", "SLEEP", "13"))
}

func stopPostgres(s *stage) {
	s.stop()
	s.wait(time.Minute)
	s.start()
}

// moveClock puts the account's clock an hour ahead, where it would be if the
// server's had jumped an hour forward and back. Credits that end in half an hour
// are there, so that they seem to have ended.
func moveClock(s *stage) {
	s.subscribe("half an hour", 30*time.Minute)
	const ahead = `local a = redis.call('GET', KEYS[1])
		if a then redis.call('SET', KEYS[1], (string.gsub(a, '^(2' .. string.rep(' %d+', 10) .. ' )(%d+)', function(before, clock)
			return before .. string.format('%.0f', clock + 3600000) end))) end
		return a and 1 or 0`
	moved := int64(0)
	s.during(s.time, 4*time.Second, func() {
		for _, account := range s.rdb.Keys(s.t.Context(), "*:account:"+s.org).Val() {
			n, err := s.rdb.Eval(s.t.Context(), ahead, []string{account}).Int64()
			if err != nil {
				s.t.Fatal(err)
			}
			moved += n
		}
	})
	if moved == 0 {
		s.t.Error("no clock was moved")
	}
}

// subscribe grants credits of a billing cycle.
func (s *stage) subscribe(reference string, ends time.Duration) {
	s.t.Helper()
	at := time.Now().Add(ends)
	_, err := s.admin.Grant(s.t.Context(), s.org, client.GrantRequest{
		Source: client.Subscription, Credits: 3000 * lookup.Credit, Reference: reference, ExpiresAt: &at,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// renewSubscription ends a cycle with a thousand holds of it open.
func renewSubscription(s *stage) {
	gate := ledger.New(s.rdb)
	s.subscribe("one", time.Hour)
	var old ledger.Balance
	s.await("a thousand holds", time.Minute, func() bool {
		var err error
		old, err = gate.Balance(s.t.Context(), s.org)
		return err == nil && old.Open >= 1000 && old.Lots[0].Held >= 1000*int64(lookup.Credit) // it ends first
	})
	s.subscribe("two", 2*time.Hour)
	balance, err := gate.Balance(s.t.Context(), s.org)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.t.Logf("%d holds open, of %+v", balance.Open, balance.Lots); balance.Open < 500 || balance.Expired == 0 || balance.Lots[0].ID != old.Lots[0].ID {
		s.t.Errorf("%+v; want open holds of the old cycle, and its rest expired", balance)
	}
}

// mixVersions hires workers whose scripts have another format, as those of a
// newer version would, and lets the old ones go.
func mixVersions(s *stage) {
	newer := newProxy(s.t, s.server.Options(), nextVersion(s))
	setting := "REDIS_URL=" + newer.url()
	s.workers = append(s.workers, s.worker(setting))
	s.wait(s.time / 2)
	for i := range s.workers[:3] {
		s.workers[i].kill()
		s.workers[i] = s.worker(setting)
		s.wait(s.time / 4)
	}
}

// nextVersion loads the gate's scripts with a format of 3 instead of 2, and
// returns what makes a client run those.
func nextVersion(s *stage) *strings.Replacer {
	source := func(name string) string {
		text, err := os.ReadFile("../ledger/" + name + ".lua")
		if err != nil {
			s.t.Fatal(err)
		}
		return string(text)
	}
	newer := strings.NewReplacer("'^2 ", "'^3 ", "'2 %s", "'3 %s", "~= '2'", "~= '3'")
	load := func(text string) string {
		sha, err := s.rdb.ScriptLoad(s.t.Context(), text).Result()
		if err != nil {
			s.t.Fatal(err)
		}
		return sha
	}
	head := fmt.Sprintf("local LONGEST, MAXLOTS = %d, %d\n", ledger.LongestHold.Milliseconds(), ledger.MaxLots) + source("account")
	lots := head + source("lots")
	var pairs []string
	for name, before := range map[string]string{
		"hold": head, "extend": head, "settle": head, "threshold": head, "balance": head,
		"grant": lots, "refresh": lots, "refund": lots, "load": lots,
	} {
		text := before + source(name)
		if name == "hold" && !s.rdb.ScriptExists(s.t.Context(), redis.NewScript(text).Hash()).Val()[0] {
			s.t.Fatal("the scripts are put together in another way than here")
		}
		pairs = append(pairs, load(text), load(newer.Replace(text)))
	}
	return strings.NewReplacer(pairs...)
}

// corruptKeys puts something that no script wrote where the account, its scopes,
// its holds and their deadlines are.
func corruptKeys(s *stage) {
	ctx := s.t.Context()
	spoilt := 0
	s.during(s.time, 700*time.Millisecond, func() {
		for i, pattern := range []string{"*:account:" + s.org, "*:scopes:" + s.org, "*:hold:" + s.org + ":*", "{magpie:*}:deadlines"} {
			keys := s.rdb.Keys(ctx, pattern).Val()
			if len(keys) == 0 || rand.IntN(2) == 0 {
				continue
			}
			key := keys[rand.IntN(len(keys))]
			_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Del(ctx, key)
				if i == 1 || rand.IntN(2) == 0 {
					p.RPush(ctx, key, "garbage")
				} else {
					p.Set(ctx, key, "garbage", 0)
				}
				return nil
			})
			if err != nil {
				s.t.Fatal(err)
			}
			spoilt++
		}
	})
	if s.t.Logf("%d keys spoilt", spoilt); spoilt == 0 {
		s.t.Error("no key was spoilt")
	}
}
