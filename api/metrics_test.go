package api_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/api"
)

// requests reads the counter of requests: "route method class" → how many. The
// histogram must have as many.
func requests(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	var counted, measured float64
	for _, family := range families {
		for _, m := range family.GetMetric() {
			label := map[string]string{}
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			measured += float64(m.GetHistogram().GetSampleCount())
			counted += m.GetCounter().GetValue()
			if family.GetName() == "magpie_http_requests_total" {
				all[label["route"]+" "+label["method"]+" "+label["class"]] = m.GetCounter().GetValue()
			}
		}
	}
	if counted != measured {
		t.Errorf("%v requests counted, %v measured", counted, measured)
	}
	return all
}

// Requests are counted by pattern, never by what was asked for: a label's values
// must not be anybody else's to choose.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	h := newHouse(t, func(_ *api.Config, d *api.Deps) { d.Metrics = api.NewMetrics(registry) })
	h.get("/v1/credits").want(200)
	h.get("/v1/credits").want(200)
	h.get("/v1/credits", "X-API-Key: nobody").want(401)
	h.get("/v1/batches/bat_secret").want(404)
	h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"down.example"}`).want(503)
	h.get("/wp-login.php").want(404)
	h.send("BREW", "/v1/credits", nil).want(405)
	h.send("PUT", "/v1/credits", nil).want(405)
	got := requests(t, registry)
	want := map[string]float64{
		"/v1/credits GET 2xx": 2, "/v1/credits GET 4xx": 1, "/v1/batches/{id} GET 4xx": 1,
		"/v1/lookups/{service} POST 5xx": 1, "none GET 4xx": 1, "none other 4xx": 1, "none PUT 4xx": 1,
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %v, want %v", name, got[name], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v, want %v", got, want)
	}
	for name := range got {
		if strings.Contains(name, "bat_secret") || strings.Contains(name, "BREW") {
			t.Errorf("a label says %q", name)
		}
	}
}
