package app_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// waterfallFile writes a file with waterfalls and returns its name.
func waterfallFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "waterfalls.yaml")
	write(t, name, text)
	return name
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWaterfallSetting(t *testing.T) {
	t.Parallel()
	const right = "waterfalls: {email-finder: {order: [prospeo, {provider: icypeas, timeout: 9s}]}}\n"
	for text, want := range map[string][]string{
		right: nil,
		"waterfalls:\n  email-finder: {order: [huntr]}\n  email: {}\n": {"WATERFALLS ", ":2: there is no provider \"huntr\"", ":3: there is no service \"email\""},
	} {
		env := good()
		env["WATERFALLS"], env["WINDOW"] = waterfallFile(t, text), "0" // every other mistake is told too
		var out bytes.Buffer
		app.Run(t.Context(), app.Worker, []string{"--validate"}, func(name string) string { return env[name] }, &out, &out)
		for _, w := range append(want, `WINDOW is "0"`) {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%q is not in\n%s", w, out.String())
			}
		}
		if want == nil && strings.Contains(out.String(), "WATERFALLS") {
			t.Errorf("a mistake was found in a good file:\n%s", out.String())
		}
	}
}

// A file is read again while the process runs; one with mistakes changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	cfg := app.Config{
		Dir: t.TempDir(), Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", AdminKey: "administrator-of-the-test",
		Simulator: simulator.Config{Seed: 3},
	}
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	cfg.WaterfallsFile = waterfallFile(t, "")
	a, err := app.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if _, err := a.SeedDeveloper(t.Context(), customerKey, 100*lookup.Credit); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	n := 0
	asks := func(hunter, prospeo bool) {
		t.Helper()
		a.Simulator().Reset()
		n++ // nobody knows any of them, so that all are asked
		response, err := call(t.Context(), t, "POST", a.URL()+"/v1/lookups/email-finder",
			strings.NewReader(`{"full_name":"zed`+strings.Repeat("q", n)+` nobody","domain":"fault-miss-400.test"}`), "Content-Type: application/json")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		seen := a.Simulator().Stats().Vendors
		if (seen["hunter"].Calls > 0) != hunter || (seen["prospeo"].Calls > 0) != prospeo {
			t.Errorf("calls %d and %d, want %t and %t", seen["hunter"].Calls, seen["prospeo"].Calls, hunter, prospeo)
		}
	}
	asks(true, true)
	write(t, cfg.WaterfallsFile, "waterfalls: {email-finder: {order: [prospeo]}}")
	a.Reload(t.Context())
	asks(false, true)
	write(t, cfg.WaterfallsFile, "waterfalls: {email-finder: {order: [hunter, huntr], budget: {time: 0s}}}")
	a.Reload(t.Context())
	asks(false, true)
	if n := strings.Count(log.String(), "the waterfalls stay as they are"); n != 2 || !strings.Contains(log.String(), "huntr") {
		t.Errorf("%d mistakes in the log, want 2:\n%s", n, log.String())
	}
	write(t, cfg.WaterfallsFile, "waterfalls: {email-finder: {order: []}}")
	a.Reload(t.Context())
	asks(false, false)
}

// SIGHUP makes a process read the file again, and ends nothing.
func TestHangUp(t *testing.T) {
	t.Parallel()
	env := good()
	env["DATABASE_URL"], env["REDIS_URL"] = teststore.PostgresURL(t), testredis.Own(t)
	env["OPS_ADDR"], env["WATERFALLS"] = "127.0.0.1:0", waterfallFile(t, "costs: {}")
	ctx, stop := context.WithCancel(t.Context())
	log, says := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- app.Run(ctx, app.Worker, nil, func(name string) string { return env[name] }, says, says)
		_ = says.Close()
	}()
	lines := bufio.NewScanner(log)
	until := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Errorf("the log ended without %q", text)
	}
	hangUp := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	}
	until(`"msg":"ready"`) // from before that on the signal has no other effect
	hangUp()
	until("waterfalls read again")
	write(t, env["WATERFALLS"], "costs: {huntr: {}}")
	hangUp()
	until("no provider \\\"huntr\\\"")
	stop()
	go func() { _, _ = io.Copy(io.Discard, log) }()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}
