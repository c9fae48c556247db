package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/magpie-hq/magpie/lookup"
)

// TestMain lets the test binary be the processes of a benchmark.
func TestMain(m *testing.M) {
	if text := os.Getenv(jobVariable); text != "" {
		os.Exit(child(context.Background(), text))
	}
	goleak.VerifyTestMain(m)
}

// needServers skips a test that needs Redis and PostgreSQL, or fails it where
// everything has to run.
func needServers(t *testing.T) {
	t.Helper()
	for _, names := range [][]string{{"redis-server", "valkey-server"}, {"postgres", "/usr/lib/postgresql/*/bin/postgres"}} {
		_, err := anyOf(names...)
		switch {
		case err == nil:
		case os.Getenv("REQUIRE_SERVICES") == "1":
			t.Fatalf("REQUIRE_SERVICES=1, but %v", err)
		default:
			t.Skip(err)
		}
	}
}

// Every figure of the report, measured small: what counts here is that each
// side does its work, which each round checks itself.
func TestEveryFigureIsMeasured(t *testing.T) {
	t.Parallel()
	needServers(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	out := filepath.Join(t.TempDir(), "build", "bench.json")
	var log bytes.Buffer
	if code := command(t.Context(), []string{"-rows", "1000", "-download", "1000", "-rounds", "1", "-quota", "1s", "-out", out}, &log); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, log.String())
	}
	var figures []figure
	text, err := os.ReadFile(out)
	if err == nil {
		err = json.Unmarshal(text, &figures)
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range figures {
		got = append(got, f.Name)
		if f.Value <= 0 && f.Name != "quota_violations" || f.Unit == "" || f.Rounds != 1 {
			t.Errorf("%+v", f)
		}
		if (strings.Contains(f.Name, "_vs_") || strings.HasSuffix(f.Name, "_growth")) != (f.Ratio != nil) || f.Ratio != nil && (f.Baseline == nil || *f.Ratio <= 0) {
			t.Errorf("%s: baseline %v, ratio %v", f.Name, f.Baseline, f.Ratio)
		}
	}
	if !slices.Equal(got, names()) {
		t.Errorf("figures %v, want %v", got, names())
	}
}

// What a run leaves behind would be in the way of the next one.
func TestStoppedServersLeaveNothing(t *testing.T) {
	t.Parallel()
	needServers(t)
	s, err := startServers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var synced string
	if err := s.db.QueryRowContext(t.Context(), `SELECT current_setting('fsync') || current_setting('synchronous_commit')`).Scan(&synced); err != nil || synced != "onon" {
		t.Errorf("fsync and synchronous_commit are %q (error %v), want both on", synced, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{s.redis.dir, s.postgres.dir} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there (error %v)", dir, err)
		}
	}
}

func TestProcessThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	b := &bed{}
	if _, err := b.spawn(t.Context(), job{Role: "stranger"}); err == nil || !strings.Contains(err.Error(), `no role "stranger"`) {
		t.Errorf("error = %v, want one with the process's own", err)
	}
	if _, err := b.measureIn(t.Context(), job{Role: "bare", Vendor: "http://127.0.0.1:1", InFlight: 1, Rows: 1}); err == nil || !strings.Contains(err.Error(), "bare call") {
		t.Errorf("error = %v, want one with the process's own", err)
	}
}

func TestMistakesInFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-name", "bulk_null"}, "bulk_null_vs_naive"},
		{[]string{"-rounds", "0"}, "1 or more"},
		{[]string{"-rows", "10"}, "1000 or more"},
		{[]string{"-set", "CHUNK_ROWS"}, "NAME=value"},
		{[]string{"bulk_null_vs_naive"}, "no arguments"},
	} {
		var log bytes.Buffer
		if code := command(t.Context(), c.args, &log); code != 2 || !strings.Contains(log.String(), c.want) {
			t.Errorf("%v: exit code %d, %s; want 2 and %q", c.args, code, log.String(), c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{5, 1}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 3, 100}, 3.5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v = %v, want %v", c.values, got, c.want)
		}
	}
}

// Sides take turns to begin, so that none always finds the machine warm.
func TestSidesAreInterleaved(t *testing.T) {
	t.Parallel()
	b := &bed{log: &bytes.Buffer{}, rounds: 3}
	var order string
	named := func(name string, value float64) side {
		return side{name, func(context.Context) (float64, error) {
			order += name
			value++
			return value, nil
		}}
	}
	medians, err := b.interleave(t.Context(), named("a", 0), named("b", 10))
	if err != nil || !slices.Equal(medians, []float64{2, 12}) || order != "abbaab" {
		t.Errorf("medians %v in the order %s, %v", medians, order, err)
	}
}

// A question that was asked before would be answered from what was paid for.
func TestRowsAskSomethingNew(t *testing.T) {
	t.Parallel()
	seen := map[lookup.Question]bool{}
	const rounds, rows = 3, 2000
	for round := range rounds {
		for n := range rows {
			seen[query(round, n).Question()] = true
		}
		if lines := bytes.Count(file(round, rows), []byte("\n")); lines != rows+1 {
			t.Errorf("%d lines in the file, want %d and a header", lines, rows)
		}
	}
	if len(seen) != rounds*rows {
		t.Errorf("%d different questions, want %d", len(seen), rounds*rows)
	}
}
