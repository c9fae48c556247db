package tasks_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

// running lists the Asynq servers that Redis knows, as "queue:concurrency".
func (f *fleet) running() []string {
	f.t.Helper()
	servers, err := asynq.NewInspectorFromRedisClient(f.rdb).Servers()
	if err != nil {
		f.t.Fatal(err)
	}
	var all []string
	for _, s := range servers {
		queue := tasks.Bulk
		if s.Queues[tasks.Bulk] == 0 {
			queue = "reserved"
		}
		all = append(all, fmt.Sprintf("%s:%d", queue, s.Concurrency))
	}
	slices.Sort(all)
	return all
}

// The chunks of a worker are spread over its servers, and their sum stays.
func TestServersShareTheConcurrency(t *testing.T) {
	t.Parallel()
	teststore.Both(t, func(t *testing.T, rdb *redis.Client, db *store.DB) {
		f := newFleet(t, rdb, db)
		r := f.workerWith("one", func(c *tasks.Config) { c.Concurrency, c.Servers, c.Reserved = 10, 4, 1 })
		want := []string{"bulk:2", "bulk:2", "bulk:3", "bulk:3", "reserved:1"}
		f.await(fmt.Sprint(want), func() bool { return slices.Equal(f.running(), want) })
		f.wantPaid(f.batch(f.org("org_a", 1000*lookup.Credit), 200))
		r.Stop()
		if left := f.running(); len(left) > 0 {
			t.Errorf("after the stop there are still %q", left)
		}
		if left := f.rdb.HLen(t.Context(), "magpie:running").Val(); left > 0 {
			t.Errorf("%d rounds are noted as running", left)
		}
	})
}

// Two servers fetch at the same time: neither waits for the other's answer. With
// one server, nothing would ever meet.
func TestServersFetchAtTheSameTime(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	m := &meeting{of: 2, met: make(chan struct{})}
	f.rdb.AddHook(m)
	f.workerWith("one", func(c *tasks.Config) { c.Concurrency, c.Servers = 2, 2 })
	t.Cleanup(m.end) // so that a worker of which nothing meets can be stopped
	f.await("two fetches at once", func() bool {
		select {
		case <-m.met:
			return true
		default:
			return false
		}
	})
}

// meeting keeps fetches from the bulk queue waiting until so many are under way.
type meeting struct {
	mu   sync.Mutex
	here int
	of   int
	met  chan struct{}
	once sync.Once
}

func (m *meeting) end() { m.once.Do(func() { close(m.met) }) }

func (m *meeting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *meeting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		text := fmt.Sprint(cmd.Args()...)
		// Dequeue is the script that is given pending, paused and active.
		if strings.Contains(text, "{bulk}:pending") && strings.Contains(text, "{bulk}:paused") {
			m.enter()
			<-m.met
		}
		return next(ctx, cmd)
	}
}

func (m *meeting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (m *meeting) enter() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.here++; m.here == m.of {
		m.end()
	}
}

func TestMoreServersThanChunksAreRefused(t *testing.T) {
	t.Parallel()
	for servers, want := range map[int]bool{-1: false, 0: true, 1: true, 4: true, 5: false} {
		if err := (tasks.Config{Concurrency: 4, Servers: servers}).Validate(); (err == nil) != want {
			t.Errorf("%d servers for 4 chunks: %v", servers, err)
		}
	}
}
