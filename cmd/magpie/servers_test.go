package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// locked is a buffer that several goroutines write to.
type locked struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// server is a command that runs until it is stopped.
type server struct {
	t      *testing.T
	stdout *io.PipeReader
	stop   func() result // stops it, as a signal does
}

// serve starts a command in the background.
func (i *installation) serve(args ...string) *server {
	i.t.Helper()
	ctx, cancel := context.WithCancel(i.t.Context())
	read, write := io.Pipe()
	ended := make(chan result, 1)
	go func() {
		var errors locked // a server's log is written beside it
		code := run(ctx, args, i.environment(), strings.NewReader(""), write, &errors)
		_ = write.Close()
		ended <- result{code: code, errors: errors.String()}
	}()
	return &server{i.t, read, func() result {
		cancel()
		_, _ = io.Copy(io.Discard, read) // so that it never waits for a reader
		return <-ended
	}}
}

// where reads the addresses that a server prints as JSON.
func (s *server) where() object {
	s.t.Helper()
	var o object
	if err := json.NewDecoder(s.stdout).Decode(&o); err != nil {
		s.t.Fatalf("it says nothing (%v): %+v", err, s.stop())
	}
	return o
}

// status asks an address and returns the HTTP status and the body.
func status(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return status(t, r)
}

// Started again on its folder, dev has the same keys and the same balance.
func TestDevGoesOn(t *testing.T) {
	t.Parallel()
	i := nowhere(t)
	dev := []string{"dev", "--addr", "127.0.0.1:0", "--dir", filepath.Join(i.dir, ".magpie"), "--json"}
	first := i.serve(dev...)
	before := first.where()
	before.needs(t, "url", "api_key", "admin_key", "org", "health_url", "metrics_url", "queues_url", "simulator_url")
	for _, name := range []string{"health_url", "metrics_url", "simulator_url"} {
		if code, _ := get(t, before.text(name)); code != http.StatusOK {
			t.Errorf("%s answers %d", name, code)
		}
	}
	i = i.with("MAGPIE_URL", before.text("url")) // the keys are in .magpie
	if account := i.answer(exitDone, "credits"); account["available"] != 10_000.0 {
		t.Errorf("a developer starts with %v", account["available"])
	}
	b := i.answer(exitDone, "submit", i.file("phones.csv", phones), "--service", "mobile-validation", "--watch")
	if b.text("status") != "completed" {
		t.Errorf("%v", b)
	}
	i.must("admin", "org", "list")

	second := i.magpie("dev", "--addr", "127.0.0.1:0", "--dir", filepath.Join(i.dir, ".magpie"))
	if second.code != exitFailed || !strings.Contains(second.errors, "in use by another magpie") || !strings.Contains(second.errors, "hint: ") {
		t.Errorf("a second one in the same folder: %+v", second)
	}
	if r := first.stop(); r.code != exitDone || r.errors != "" {
		t.Errorf("stopped: %+v", r)
	}

	again := i.serve(dev...)
	after := again.where()
	if after.text("api_key") != before.text("api_key") || after.text("admin_key") != before.text("admin_key") {
		t.Error("the keys are others")
	}
	i = i.with("MAGPIE_URL", after.text("url"))
	if account := i.answer(exitDone, "credits"); account["available"] != 9_995.0 {
		t.Errorf("after the restart there are %v", account["available"])
	}
	if out := i.must("results", b.text("id")); strings.Count(out, "\n") != 6 {
		t.Errorf("after the restart the results are %q", out)
	}
	if r := again.stop(); r.code != exitDone {
		t.Errorf("stopped: %+v", r)
	}
}

var curlLine = regexp.MustCompile(`(?s)^curl -s (\S+) \\\n  -H 'X-API-Key: (\S+)' \\\n  -H 'Content-Type: application/json' \\\n  -d '([^']+)'\n`)

