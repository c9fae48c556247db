package providers_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/logging"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

func TestCallsAreLoggedWithTheIDsOfTheirContext(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := logging.New(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	quota := providers.Answer{Outcome: providers.Quota, Reason: "plan_limit", After: time.Minute}
	g := providers.NewGuard(always("one", quota), providers.Limits{}, nil, log)
	ctx := logging.With(t.Context(), slog.String(logging.Request, "req_1"), slog.String(logging.Hold, "lookup:1:0"))
	q := lookup.Query{Service: lookup.EmailFinder, Fields: lookup.Fields{"last_name": "byron", "domain": "acme.example"}}
	g.Ask(ctx, q)
	g.Ask(ctx, q) // is held back: the vendor is parked
	want := []struct{ msg, reason string }{
		{"provider is parked; check its key and its plan", "plan_limit"},
		{"provider call", "plan_limit"},
		{"provider not asked", "parked"},
	}
	lines := json.NewDecoder(&out)
	for _, w := range want {
		var got map[string]any
		if err := lines.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got["msg"] != w.msg || got["reason"] != w.reason || got["outcome"] != "quota" || got["provider"] != "one" ||
			got["request"] != "req_1" || got["hold"] != "lookup:1:0" {
			t.Errorf("%v, want %q for %q with the ids", got, w.msg, w.reason)
		}
		if latency, ok := got["latency"].(float64); w.msg == "provider call" && (!ok || latency <= 0) {
			t.Errorf("latency %v", got["latency"])
		}
	}
	if lines.More() {
		t.Error("there are more lines than that")
	}
}

// A line that nobody reads costs nothing, although every call writes one.
func TestLoggingACallIsFreeWhenNobodyReads(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts for the whole process
	var out bytes.Buffer
	out.Grow(1 << 20) // so that it does not allocate while we count
	allocations := func(level slog.Level) float64 {
		log := logging.New(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level})))
		g := providers.NewGuard(always("one", outcome(providers.Hit)), providers.Limits{}, nil, log)
		ctx := logging.With(t.Context(), slog.String(logging.Request, "req_1"))
		return testing.AllocsPerRun(1000, func() { g.Ask(ctx, lookup.Query{}) })
	}
	const nobody = slog.LevelError + 1
	quiet := allocations(nobody)
	if info := allocations(slog.LevelInfo); info != quiet {
		t.Errorf("a call allocates %v times at the level info, %v times without a log", info, quiet)
	}
	if debug := allocations(slog.LevelDebug); debug <= quiet {
		t.Errorf("a call allocates %v times at the level debug, %v times when nobody reads: it is not logged, or not free", debug, quiet)
	}
}
