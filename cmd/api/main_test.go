package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
)

const asProcess = "MAGPIE_TEST_MAIN" // makes the test binary be the program

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		main()
	}
	os.Exit(m.Run())
}

const adminKey = "administrator-of-the-test"

// process is a running api.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	API string `json:"api"`
	Ops string `json:"operations"`
}

// start runs the program on real servers until it is ready.
func start(t *testing.T) *process {
	t.Helper()
	redis, exe := testredis.Real(t).Options(), os.Args[0]
	p := &process{t: t, cmd: exec.CommandContext(context.Background(), exe)}
	p.cmd.Env = append(os.Environ(), asProcess+"=1", "DATABASE_URL="+teststore.PostgresURL(t),
		fmt.Sprintf("REDIS_URL=unix://%s?db=%d", redis.Addr, redis.DB), "API_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0",
		"ADMIN_KEY="+adminKey, "HUNTER_API_KEY=key", "HUNTER_URL=http://127.0.0.1:1")
	log, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // if it has not ended
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"msg":"ready"`) {
			if err := json.Unmarshal(lines.Bytes(), p); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the process
			return p
		}
	}
	t.Fatal("the api ended before it was ready")
	return nil
}

// upload begins an upload; what it became comes out of the channel.
func (p *process) upload(file io.Reader) <-chan error {
	p.t.Helper()
	admin, err := client.New(p.API, adminKey)
	if err != nil {
		p.t.Fatal(err)
	}
	org, err := admin.CreateOrg(p.t.Context(), "Acme")
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := admin.CreateKey(p.t.Context(), org.ID, "test")
	if err != nil {
		p.t.Fatal(err)
	}
	customer, err := client.New(p.API, key.Secret, client.WithRetries(0))
	if err != nil {
		p.t.Fatal(err)
	}
	reading, ended := make(chan struct{}), make(chan error, 1)
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }})
	go func() {
		_, err := customer.Submit(ctx, client.SubmitRequest{Service: lookup.EmailFinder, Reader: file, ContentType: "text/csv"})
		ended <- err
	}()
	select {
	case <-reading:
	case err := <-ended:
		p.t.Fatalf("the upload ended before it began: %v", err)
	}
	return ended
}

// terminate sends SIGTERM and returns once the process says that it stops.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.Ops+"/readyz", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusServiceUnavailable {
				return
			}
		}
		select {
		case <-deadline.C:
			p.t.Fatal("it does not say that it stops")
		case <-tick.C:
		}
	}
}

// An upload under way when the process is told to stop becomes a batch; the
// process ends with 0 after it.
func TestSignalLetsAnUploadEnd(t *testing.T) {
	t.Parallel()
	p := start(t)
	body, file := io.Pipe()
	ended := p.upload(body)
	p.terminate()
	if _, err := io.WriteString(file, "full name,domain\nAda Byron,acme.example\n"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the upload: %v", err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
}

// A second signal ends the process at once, whatever is under way.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t)
	body, file := io.Pipe()
	ended := p.upload(body)
	p.terminate()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // says how, which is asked for below
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v, want the signal to have ended it", p.cmd.ProcessState)
	}
	_ = file.CloseWithError(io.ErrClosedPipe)
	if err := <-ended; err == nil {
		t.Error("the upload was answered")
	}
}
