package operating_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/providers"
)

const metricsPage = "metrics.md"

const metricsPreface = `# Metrics

<!-- Generated from a running process by "go generate ./docs/operating"; do not edit. -->

Every process serves them at ` + "`/metrics`" + ` of its ` + "`OPS_ADDR`" + `, for Prometheus. ` + "`magpie_http_*`" + ` is an api's; ` + "`magpie_queue_*`, `magpie_chunk_*`, `magpie_sweeper_*`, `magpie_rounds_*` and `magpie_open_batches`" + ` are a worker's; the rest is both's, because an api asks vendors for single lookups. What a process counts is its own: add up over processes. What it reads from Redis or PostgreSQL, ` + "`magpie_queue_*` and `magpie_open_batches`" + `, is the fleet's, and every worker says the same: take the maximum. What ` + "`magpie_provider_condition`, `_quota_used` and `_rate`" + ` say is the fleet's too, as the process last heard of it.

Labels are from fixed lists; nothing in them comes from a customer. [What to watch](fleet.md#health-and-metrics) is a shorter list.

| metric | kind | labels | meaning |
|---|---|---|---|
`

// open are the labels whose values depend on what happened.
var open = map[string]string{
	"route":    "a route's pattern, or none",
	"method":   "GET, POST …, or other",
	"class":    "of the status, 1xx to 5xx",
	"provider": "a vendor's name",
	"service":  "a service's name",
}

// metric is one family as a process shows it.
type metric struct {
	help, kind string
	labels     map[string]map[string]bool // name → values
}

var (
	help   = regexp.MustCompile(`^# HELP (\w+) (.*)$`)
	kind   = regexp.MustCompile(`^# TYPE (\w+) (.*)$`)
	sample = regexp.MustCompile(`^(\w+?)(?:_bucket|_sum|_count)?\{(.*)\} `)
	label  = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// shown reads what a process shows.
func shown(text string) map[string]*metric {
	all := map[string]*metric{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := help.FindStringSubmatch(line); m != nil { // comes first
			all[m[1]] = &metric{help: m[2], labels: map[string]map[string]bool{}}
		}
		if m := kind.FindStringSubmatch(line); m != nil {
			all[m[1]].kind = m[2]
		}
		if m := sample.FindStringSubmatch(line); m != nil {
			all[m[1]].add(m[2])
		}
	}
	return all
}

// add notes the labels of a sample.
func (m *metric) add(labels string) {
	for _, l := range label.FindAllStringSubmatch(labels, -1) {
		if l[1] == "le" {
			continue // of a histogram's buckets
		}
		if m.labels[l[1]] == nil {
			m.labels[l[1]] = map[string]bool{}
		}
		m.labels[l[1]][l[2]] = true
	}
}

func (m *metric) describeLabels() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m.labels)) {
		values, ok := open[name]
		if !ok {
			values = strings.Join(slices.Sorted(maps.Keys(m.labels[name])), ", ")
		}
		all = append(all, fmt.Sprintf("`%s`: %s", name, values))
	}
	return strings.Join(all, "; ")
}

// scrape returns what a process with every part shows after one request.
func scrape(t *testing.T) map[string]*metric {
	t.Helper()
	a, err := app.New(t.Context(), app.Config{
		Dir: t.TempDir(), Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", AdminKey: "administrator-of-the-test",
		Hunter: providers.Limits{PerSecond: 5, PerMinute: 300, PerDay: 5000},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	body(t, a.URL()+"/openapi.json")
	return shown(body(t, a.OpsURL()+"/metrics"))
}

func body(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", url, response.StatusCode, err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return string(text)
}

func TestMetricsPage(t *testing.T) {
	t.Parallel()
	all := scrape(t)
	var b strings.Builder
	b.WriteString(metricsPreface)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, m.kind, m.describeLabels(), m.help)
	}
	compare(t, metricsPage, b.String())
	wantKnownMetrics(t, all)
}

// wantKnownMetrics fails if a page for operators names a metric that there is
// not.
func wantKnownMetrics(t *testing.T, all map[string]*metric) {
	t.Helper()
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) < 3 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	named := regexp.MustCompile(`magpie_[a-z_]*[a-z]`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(text), -1) {
			family := func(known string) bool { return strings.HasPrefix(known, name+"_") } // "magpie_http_*"
			if all[name] == nil && !slices.ContainsFunc(slices.Collect(maps.Keys(all)), family) {
				t.Errorf("%s names %s, which no process shows", page, name)
			}
		}
	}
}
