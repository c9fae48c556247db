package simulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/hunter"
	"github.com/magpie-hq/magpie/providers/prospeo"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// bundle is a simulator on a real socket and the two adapters pointed at it.
type bundle struct {
	sim             *simulator.Simulator
	url             string
	hunter, prospeo providers.Provider
}

func start(t testing.TB, cfg simulator.Config) bundle {
	t.Helper()
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return bundle{
		sim: sim, url: server.URL,
		hunter: providers.NewHTTP(hunter.Adapter{}, providers.HTTPConfig{
			BaseURL: server.URL + simulator.HunterPath, Key: "hunter-key", Client: client(t)}),
		prospeo: providers.NewHTTP(prospeo.Adapter{}, providers.HTTPConfig{
			BaseURL: server.URL + simulator.ProspeoPath, Key: "prospeo-key", Client: client(t)}),
	}
}

func client(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func finder(t testing.TB, fields map[string]string) lookup.Query {
	t.Helper()
	q, err := lookup.Normalise(lookup.EmailFinder, fields, lookup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func someone(t testing.TB, i int) lookup.Query {
	t.Helper()
	return finder(t, map[string]string{
		"first_name": fmt.Sprintf("Zoë%c%c", 'a'+i%26, 'a'+i/26%26), "last_name": fmt.Sprintf("O’Neill%d", i/676),
		"domain": fmt.Sprintf("www.Firm%d.test", i%211),
	})
}

// TestTruth asks about some thousands of people through the adapters and
// compares every answer with the truth told.
func TestTruth(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Seed: 7})
	seen := map[string]int{}
	for i := range 3000 {
		q := someone(t, i)
		q.Options.AcceptCatchAll = i%2 == 0
		truth, ok := b.sim.Truth(q)
		if !ok {
			t.Fatalf("no truth about person %d", i)
		}
		found := ""
		for _, p := range []providers.Provider{b.hunter, b.prospeo} {
			told := truth.Vendors[p.Name()]
			seen[p.Name()+" "+told.Status]++
			if email := compare(t, p, q, told); email != "" {
				found = email
			}
		}
		if (found != "") != truth.Found || found != truth.Email {
			t.Errorf("person %d: found %q, the truth says %q", i, found, truth.Email)
		}
	}
	for _, status := range []string{"hunter ", "hunter valid", "hunter catch_all", "hunter unverified", "hunter foreign",
		"hunter blocked", "prospeo ", "prospeo valid", "prospeo unverified", "prospeo masked"} {
		if seen[status] == 0 {
			t.Errorf("nobody among 3,000 was %q", status)
		}
	}
}

// compare asks p, holds the answer against the truth, and returns the address
// if it counts.
func compare(t *testing.T, p providers.Provider, q lookup.Query, told simulator.VendorTruth) string {
	t.Helper()
	a := p.Ask(context.Background(), q)
	if (a.Outcome == providers.Blocked) != (told.Status == "blocked") {
		t.Errorf("%s: outcome %v for status %q", p.Name(), a.Outcome, told.Status)
	}
	result, ok, _ := providers.Validate(q, a.Result)
	if a.Outcome != providers.Hit || !ok {
		return ""
	}
	if result["email"] != told.Email {
		t.Errorf("%s says %v, the truth is %q", p.Name(), result["email"], told.Email)
	}
	return told.Email
}

func TestTruthIgnoresSpelling(t *testing.T) {
	t.Parallel()
	sim, err := simulator.New(simulator.Config{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		plain := lookup.Query{Service: lookup.EmailFinder, Fields: map[string]string{
			"first_name": fmt.Sprintf("zoe%d", i), "last_name": "muller", "domain": "acme.test"}}
		fancy := lookup.Query{Service: lookup.EmailFinder, Fields: map[string]string{
			"full_name": fmt.Sprintf("  ZOË%d   Müller", i), "domain": "https://www.ACME.test/team"}}
		a, okA := sim.Truth(plain)
		b, okB := sim.Truth(fancy)
		if !okA || !okB || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("two spellings, two truths: %v (%v) and %v (%v)", a, okA, b, okB)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Seed: 7})
	q := someone(t, 0)
	for i := 1; ; i++ { // somebody whom Prospeo knows
		if truth, _ := b.sim.Truth(q); truth.Vendors["prospeo"].Status == "valid" {
			break
		}
		q = someone(t, i)
	}
	b.prospeo.Ask(context.Background(), q)
	person := fmt.Sprintf("first_name=%s&last_name=%s&domain=%s", strings.ToUpper(q.Get("first_name")), "O'NEILL0", q.Get("domain"))

	var truth simulator.Truth
	if status := getJSON(t, b.url+"/truth?service=email-finder&"+person, &truth); status != 200 || !truth.Found || truth.Email == "" {
		t.Errorf("truth: %d %+v", status, truth)
	}
	var problem map[string]string
	if status := getJSON(t, b.url+"/truth?service=jobs-data&"+person, &problem); status != 400 || problem["error"] == "" {
		t.Errorf("truth of another service: %d %v", status, problem)
	}
	var stats simulator.Stats
	if getJSON(t, b.url+"/stats", &stats); stats.Vendors["prospeo"].Answers["valid"] != 1 || stats.ServedValid != 1 || stats.Violated() != 0 {
		t.Errorf("stats: %+v", stats)
	}
	if page := get(t, b.url+"/"); !strings.Contains(page, "answered: valid</th><td>1</td>") {
		t.Errorf("the page shows no answer:\n%s", page)
	}
	resp, err := http.Post(b.url+"/reset", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if calls := b.sim.Stats().Vendors["prospeo"].Calls; calls != 0 || resp.StatusCode != http.StatusNoContent {
		t.Errorf("after a reset (%d): %d calls", resp.StatusCode, calls)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func getJSON(t *testing.T, url string, into any) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestConfigReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := simulator.New(simulator.Config{
		Hunter:  simulator.Vendor{Latency: -1, Quota: simulator.Quota{PerSecond: -1}, BrownOut: simulator.BrownOut{For: 1, ErrorRate: 2}},
		Prospeo: simulator.Vendor{Faults: simulator.Faults{Error: 0.6, HTML: 0.6, Pending: 0.1}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Hunter.Latency", "Hunter.Quota.PerSecond", "Hunter.BrownOut.ErrorRate", "Hunter.BrownOut has",
		"Prospeo.Faults add", "Prospeo.Faults.Pending"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not in: %v", field, err)
		}
	}
}

// FuzzQuestion sends any body to the vendor that reads one.
func FuzzQuestion(f *testing.F) {
	sim, err := simulator.New(simulator.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"data":{"full_name":"Ada Byron","company_name":"Acme"}}`)
	f.Add(`{"data":{"first_name":"É","last_name":"張","company_website":"acme.test"}}`)
	f.Add(`{"data":[]}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		defer func() {
			p := recover()
			if err, _ := p.(error); p != nil && !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
		}()
		sim.ServeHTTP(w, httptest.NewRequest("POST", simulator.ProspeoPath+"/enrich-person", strings.NewReader(body)))
		if w.Code != 200 && w.Code != 400 && w.Code != 401 && w.Code != 429 && w.Code != 502 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// BenchmarkCalls measures the server with its own client on real connections.
func BenchmarkCalls(b *testing.B) {
	s := start(b, simulator.Config{Seed: 1})
	q := someone(b, 1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if s.prospeo.Ask(context.Background(), q).Outcome == providers.Transient {
				b.Error("a call failed")
			}
		}
	})
}
