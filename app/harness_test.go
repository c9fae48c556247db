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
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// roleVariable makes the test binary be a process of a fleet: nothing has to be
// built for a test of whole processes.
const roleVariable = "MAGPIE_TEST_ROLE"

// vendorVariable changes how the simulated vendors are: what a [simulator.Vendor]
// has, as JSON.
const vendorVariable = "MAGPIE_TEST_VENDOR"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "simulator":
		os.Exit(simulate())
	default:
		os.Exit(app.Run(app.UntilSignal(), app.Role(role), nil, os.Getenv, os.Stdout, os.Stderr))
	}
}

// simulate serves the simulated vendors and says where, as the processes do.
func simulate() int {
	vendor := simulator.Vendor{Key: "key", Latency: 5 * time.Millisecond}
	if text := os.Getenv(vendorVariable); text != "" {
		if err := json.Unmarshal([]byte(text), &vendor); err != nil { //nolint:musttag // both ends are in this file
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
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
	cmd        *exec.Cmd
	API        string `json:"api"`
	Ops        string `json:"operations"`
	lifeline   io.Closer
	complaints lockedBuffer // warnings and errors, for a test that fails
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
	t.Cleanup(func() {
		p.kill()
		if said := p.complaints.String(); t.Failed() && said != "" {
			t.Logf("%s %d complained:\n%s", role, p.cmd.Process.Pid, said)
		}
	})
	lines := bufio.NewScanner(log)
	var said bytes.Buffer
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), `"msg":"ready"`) {
			if err := json.Unmarshal(lines.Bytes(), p); err != nil {
				t.Fatal(err)
			}
			go p.listen(lines) // ends with the process
			return p
		}
	}
	t.Fatalf("the %s ended before it was ready:\n%s", role, said.String())
	return nil
}

// listen keeps the first complaints in a process's log.
func (p *process) listen(log *bufio.Scanner) {
	for kept := 0; log.Scan(); {
		if line := log.Text(); kept < 100 && !strings.Contains(line, `"level":"INFO"`) {
			kept++
			_, _ = p.complaints.Write([]byte(line + "\n"))
		}
	}
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
	env       []string // of its processes
	stop      func()   // PostgreSQL
	start     func()   // it again
	simulator *process
	api       *process
	workers   []*process
	batches   int // submitted
	org       string
	key       string
	admin     *client.Client
	customer  *client.Client
}

const (
	adminKey     = "administrator-of-the-test"
	fleetCredits = 200_000 * lookup.Credit
)

// newFleet starts a fleet in a database of the Redis that tests share.
func newFleet(t *testing.T, workers int, settings ...string) *fleet {
	t.Helper()
	rdb := testredis.Real(t)
	options := rdb.Options()
	return newFleetOn(t, rdb, fmt.Sprintf("unix://%s?db=%d", options.Addr, options.DB), workers, settings...)
}

// vendorSetting is the setting for vendors that are otherwise than usual.
func vendorSetting(t *testing.T, v simulator.Vendor) string {
	t.Helper()
	text, err := json.Marshal(v) //nolint:musttag // both ends are in this file
	if err != nil {
		t.Fatal(err)
	}
	return vendorVariable + "=" + string(text)
}

// newFleetOn starts a fleet that reaches its Redis at a URL. Settings come before
// those of the harness.
func newFleetOn(t *testing.T, rdb *redis.Client, redisURL string, workers int, settings ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, rdb: rdb}
	var database string
	database, f.stop, f.start = teststore.Restartable(t)
	f.simulator = spawn(t, "simulator", settings...)
	f.env = append([]string{
		"DATABASE_URL=" + database, "REDIS_URL=" + redisURL,
		"API_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0", "ADMIN_KEY=" + adminKey,
		"HUNTER_API_KEY=key", "HUNTER_URL=" + f.simulator.API + simulator.HunterPath, "HUNTER_PER_SECOND=1000",
		"PROSPEO_API_KEY=key", "PROSPEO_URL=" + f.simulator.API + simulator.ProspeoPath, "PROSPEO_PER_SECOND=1000",
		"CHUNK_ROWS=50", "WORKER_CONCURRENCY=3",
	}, settings...)
	f.api = spawn(t, "api", f.env...)
	for range workers {
		f.workers = append(f.workers, f.worker())
	}
	f.sell()
	return f
}

