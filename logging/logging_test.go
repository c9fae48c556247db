package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"testing"

	"github.com/magpie-hq/magpie/logging"
)

// line writes one line with ctx and returns it, less what every line has.
func line(ctx context.Context, t *testing.T, args ...any) map[string]any {
	t.Helper()
	var out bytes.Buffer
	logging.New(slog.New(slog.NewJSONHandler(&out, nil))).With("role", "worker").InfoContext(ctx, "said", args...)
	got := map[string]any{}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"time", "level", "msg", "role"} {
		if got[name] == nil {
			t.Errorf("no %s in %s", name, out.String())
		}
		delete(got, name)
	}
	return got
}

func TestLinesCarryTheIDsOfTheirContext(t *testing.T) {
	t.Parallel()
	outer := logging.With(t.Context(), slog.String(logging.Request, "req_1"))
	inner := logging.With(outer, slog.String(logging.Hold, "lookup:1:0"), slog.String(logging.Request, "req_2"))
	cut := context.WithoutCancel(inner)
	for name, tc := range map[string]struct {
		ctx  context.Context
		want map[string]any
	}{
		"none":               {t.Context(), map[string]any{"more": "x"}},
		"one":                {outer, map[string]any{"more": "x", "request": "req_1"}},
		"replaced and added": {inner, map[string]any{"more": "x", "request": "req_2", "hold": "lookup:1:0"}},
		"without its cancel": {cut, map[string]any{"more": "x", "request": "req_2", "hold": "lookup:1:0"}},
	} {
		if got := line(tc.ctx, t, "more", "x"); !maps.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// Two branches of one context do not write into each other's ids.
func TestBranchesAreApart(t *testing.T) {
	t.Parallel()
	root := logging.With(t.Context(), slog.String(logging.Batch, "bat_1"))
	one, two := logging.With(root, slog.Int(logging.Chunk, 1)), logging.With(root, slog.Int(logging.Chunk, 2))
	if got := line(one, t); got["chunk"] != 1.0 {
		t.Errorf("%v, want chunk 1", got)
	}
	if got := line(two, t); got["chunk"] != 2.0 {
		t.Errorf("%v, want chunk 2", got)
	}
}
