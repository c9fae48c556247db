package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// logged is a line of the log.
type logged map[string]any

func (l logged) text(name string) string {
	s, _ := l[name].(string)
	return s
}

// diary is what a process logs, line by line.
type diary struct {
	t   *testing.T
	out lockedBuffer
}

func (d *diary) lines(want func(logged) bool) []logged {
	d.t.Helper()
	var found []logged
	for text := range strings.Lines(d.out.String()) {
		var l logged
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			d.t.Fatalf("%v: %s", err, text)
		}
		if want(l) {
			found = append(found, l)
		}
	}
	return found
}

// one returns the only line with the message for which the rest holds.
func (d *diary) one(msg string, also func(logged) bool) logged {
	d.t.Helper()
	found := d.lines(func(l logged) bool { return l["msg"] == msg && also(l) })
	if len(found) != 1 {
		d.t.Fatalf("%d lines say %q, want 1: %v", len(found), msg, found)
	}
	return found[0]
}

// embedded starts a whole process that logs to a diary, with a customer.
func embedded(t *testing.T, level slog.Level) (*diary, *app.App, *client.Client) {
	t.Helper()
	return embeddedIn(t, t.TempDir(), level)
}

// embeddedIn does so with its data in the given folder.
func embeddedIn(t *testing.T, dir string, level slog.Level) (*diary, *app.App, *client.Client) {
	t.Helper()
	d := &diary{t: t}
	vendor := simulator.Vendor{Key: "key", Quota: simulator.Quota{PerSecond: 1000}}
	limits := providers.Limits{PerSecond: 1000, Burst: 100}
	a, err := app.New(t.Context(), app.Config{
		Dir: dir, Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", AdminKey: adminKey, ChunkRows: 4,
		Simulator: simulator.Config{Seed: 3, Hunter: vendor, Prospeo: vendor}, Hunter: limits, Prospeo: limits,
		Log: slog.New(slog.NewJSONHandler(&d.out, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) }) // if the test has not
	if _, err := a.SeedDeveloper(t.Context(), customerKey, 1000*lookup.Credit); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	customer, err := client.New(a.URL(), customerKey)
	if err != nil {
		t.Fatal(err)
	}
	return d, a, customer
}

// From a request to the calls it caused, by the ids alone; and nothing in the
// log of what was asked or answered.
func TestLogJoinsRequestsTasksAndCalls(t *testing.T) {
	t.Parallel()
	d, a, customer := embedded(t, slog.LevelDebug)
	ctx := t.Context()
	answer, err := customer.Lookup(ctx, client.LookupRequest{
		Service: lookup.EmailFinder, Fields: map[string]string{"full_name": "Zenobia Quillfeather", "domain": "obscurecorp.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	file.WriteString("First Name,Last Name,Domain\n")
	for i := range 8 {
		fmt.Fprintf(&file, "Thaddeus%c,Wigglesworth,privatefirm%d.example\n", 'a'+i, i)
	}
	b, err := customer.Submit(ctx, client.SubmitRequest{
		Service: lookup.EmailFinder, Reader: strings.NewReader(file.String()), ContentType: "text/csv", Name: "Snodgrass list",
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, customer: customer}
	f.awaitDone(b.ID, 8)
	if err := a.Stop(ctx); err != nil { // the last lines are written
		t.Fatal(err)
	}
	d.wantLookupJoined()
	d.wantBatchJoined(b.ID)
	said := strings.ToLower(d.out.String())
	for _, private := range []string{"zenobia", "quillfeather", "obscurecorp", "thaddeus", "wigglesworth", "privatefirm", "snodgrass", "@"} {
		if strings.Contains(said, private) {
			t.Errorf("the log has %q", private)
		}
	}
	if answer.Outcome == nil {
		t.Error("the lookup has no outcome")
	}
}

// An organization that falls below its threshold is in the log, once, and counted.
func TestLowBalanceIsLogged(t *testing.T) {
	t.Parallel()
	d, a, customer := embedded(t, slog.LevelWarn)
	if _, err := customer.SetLowBalance(t.Context(), 1000*lookup.Credit); err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{"+44 20 7946 0018", "+41 44 668 18 01"} {
		_, err := customer.Lookup(t.Context(), client.LookupRequest{Service: lookup.MobileValidation, Fields: map[string]string{"number": number}})
		if err != nil {
			t.Fatal(err)
		}
	}
	metrics := string(get(t, a.OpsURL()+"/metrics", http.StatusOK))
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	line := d.one("an organization runs out of credits", func(l logged) bool { return l.text("event") == "credits.low" })
	if line.text("level") != "WARN" || line.text("org") != "org_developer" {
		t.Errorf("%v", line)
	}
	if !strings.Contains(metrics, `magpie_credit_events_total{event="credits.low"} 1`) {
		t.Error("the event is not counted")
	}
}

// wantLookupJoined follows a single lookup: its request's id is in the lines of
// the calls, beside the hold that SQL knows it by.
func (d *diary) wantLookupJoined() {
	d.t.Helper()
	request := d.one("request", func(l logged) bool { return strings.HasPrefix(l.text("route"), "POST /v1/lookups/") }).text("request")
	calls := d.lines(func(l logged) bool { return l["msg"] == "provider call" && l.text("request") == request })
	if request == "" || len(calls) == 0 {
		d.t.Fatalf("no calls for the request %q", request)
	}
	for _, call := range calls {
		if !strings.HasPrefix(call.text("hold"), "lookup:") {
			d.t.Errorf("a call of a lookup without its hold: %v", call)
		}
		d.wantCall(call)
	}
}

// wantBatchJoined follows a batch: the request that made it, its chunks' rounds,
// and the calls of each round.
func (d *diary) wantBatchJoined(batch string) {
	d.t.Helper()
	accepted := d.one("batch accepted", func(l logged) bool { return l["batch"] == batch })
	d.one("request", func(l logged) bool { return l.text("request") == accepted.text("request") && l["status"] == 202.0 })
	var chunks []any
	for _, round := range d.lines(func(l logged) bool { return l["msg"] == "round ended" && l["batch"] == batch }) {
		chunks = append(chunks, round["chunk"])
		hold := fmt.Sprintf("%s:%v:%v", batch, round["chunk"], round["round"])
		if round["hold"] != hold || !strings.HasPrefix(round.text("worker"), "wrk_") {
			d.t.Errorf("%v, want hold %s and a worker", round, hold)
		}
		calls := d.lines(func(l logged) bool { return l["msg"] == "provider call" && l["hold"] == hold })
		if len(calls) < 4 {
			d.t.Errorf("%d calls for the four rows of %s", len(calls), hold)
		}
		for _, call := range calls {
			if call["worker"] != round["worker"] || call["request"] != nil {
				d.t.Errorf("%v, want the worker of its round and no request", call)
			}
			d.wantCall(call)
		}
	}
	if !slices.Contains(chunks, any(0.0)) || !slices.Contains(chunks, any(1.0)) {
		d.t.Errorf("rounds of the chunks %v, want both", chunks)
	}
}

func (d *diary) wantCall(l logged) {
	d.t.Helper()
	latency, _ := l["latency"].(float64)
	if !slices.Contains([]string{"hunter", "prospeo"}, l.text("provider")) || l.text("outcome") == "" || time.Duration(latency) <= 0 || l["level"] != "DEBUG" {
		d.t.Errorf("%v, want provider, outcome and latency at DEBUG", l)
	}
}

// At the usual level, calls are not logged and requests are.
func TestLogAtTheUsualLevel(t *testing.T) {
	t.Parallel()
	d, a, customer := embedded(t, slog.LevelInfo)
	_, err := customer.Lookup(t.Context(), client.LookupRequest{Service: lookup.MobileValidation, Fields: map[string]string{"number": "+442079460958"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.one("request", func(logged) bool { return true })
	if calls := d.lines(func(l logged) bool { return l["level"] == "DEBUG" }); len(calls) > 0 {
		t.Errorf("%v", calls)
	}
	if strings.Contains(d.out.String(), "2079460958") {
		t.Error("the log has the number")
	}
}
