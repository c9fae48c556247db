package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/store"
)

// roleVariable makes the test binary be a process of a fleet: nothing has to be
// built for a test of whole processes.
const roleVariable = "MAGPIE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "simulator":
		os.Exit(simulate())
	default:
		os.Exit(app.Run(app.UntilSignal(), app.Role(role), nil, os.Getenv, os.Stderr))
	}
}

// simulate serves the simulated vendors and says where, as the processes do.
func simulate() int {
	vendor := simulator.Vendor{Key: "key", Latency: 5 * time.Millisecond, Quota: simulator.Quota{PerSecond: 2000}}
	world, err := simulator.New(simulator.Config{Seed: 3, Hunter: vendor, Prospeo: vendor})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server := httptest.NewServer(world)
	fmt.Fprintf(os.Stderr, `{"msg":"ready","api":%q}`+"\n", server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test lets go
	server.Close()
	return 0
}

// process is a process of the fleet, as it said it is ready.
type process struct {
	cmd      *exec.Cmd
	API      string `json:"api"`
	Ops      string `json:"operations"`
	lifeline io.Closer
}

// spawn starts a process with the environment and waits until it is ready.
func spawn(t *testing.T, role string, env ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(context.Background(), exe)}
	p.cmd.Env = append(os.Environ(), append(env, roleVariable+"="+role)...)
	if p.lifeline, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	lines := bufio.NewScanner(log)
	var said bytes.Buffer
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), `"msg":"ready"`) {
			if err := json.Unmarshal(lines.Bytes(), p); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the process
			return p
		}
	}
	t.Fatalf("the %s ended before it was ready:\n%s", role, said.String())
	return nil
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()
}

// fleet is an API, workers and simulated vendors over real servers.
type fleet struct {
	t         *testing.T
	rdb       *redis.Client
	url       string // of PostgreSQL
	key       string // of the organization
	stop      func() // PostgreSQL
	start     func() // it again
	simulator *process
	api       *process
	workers   []*process
	org       string
	customer  *client.Client
}

const (
	adminKey     = "administrator-of-the-test"
	fleetCredits = 100_000 * lookup.Credit
)

func newFleet(t *testing.T, workers int) *fleet {
	t.Helper()
	f := &fleet{t: t, rdb: testredis.Real(t)}
	f.url, f.stop, f.start = teststore.Restartable(t)
	f.simulator = spawn(t, "simulator")
	options := f.rdb.Options()
	env := []string{
		"DATABASE_URL=" + f.url, fmt.Sprintf("REDIS_URL=unix://%s?db=%d", options.Addr, options.DB),
		"API_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0", "ADMIN_KEY=" + adminKey,
		"HUNTER_API_KEY=key", "HUNTER_URL=" + f.simulator.API + simulator.HunterPath, "HUNTER_PER_SECOND=250",
		"PROSPEO_API_KEY=key", "PROSPEO_URL=" + f.simulator.API + simulator.ProspeoPath, "PROSPEO_PER_SECOND=250",
		"CHUNK_ROWS=50", "WORKER_CONCURRENCY=3",
	}
	f.api = spawn(t, "api", env...)
	for range workers {
		f.workers = append(f.workers, spawn(t, "worker", env...))
	}
	f.sell()
	return f
}

