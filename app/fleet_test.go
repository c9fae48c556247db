package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/lookup"
)

// One batch through real processes: a worker is killed, Redis loses everything,
// PostgreSQL is restarted. Every row is answered once and charged once.
func TestFleetLosesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	const rows = 4000
	b := f.submit(rows)

	f.awaitDone(b.ID, rows/8)
	f.workers[0].kill()
	killed := time.Now()
	running := func() map[string]string { return f.rdb.HGetAll(t.Context(), "magpie:running").Val() }
	left := running()
	f.await("the chunks of the dead worker elsewhere", 15*time.Second, func() bool {
		now := running()
		for round, worker := range left {
			if now[round] == worker {
				return false
			}
		}
		return true
	})
	t.Logf("%d rounds were running; all of them over or elsewhere after %s", len(left), time.Since(killed))

	f.awaitDone(b.ID, rows*4/10)
	if err := f.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.awaitDone(b.ID, rows*6/10)
	f.stop()
	f.start()
	f.awaitDone(b.ID, rows)
	f.wantEveryRowOnce(b.ID, rows)
	f.wantSound(b.ID)
}

// A worker that is told to stop ends in time with status 0, and what it was
// doing is done by others at once: nothing waits for its silence to be noticed.
func TestWorkerStopsInOrder(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	const rows = 1500
	b := f.submit(rows)
	f.awaitDone(b.ID, rows/5)
	for _, name := range []string{"/healthz", "/readyz"} {
		f.get(f.workers[0].Ops+name, http.StatusOK)
	}
	metrics := string(f.get(f.workers[0].Ops+"/metrics", http.StatusOK))
	for _, want := range []string{`magpie_lookups_total{outcome="found",service="email-finder"}`, `magpie_queue_tasks{queue="bulk",state="active"}`, `magpie_provider_calls_total`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if err := f.workers[0].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := f.workers[0].cmd.Wait(); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
	if slices.Contains(f.rdb.HVals(t.Context(), "magpie:running").Val(), "") {
		t.Error("a round runs nowhere")
	}
	f.awaitDone(b.ID, rows)
	f.wantEveryRowOnce(b.ID, rows)
	f.wantSound(b.ID)
}

// While PostgreSQL is away, a lookup is refused with 503 and a time to come
// back; afterwards it is answered.
func TestLookupWithoutDatabase(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	ask := func() error {
		_, err := f.customer.Lookup(t.Context(), client.LookupRequest{
			Service: lookup.MobileValidation, Fields: map[string]string{"number": "+442079460958"},
		})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	patient, err := client.New(f.api.API, f.key, client.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	f.customer = patient
	f.stop()
	problem, ok := errors.AsType[*client.Error](ask())
	if !ok || problem.Status != http.StatusServiceUnavailable || problem.RetryAfter <= 0 {
		t.Errorf("%+v, want 503 with Retry-After", problem)
	}
	f.get(f.api.Ops+"/readyz", http.StatusServiceUnavailable)
	f.start()
	f.await("an answer", 30*time.Second, func() bool { return ask() == nil })
}

// A process whose servers are not there yet says which it waits for, and goes on
// when they come.
func TestProcessWaitsForItsServers(t *testing.T) {
	t.Parallel()
	rdb := testredis.Real(t)
	options := rdb.Options()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log lockedBuffer
	env := map[string]string{
		"DATABASE_URL": "postgres://magpie:hunter2@127.0.0.1:1/magpie", "REDIS_URL": fmt.Sprintf("unix://%s?db=%d", options.Addr, options.DB),
		"API_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0", "ADMIN_KEY": adminKey,
	}
	ended := make(chan int)
	go func() { ended <- app.Run(ctx, app.API, nil, func(name string) string { return env[name] }, &log, &log) }()
	f := &fleet{t: t}
	f.await("a word about PostgreSQL", 10*time.Second, func() bool { return strings.Contains(log.String(), "waiting for a server") })
	if said := log.String(); !strings.Contains(said, "PostgreSQL") || strings.Contains(said, "hunter2") {
		t.Errorf("log: %s", said)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d after it was told to stop", code)
	}
}

// lockedBuffer is written by a process and read by its test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