// worker starts a worker, perhaps with settings of its own.
func (f *fleet) worker(settings ...string) *process {
	f.t.Helper()
	return spawn(f.t, "worker", append(slices.Clone(f.env), settings...)...)
}

// sell makes an organization with a key and credits.
func (f *fleet) sell() {
	f.t.Helper()
	ctx := f.t.Context()
	var err error
	if f.admin, err = client.New(f.api.API, adminKey); err != nil {
		f.t.Fatal(err)
	}
	org, err := f.admin.CreateOrg(ctx, "Acme")
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := f.admin.CreateKey(ctx, org.ID, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.admin.Grant(ctx, org.ID, client.GrantRequest{Source: client.Purchase, Credits: fleetCredits, Reference: "invoice"}); err != nil {
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
	f.batches++ // no two of which ask the same
	for i := range rows {
		fmt.Fprintf(&file, "Ada%c,Byron%dx%d,company%d.example\n", 'a'+i%26, f.batches, i, i%97)
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
	if !within(limit, condition) {
		f.t.Fatalf("%s: not within %s", what, limit)
	}
}

// within reports whether the condition came to hold in time.
func within(limit time.Duration, condition func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

// awaitDone waits until so many rows of the batch are done. While PostgreSQL is
// away the API cannot tell.
func (f *fleet) awaitDone(id string, rows int64) {
	f.t.Helper()
	f.await(fmt.Sprintf("%d rows done", rows), 3*time.Minute, func() bool { return f.done(id) >= rows })
}

// done is how many rows of the batch are done; -1 if the API cannot tell.
func (f *fleet) done(id string) int64 {
	b, err := f.customer.Batch(f.t.Context(), id)
	if err != nil {
		return -1
	}
	return b.Rows.Done
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
	b, err := f.customer.Batch(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	if b.Status != client.Completed || b.Credits.Charged != lookup.Credits(b.Rows.Found)*lookup.Credit {
		f.t.Errorf("the batch is %s and was charged %s for %d found", b.Status, b.Credits.Charged, b.Rows.Found)
	}
	var stats simulator.Stats
	f.getJSON(f.simulator.API+"/stats", &stats)
	if int64(stats.ServedValid) != b.Rows.Found {
		f.t.Errorf("the vendors served %d addresses, %d were found", stats.ServedValid, b.Rows.Found)
	}
	f.wantProof()
}

// wantProof audits all there is, from the first entry on, until nothing is held
// and the gate was compared too.
func (f *fleet) wantProof() {
	f.t.Helper()
	var proofs client.Page[client.Proof]
	proven := within(time.Minute, func() bool {
		f.hasten()
		// An account that the gate has lost is loaded, so that there is something to
		// compare: by the second call if the first one met a new Redis.
		_, first := f.customer.Credits(f.t.Context())
		_, second := f.customer.Credits(f.t.Context())
		var err error
		proofs, err = f.admin.Audit(f.t.Context(), true, client.ListOptions{})
		if err := errors.Join(first, second, err); err != nil {
			f.t.Fatal(err)
		}
		return len(proofs.Data) > 0 && !slices.ContainsFunc(proofs.Data, func(p client.Proof) bool { return p.Busy || len(p.Differences) > 0 })
	})
	if !proven {
		f.t.Errorf("not proven within a minute: %+v", proofs.Data)
	}
}

// hasten makes all open holds overdue. The sweeper then sees at once to those
// whose settling was lost, and not when their five minutes are over.
func (f *fleet) hasten() {
	ctx := f.t.Context()
	for _, key := range f.rdb.Keys(ctx, "{magpie:*}:deadlines").Val() {
		for _, member := range f.rdb.ZRange(ctx, key, 0, -1).Val() {
			f.rdb.ZAddXX(ctx, key, redis.Z{Score: 1, Member: member})
		}
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