// The requests that dev prints find something.
func TestDevPrintsRequestsThatWork(t *testing.T) {
	t.Parallel()
	i := nowhere(t)
	s := i.serve("dev", "--addr", "127.0.0.1:0", "--dir", i.dir, "--verbose")
	printed := ""
	for lines := bufio.NewScanner(s.stdout); strings.Count(printed, " -d '") < 2 && lines.Scan(); {
		printed += lines.Text() + "\n"
	}
	var tried int
	for _, part := range strings.SplitAfter(printed, "\n\n") {
		_, part, _ = strings.Cut("\n"+part, "\ncurl")
		match := curlLine.FindStringSubmatch("curl" + part)
		if match == nil {
			continue
		}
		r, err := http.NewRequest(http.MethodPost, match[1], strings.NewReader(match[3]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-API-Key", match[2])
		r.Header.Set("Content-Type", "application/json")
		if code, body := status(t, r); code != http.StatusOK || !strings.Contains(body, `"outcome":"found"`) {
			t.Errorf("%s answers %d %s", match[0], code, body)
		}
		tried++
	}
	if tried != 2 {
		t.Errorf("%d requests to try, want 2:\n%s", tried, printed)
	}
	if r := s.stop(); r.code != exitDone || !strings.Contains(r.errors, "level=INFO") {
		t.Errorf("stopped: %+v", r)
	}
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	i := nowhere(t)
	for _, args := range [][]string{{"dev", "--dir", i.dir}, {"simulate"}} {
		r := i.magpie(append(args, "--addr", taken.Addr().String())...)
		if r.code != exitFailed || r.out != "" || !strings.Contains(r.errors, "hint: another program is there; take a free port") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestSimulate(t *testing.T) {
	t.Parallel()
	i := nowhere(t)
	config := i.file("world.json", `{"seed": 7, "hunter": {"key": "secret", "latency": "1ms", "quota": {"per_second": 100}}}`)
	s := i.serve("simulate", "--addr", "127.0.0.1:0", "--json", "--config", config)
	where := s.where()
	where.needs(t, "url", "hunter_url", "prospeo_url")
	if code, body := get(t, where.text("url")+"/truth?service=email-finder&full_name=Jane+Doe&domain=acme.example"); code != http.StatusOK || !strings.Contains(body, "vendors") {
		t.Errorf("the truth is %d %s", code, body)
	}
	if code, _ := get(t, where.text("hunter_url")+"/email-finder?full_name=Jane+Doe&domain=acme.example"); code != http.StatusUnauthorized {
		t.Errorf("Hunter takes no key: %d", code)
	}
	if r := s.stop(); r.code != exitDone {
		t.Errorf("stopped: %+v", r)
	}
	s = i.serve("simulate", "--addr", "127.0.0.1:0", "--json", "--documented", "--fault", "findymail:plan_used_up=1", "--fault", "hunter:html=1@0s+1h")
	where = s.where()
	if code, _ := get(t, where.text("hunter_url")+"/email-finder?full_name=Jane+Doe&domain=acme.example"); code != http.StatusBadGateway {
		t.Errorf("Hunter answers %d, want the fault", code)
	}
	if code, body := get(t, where.text("url")+"/faults"); code != http.StatusOK || !strings.Contains(body, `"F7"`) {
		t.Errorf("the faults are %d %s", code, body)
	}
	s.stop()
	s = i.serve("simulate", "--addr", "127.0.0.1:0")
	if line, err := bufio.NewReader(s.stdout).ReadString('\n'); err != nil || !strings.HasPrefix(line, "simulator  ") || !strings.Contains(line, " http://127.0.0.1:") {
		t.Errorf("it says %q, %v", line, err)
	}
	s.stop()
}

func TestReadWorld(t *testing.T) {
	t.Parallel()
	i := nowhere(t)
	cases := []struct{ file, wants string }{
		{`{"hunter": {"latensy": "1ms"}}`, `unknown field "latensy"`},
		{`{"hunter": {"latency": "soon"}}`, "is not a configuration"},
		{`{"hunter": {"latency": 5}}`, "is not a configuration"},
		{`{"hunter": {"faults": {"error": 2}}}`, "Hunter.Faults.error is 2"},
		{`{"icypeas": {"faults": {"bad_luck": 1}}}`, `no fault "bad_luck"`},
		{`{"nobody": {}}`, "want seed, documented, or a vendor"},
		{``, "is not a configuration"},
	}
	for _, c := range cases {
		r := i.magpie("simulate", "--addr", "127.0.0.1:0", "--config", i.file("world.json", c.file))
		if r.code != exitUsage || !strings.Contains(r.errors, c.wants) {
			t.Errorf("%s: %+v", c.file, r)
		}
	}
	cfg, err := readWorld(i.file("world.json", `{"prospeo": {"plan": 3, "brown_out": {"at": "1s", "for": "2s"}, "faults": {"reset": 0.5}}}`), 9)
	if v := cfg.Prospeo; err != nil || cfg.Seed != 9 || v.Plan != 3 || v.BrownOut.At != time.Second || v.BrownOut.For != 2*time.Second || v.Faults.Named["reset"] != 0.5 {
		t.Errorf("%+v, %v", cfg, err)
	}
}