// sell makes an organization with a key and credits.
func (f *fleet) sell() {
	f.t.Helper()
	ctx := f.t.Context()
	admin, err := client.New(f.api.API, adminKey)
	if err != nil {
		f.t.Fatal(err)
	}
	org, err := admin.CreateOrg(ctx, "Acme")
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := admin.CreateKey(ctx, org.ID, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := admin.Grant(ctx, org.ID, client.GrantRequest{Source: client.Purchase, Credits: fleetCredits, Reference: "invoice"}); err != nil {
		f.t.Fatal(err)
	}
	f.org, f.key = org.ID, key.Secret
	if f.customer, err = client.New(f.api.API, key.Secret); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) submit(rows int) client.Batch {
	f.t.Helper()
	var file strings.Builder
	file.WriteString("First Name,Last Name,Domain\n")
	for i := range rows {
		fmt.Fprintf(&file, "Ada%c,Byron%d,company%d.example\n", 'a'+i%26, i, i%97)
	}
	b, err := f.customer.Submit(f.t.Context(), client.SubmitRequest{
		Service: lookup.EmailFinder, Reader: strings.NewReader(file.String()), ContentType: "text/csv",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// await waits until the condition holds.
func (f *fleet) await(what string, limit time.Duration, condition func() bool) {
	f.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			f.t.Fatalf("%s: not within %s", what, limit)
		case <-tick.C:
		}
	}
}

// awaitDone waits until so many rows of the batch are done. While PostgreSQL is
// away the API cannot tell.
func (f *fleet) awaitDone(id string, rows int64) {
	f.t.Helper()
	f.await(fmt.Sprintf("%d rows done", rows), 90*time.Second, func() bool {
		b, err := f.customer.Batch(f.t.Context(), id)
		return err == nil && b.Rows.Done >= rows
	})
}

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

func (f *fleet) wantEveryRowOnce(id string, rows int) {
	f.t.Helper()
	results, err := f.customer.Results(f.t.Context(), id, client.ResultsOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer results.Close()
	decoder := json.NewDecoder(results)
	for n := range rows {
		var row lookup.Row
		if err := decoder.Decode(&row); err != nil || row.Row == nil || *row.Row != int64(n) || row.Outcome == nil {
			f.t.Fatalf("row %d: %+v, %v", n, row, err)
		}
		if found := *row.Outcome == lookup.Found && !row.Reused; found != (row.Credits == lookup.Credit) || *row.Outcome == lookup.Failed {
			f.t.Errorf("row %d is %s at %s", n, *row.Outcome, row.Credits)
		}
	}
	if decoder.More() {
		f.t.Error("there are more rows than were submitted")
	}
}

// wantSound compares batch, books, gate and what the vendors say they served.
func (f *fleet) wantSound(id string) {
	f.t.Helper()
	ctx := f.t.Context()
	b, err := f.customer.Batch(ctx, id)
	if err != nil {
		f.t.Fatal(err)
	}
	db, err := store.OpenPostgres(ctx, f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close()
	gate := ledger.New(f.rdb)
	var sums books.Totals
	f.await("gate equal to SQL", 30*time.Second, func() bool {
		if sums, err = books.Sums(ctx, db, f.org); err != nil {
			f.t.Fatal(err)
		}
		balance, err := gate.Balance(ctx, f.org)
		return err == nil && balance.Held == 0 && balance.Available == int64(sums.Available)
	})
	for _, d := range sums.Differences() {
		f.t.Error(d)
	}
	if sums.Charged != b.Credits.Charged || sums.Charged != lookup.Credits(b.Rows.Found)*lookup.Credit {
		f.t.Errorf("%s charged for %d found, the batch says %s", sums.Charged, b.Rows.Found, b.Credits.Charged)
	}
	var stats simulator.Stats
	f.getJSON(f.simulator.API+"/stats", &stats)
	if int64(stats.ServedValid) != b.Rows.Found {
		f.t.Errorf("the vendors served %d addresses, %d were found", stats.ServedValid, b.Rows.Found)
	}
}

func (f *fleet) getJSON(url string, v any) {
	f.t.Helper()
	if err := json.Unmarshal(f.get(url, http.StatusOK), v); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) get(url string, want int) []byte {
	f.t.Helper()
	return get(f.t, url, want)
}

func get(t *testing.T, url string, want int) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		t.Fatalf("%s: %d %s, %v; want %d", url, response.StatusCode, body, err, want)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return body
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
	go func() { ended <- app.Run(ctx, app.API, nil, func(name string) string { return env[name] }, &log) }()
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
