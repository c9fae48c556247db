package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// figure is one line of the report.
type figure struct {
	Name     string   `json:"name"`
	Value    float64  `json:"value"` // median
	Unit     string   `json:"unit"`
	Baseline *float64 `json:"baseline"` // median of the other side; null if there is none
	Ratio    *float64 `json:"ratio"`    // value to baseline; null if that says nothing
	Rounds   int      `json:"rounds"`
}

// benchmark measures one or more figures that share their servers.
type benchmark struct {
	names []string
	run   func(ctx context.Context, b *bed) ([]figure, error)
}

// benchmarks lists all there are, in the order in which they run.
func benchmarks() []benchmark {
	return []benchmark{
		{[]string{"bulk_null_vs_naive"}, bulkNull},
		{[]string{"bulk_http_vs_bare"}, bulkHTTP},
		{[]string{"bulk_http5ms_vs_bare"}, bulkHTTP5ms},
		{[]string{"ledger_settle100_vs_decrby", "ledger_hold_settle100_vs_decrby", "ledger_single_vs_decrby"}, ledgers},
		{[]string{"ledger_load_growth"}, loads},
		{[]string{"books_commits_grouped_vs_single"}, commits},
		{[]string{"guard_ns_per_call"}, guardCall},
		{[]string{"quota_utilisation", "quota_violations", "guard_redis_cps"}, quotas},
		{[]string{"results_ndjson_rows_per_s", "results_csv_rows_per_s"}, downloads},
	}
}

// choose returns the benchmark that measures a figure; all for "".
func choose(name string) []benchmark {
	return slices.DeleteFunc(benchmarks(), func(b benchmark) bool { return name != "" && !slices.Contains(b.names, name) })
}

func names() []string {
	var all []string
	for _, b := range benchmarks() {
		all = append(all, b.names...)
	}
	return all
}

// Bounds of one benchmark and of a whole run, with time left to stop in order.
const (
	patience  = 4 * time.Minute
	wholeTime = 14 * time.Minute
)

// bed is what benchmarks lie on.
type bed struct {
	log            io.Writer
	rounds         int
	rows, download int
	quotaTime      time.Duration
	profiles       string            // folder; "": no profiles
	settings       map[string]string // of Magpie's processes, instead of the benchmark's own
}

func (b *bed) sayf(format string, args ...any) {
	_, _ = fmt.Fprintf(b.log, "bench: "+format+"\n", args...) // nobody to tell
}

// measure runs benchmarks one after the other. One that breaks does not keep
// the others from running.
func (b *bed) measure(ctx context.Context, chosen []benchmark) ([]figure, error) {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	figures := []figure{}
	var broken []string
	for _, c := range chosen {
		b.sayf("%s", strings.Join(c.names, ", "))
		limited, cancel := context.WithTimeout(ctx, patience)
		measured, err := c.run(limited, b)
		cancel()
		if ctx.Err() != nil {
			return figures, ctx.Err()
		}
		if err != nil {
			b.sayf("%s: %v", strings.Join(c.names, ", "), err)
			broken = append(broken, c.names...)
		}
		for _, f := range measured {
			b.sayf("%s", f)
		}
		figures = append(figures, measured...)
	}
	if len(broken) > 0 {
		return figures, fmt.Errorf("not measured: %s", strings.Join(broken, ", "))
	}
	return figures, nil
}

// side is one way of doing the work, measured once a call.
type side struct {
	name string
	run  func(ctx context.Context) (float64, error)
}

// interleave measures all sides in every round, beginning with another one each
// time, and returns their medians.
func (b *bed) interleave(ctx context.Context, sides ...side) ([]float64, error) {
	samples := make([][]float64, len(sides))
	for round := range b.rounds {
		for turn := range sides {
			i := (round + turn) % len(sides)
			v, err := sides[i].run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", sides[i].name, round+1, err)
			}
			b.sayf("  round %d of %d: %s %.0f", round+1, b.rounds, sides[i].name, v)
			samples[i] = append(samples[i], v)
		}
	}
	medians := make([]float64, len(sides))
	for i := range samples {
		medians[i] = median(samples[i])
	}
	return medians, nil
}

// median is the middle one of the values, or the mean of the middle two.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// alone is a figure without another side.
func (b *bed) alone(name, unit string, value float64) figure {
	return figure{Name: name, Value: value, Unit: unit, Rounds: b.rounds}
}

// against is a figure beside that of the other side.
func (b *bed) against(name, unit string, value, baseline float64) figure {
	ratio := value / baseline
	return figure{Name: name, Value: value, Unit: unit, Baseline: &baseline, Ratio: &ratio, Rounds: b.rounds}
}

func (f figure) String() string {
	text := fmt.Sprintf("%s: %.4g %s", f.Name, f.Value, f.Unit)
	if f.Baseline != nil {
		text += fmt.Sprintf(", baseline %.4g", *f.Baseline)
	}
	if f.Ratio != nil {
		text += fmt.Sprintf(", ratio %.3g", *f.Ratio)
	}
	return text
}
