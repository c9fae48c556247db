package enrich_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/findymail"
	"github.com/magpie-hq/magpie/providers/hunter"
	"github.com/magpie-hq/magpie/providers/icypeas"
	"github.com/magpie-hq/magpie/providers/leadmagic"
	"github.com/magpie-hq/magpie/providers/millionverifier"
	"github.com/magpie-hq/magpie/providers/prospeo"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/store"
)

// upstream is a simulated vendor behind its adapter and guard.
type upstream struct {
	path    string
	adapter providers.Adapter
}

var upstreams = map[string]upstream{
	"hunter":          {simulator.HunterPath, hunter.Adapter{}},
	"prospeo":         {simulator.ProspeoPath, prospeo.Adapter{}},
	"icypeas":         {simulator.IcypeasPath, icypeas.Adapter{}},
	"findymail":       {simulator.FindymailPath, findymail.Adapter{}},
	"leadmagic":       {simulator.LeadMagicPath, leadmagic.Adapter{}},
	"millionverifier": {simulator.MillionVerifierPath, millionverifier.Adapter{}},
}

// lab is a bench whose vendor is simulated and goes wrong.
type lab struct {
	*bench
	vendor   string
	sim      *simulator.Simulator
	url      string
	limits   providers.Limits
	registry *prometheus.Registry
	client   *http.Client
	restart  func() // another process takes over: nothing is left but storage
}

func newLab(t *testing.T, name string, v simulator.Vendor, limits providers.Limits) *lab {
	t.Helper()
	l := &lab{bench: newBench(t, testredis.Mini(t), teststore.SQLite(t), 100*lookup.Credit), vendor: name, limits: limits}
	cfg := simulator.Config{Seed: 3, Now: l.clock.Now}
	switch name {
	case "hunter":
		cfg.Hunter = v
	case "prospeo":
		cfg.Prospeo = v
	default:
		cfg.Others = map[string]simulator.Vendor{name: v}
	}
	var err error
	if l.sim, err = simulator.New(cfg); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(l.sim)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	l.url, l.client = server.URL, &http.Client{Transport: transport}
	l.restart = func() {
		l.registry = prometheus.NewRegistry()
		at := upstreams[name]
		call := providers.NewHTTP(at.adapter, providers.HTTPConfig{
			BaseURL: l.url + at.path, Key: "key", Client: l.client, Timeout: 400 * time.Millisecond})
		guard := providers.NewGuard(call, l.limits, providers.NewMetrics(l.registry), nil)
		w := &providers.Waterfall{Providers: []providers.Provider{guard}, Asynchronous: name == "icypeas", Now: l.clock.Now}
		l.engine = enrich.New(enrich.Config{InFlight: 4, LookupPatience: time.Millisecond}, l.db, l.books,
			providers.Waterfalls{lookup.EmailFinder: w, lookup.EmailValidation: w},
			enrich.NewMetrics(l.registry), slog.New(slog.DiscardHandler), l.clock.Now, enrich.WithClaims(l.rdb))
	}
	l.restart()
	return l
}

// ask stores a batch of one service.
func (l *lab) ask(rows ...lookup.Query) store.Batch {
	l.t.Helper()
	up, err := l.db.BeginUpload(l.t.Context(), store.Batch{
		ID: store.NewID("bat", l.clock.Now()), Org: org, Key: "key_test", Service: rows[0].Service,
		Price: lookup.Credit, ChunkRows: 100, Columns: []string{"given"}, CreatedAt: l.clock.Now(),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, q := range rows {
		if err := up.Add(l.t.Context(), store.InputRow{Cells: []string{"x"}, Fields: q.Fields}); err != nil {
			l.t.Fatal(err)
		}
	}
	batch, err := up.Accept(l.t.Context(), l.clock.Now())
	if err != nil {
		l.t.Fatal(err)
	}
	return batch
}

// metric is the value of a counter with the labels, "name value" each.
func (l *lab) metric(name string, labels ...string) (value float64) {
	l.t.Helper()
	families, err := l.registry.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			matching := 0
			for _, label := range m.GetLabel() {
				for _, want := range labels {
					if label.GetName()+" "+label.GetValue() == want {
						matching++
					}
				}
			}
			if matching == len(labels) {
				value += m.GetCounter().GetValue()
			}
		}
	}
	return value
}

func (l *lab) stats() simulator.VendorStats { return l.sim.Stats().Vendors[l.vendor] }

func question(t *testing.T, service lookup.Service, fields lookup.Fields) lookup.Query {
	t.Helper()
	q, err := lookup.Normalise(service, fields, lookup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// someone is a question about a person at a domain.
func someone(t *testing.T, domain string) lookup.Query {
	t.Helper()
	return question(t, lookup.EmailFinder, lookup.Fields{"full_name": "ada byron", "domain": domain})
}

// faultCase is one way in which a vendor answers, and what comes of it.
type faultCase struct {
	fault, vendor string
	outcome       lookup.Outcome
	call          providers.Outcome // of the first call
}

const found, missed, failed = lookup.Found, lookup.NotFound, lookup.Failed

// finding are the cases of vendors that are asked for an address.
var finding = []faultCase{
	{"error_200", "hunter", failed, providers.Transient}, // F1
	{"error_200", "prospeo", failed, providers.Transient},
	{"plan_200", "findymail", failed, providers.Quota},
	{"plan_200", "hunter", failed, providers.Transient},
	{"miss_400", "prospeo", missed, providers.Miss}, // F2
	{"plan_400", "prospeo", failed, providers.Quota},
	{"error_400", "prospeo", failed, providers.Transient},
	{"error", "hunter", failed, providers.Transient},
	{"plan_used_up", "icypeas", failed, providers.Quota},
	{"miss_404", "leadmagic", missed, providers.Miss}, // F3
	{"html_404", "leadmagic", failed, providers.Transient},
	{"html_404", "hunter", failed, providers.Transient},
	{"html_404", "icypeas", failed, providers.Transient},
	{"null", "prospeo", failed, providers.Transient}, // F4: without error:false it is no answer
	{"empty", "hunter", failed, providers.Transient}, // without data too
	{"empty", "leadmagic", missed, providers.Miss},
	{"throttled_403", "hunter", failed, providers.Throttled}, // F5
	{"plan_429", "hunter", failed, providers.Quota},
	{"plan_429", "prospeo", failed, providers.Quota},
	{"throttled", "prospeo", failed, providers.Throttled}, // F6
	{"retry_seconds", "leadmagic", failed, providers.Throttled},
	{"retry_date", "leadmagic", failed, providers.Throttled},
	{"retry_utc", "leadmagic", failed, providers.Throttled},
	{"retry_list", "leadmagic", failed, providers.Throttled},
	{"retry_prose", "leadmagic", failed, providers.Throttled},
	{"retry_seconds", "icypeas", failed, providers.Throttled},
	{"pending", "icypeas", failed, providers.Pending}, // F7; Hunter's is in the next test
	{"pending_once", "icypeas", found, providers.Pending},
	{"item", "icypeas", found, providers.Hit},
	{"status_222", "hunter", failed, providers.Transient}, // F9
	{"status_222", "prospeo", failed, providers.Transient},
	{"status_222", "icypeas", failed, providers.Transient},
	{"status_423", "findymail", failed, providers.Quota},
	{"status_451", "hunter", missed, providers.Blocked},
	{"stalled", "hunter", failed, providers.Transient}, // F10
	{"silent", "prospeo", failed, providers.Transient}, // F11
	{"reset", "hunter", failed, providers.Transient},
	{"cut", "prospeo", failed, providers.Transient},
	{"truncated", "icypeas", failed, providers.Transient},
	{"html", "hunter", failed, providers.Transient}, // F12
	{"html_503", "prospeo", failed, providers.Transient},
	{"html_520", "icypeas", failed, providers.Transient},
	{"html_200", "leadmagic", failed, providers.Transient},
	{"cloudflare_1015", "leadmagic", failed, providers.Throttled},
	{"plain_401", "hunter", failed, providers.Auth},
	{"plain_401", "prospeo", failed, providers.Auth},
	{"huge", "hunter", failed, providers.Transient}, // F13
	{"gzip", "hunter", found, providers.Hit},
	{"gzip", "icypeas", found, providers.Hit},
	{"masked", "hunter", missed, providers.Miss}, // F14
	{"masked", "prospeo", missed, providers.Miss},
	{"masked", "leadmagic", missed, providers.Miss},
	{"placeholder", "prospeo", missed, providers.Hit},
	{"placeholder", "icypeas", missed, providers.Hit},
	{"catch_all", "hunter", missed, providers.Hit}, // F15
	{"catchall", "hunter", missed, providers.Hit},
	{"catch_hyphen_all", "icypeas", missed, providers.Hit},
	{"accept_all", "hunter", missed, providers.Hit},
	{"valid_catch_all", "leadmagic", missed, providers.Hit},
	{"valid_catch_all", "prospeo", missed, providers.Miss},
	{"texts", "hunter", found, providers.Hit}, // F16
	{"texts", "prospeo", found, providers.Hit},
	{"texts", "icypeas", found, providers.Hit},
	{"shouted", "hunter", found, providers.Hit},
	{"shouted", "leadmagic", found, providers.Hit},
	{"unknown_status", "hunter", missed, providers.Miss},
	{"unknown_status", "prospeo", missed, providers.Miss},
	{"unknown_status", "leadmagic", missed, providers.Miss},
	{"misspelt", "hunter", missed, providers.Miss},
	{"misspelt", "icypeas", missed, providers.Miss},
	{"deprecated", "prospeo", failed, providers.BadRequest}, // F17
	{"deprecated", "hunter", failed, providers.BadRequest},
	{"moved", "leadmagic", failed, providers.Transient},
	{"not_understood", "prospeo", failed, providers.BadRequest},
	{"charged_silent", "prospeo", failed, providers.Transient}, // F18
	{"without_field", "prospeo", missed, providers.Miss},       // F19
	{"without_field", "icypeas", missed, providers.Miss},
	{"wrong_person", "hunter", missed, providers.Hit}, // F20
	{"wrong_person", "prospeo", missed, providers.Hit},
	{"key_refused", "hunter", failed, providers.Auth},
	{"status_423", "prospeo", failed, providers.Quota},
	{"key_refused", "prospeo", failed, providers.Auth},
	{"key_refused", "icypeas", failed, providers.Auth},
	{"not_understood", "icypeas", missed, providers.Ineligible},
	{"deprecated", "icypeas", failed, providers.BadRequest},
	{"status_451", "icypeas", missed, providers.Blocked},
	{"gzip", "findymail", found, providers.Hit},
	{"texts", "findymail", found, providers.Hit},
	{"error", "findymail", failed, providers.Transient},
	{"error_200", "findymail", failed, providers.Transient},
	{"plan_used_up", "findymail", failed, providers.Quota},
	{"plan_429", "findymail", failed, providers.Quota},
	{"miss_404", "findymail", missed, providers.Miss},
	{"html_404", "findymail", failed, providers.Transient},
	{"null", "findymail", failed, providers.Transient},
	{"empty", "findymail", missed, providers.Miss},
	{"throttled", "findymail", failed, providers.Throttled},
	{"retry_seconds", "findymail", failed, providers.Throttled},
	{"key_refused", "findymail", failed, providers.Auth},
	{"not_understood", "findymail", failed, providers.BadRequest},
	{"deprecated", "findymail", failed, providers.BadRequest},
	{"status_222", "findymail", failed, providers.Transient},
	{"status_451", "findymail", missed, providers.Blocked},
	{"truncated", "findymail", failed, providers.Transient},
	{"charged_silent", "findymail", failed, providers.Transient},
	{"moved", "findymail", failed, providers.Transient},
	{"masked", "findymail", missed, providers.Miss},
	{"placeholder", "findymail", missed, providers.Hit},
	{"misspelt", "findymail", missed, providers.Miss},
	{"without_field", "findymail", missed, providers.Miss},
	{"wrong_person", "findymail", missed, providers.Hit},
	{"gzip", "leadmagic", found, providers.Hit},
	{"texts", "leadmagic", found, providers.Hit},
	{"null", "leadmagic", failed, providers.Transient},
	{"error", "leadmagic", failed, providers.Transient},
	{"error_200", "leadmagic", failed, providers.Transient},
	{"plan_used_up", "leadmagic", failed, providers.Quota},
	{"plan_200", "leadmagic", failed, providers.Quota},
	{"plan_400", "leadmagic", failed, providers.Quota},
	{"plan_429", "leadmagic", failed, providers.Quota},
	{"throttled_403", "leadmagic", failed, providers.Throttled},
	{"key_refused", "leadmagic", failed, providers.Auth},
	{"plain_401", "leadmagic", failed, providers.Auth},
	{"not_understood", "leadmagic", failed, providers.BadRequest},
	{"deprecated", "leadmagic", failed, providers.BadRequest},
	{"status_222", "leadmagic", failed, providers.Transient},
	{"status_451", "leadmagic", missed, providers.Blocked},
	{"truncated", "leadmagic", failed, providers.Transient},
	{"charged_silent", "leadmagic", failed, providers.Transient},
	{"placeholder", "leadmagic", missed, providers.Hit},
	{"catch_all", "leadmagic", missed, providers.Miss},
	{"accept_all", "leadmagic", missed, providers.Miss},
	{"misspelt", "leadmagic", missed, providers.Miss},
	{"without_field", "leadmagic", missed, providers.Miss},
	{"wrong_person", "leadmagic", missed, providers.Hit},
}

// validating are the cases of vendors that are asked about a valid address.
var validating = []faultCase{
	{"gzip", "millionverifier", found, providers.Hit},
	{"gzip", "leadmagic", found, providers.Hit},
	{"texts", "millionverifier", found, providers.Hit},
	{"texts", "leadmagic", found, providers.Hit},
	{"shouted", "millionverifier", found, providers.Hit},
	{"shouted", "leadmagic", found, providers.Hit},
	{"valid_catch_all", "millionverifier", missed, providers.Miss},
	{"valid_catch_all", "leadmagic", found, providers.Hit},
	{"catch_all", "millionverifier", missed, providers.Miss},
	{"catch_all", "leadmagic", missed, providers.Miss},
	{"catch_hyphen_all", "millionverifier", missed, providers.Miss},
	{"catch_hyphen_all", "leadmagic", missed, providers.Miss},
	{"accept_all", "millionverifier", missed, providers.Miss},
	{"accept_all", "leadmagic", missed, providers.Miss},
	{"unknown_status", "millionverifier", missed, providers.Miss},
	{"unknown_status", "leadmagic", missed, providers.Miss},
	{"masked", "millionverifier", missed, providers.Hit},
	{"masked", "leadmagic", missed, providers.Hit},
	{"wrong_person", "millionverifier", missed, providers.Hit},
	{"wrong_person", "leadmagic", missed, providers.Hit},
	{"without_field", "millionverifier", found, providers.Hit},
	{"without_field", "leadmagic", found, providers.Hit},
	{"miss_404", "millionverifier", failed, providers.BadRequest},
	{"miss_404", "leadmagic", missed, providers.Miss},
	{"html_404", "millionverifier", failed, providers.Transient},
	{"html_404", "leadmagic", failed, providers.Transient},
	{"html_200", "millionverifier", failed, providers.Transient},
	{"html_200", "leadmagic", failed, providers.Transient},
	{"null", "millionverifier", failed, providers.Transient},
	{"null", "leadmagic", failed, providers.Transient},
	{"empty", "millionverifier", failed, providers.Transient},
	{"empty", "leadmagic", failed, providers.Transient},
	{"error", "millionverifier", failed, providers.Transient},
	{"error", "leadmagic", failed, providers.Transient},
	{"error_200", "millionverifier", failed, providers.Transient},
	{"error_200", "leadmagic", failed, providers.Transient},
	{"error_400", "millionverifier", failed, providers.BadRequest},
	{"error_400", "leadmagic", failed, providers.Transient},
	{"plan_used_up", "millionverifier", failed, providers.Quota},
	{"plan_used_up", "leadmagic", failed, providers.Quota},
	{"plan_200", "millionverifier", failed, providers.Quota},
	{"plan_200", "leadmagic", failed, providers.Quota},
	{"plan_429", "millionverifier", failed, providers.Quota},
	{"plan_429", "leadmagic", failed, providers.Quota},
	{"key_refused", "millionverifier", failed, providers.Auth},
	{"key_refused", "leadmagic", failed, providers.Auth},
	{"plain_401", "millionverifier", failed, providers.Auth},
	{"plain_401", "leadmagic", failed, providers.Auth},
	{"throttled", "millionverifier", failed, providers.Throttled},
	{"throttled", "leadmagic", failed, providers.Throttled},
	{"retry_date", "millionverifier", failed, providers.Throttled},
	{"retry_date", "leadmagic", failed, providers.Throttled},
	{"cloudflare_1015", "millionverifier", failed, providers.Throttled},
	{"cloudflare_1015", "leadmagic", failed, providers.Throttled},
	{"not_understood", "millionverifier", failed, providers.BadRequest},
	{"not_understood", "leadmagic", failed, providers.BadRequest},
	{"deprecated", "millionverifier", failed, providers.BadRequest},
	{"deprecated", "leadmagic", failed, providers.BadRequest},
	{"moved", "millionverifier", failed, providers.Transient},
	{"moved", "leadmagic", failed, providers.Transient},
	{"status_222", "millionverifier", failed, providers.Transient},
	{"status_222", "leadmagic", failed, providers.Transient},
	{"status_423", "millionverifier", failed, providers.Quota},
	{"status_423", "leadmagic", failed, providers.Quota},
	{"status_451", "millionverifier", missed, providers.Blocked},
	{"status_451", "leadmagic", missed, providers.Blocked},
	{"reset", "millionverifier", failed, providers.Transient},
	{"reset", "leadmagic", failed, providers.Transient},
	{"truncated", "millionverifier", failed, providers.Transient},
	{"truncated", "leadmagic", failed, providers.Transient},
	{"charged_silent", "millionverifier", failed, providers.Transient},
	{"charged_silent", "leadmagic", failed, providers.Transient},
}

// TestEveryFault sends one question through the whole lookup for each way in
// which a vendor can answer. The row ends as it should, is charged if and only
// if it was found, and the metrics say what happened.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	for _, c := range finding {
		t.Run(c.vendor+" "+c.fault, func(t *testing.T) {
			t.Parallel()
			l := faultyLab(t, c.vendor)
			l.wantEnd(someone(t, faultDomain(c.fault)), c.outcome, c.call)
		})
	}
	for _, c := range validating {
		t.Run("validation by "+c.vendor+" "+c.fault, func(t *testing.T) {
			t.Parallel()
			l := faultyLab(t, c.vendor)
			l.wantEnd(l.mailbox("valid", faultDomain(c.fault)), c.outcome, c.call)
		})
	}
}

func faultyLab(t *testing.T, vendor string) *lab {
	t.Helper()
	return newLab(t, vendor, simulator.Vendor{Slow: 2 * time.Second}, providers.Limits{Patience: time.Millisecond})
}

func faultDomain(fault string) string {
	return "fault-" + strings.ReplaceAll(fault, "_", "-") + ".test"
}

// mailbox is a question about an address of which this is the truth.
func (l *lab) mailbox(truth, domain string) lookup.Query {
	l.t.Helper()
	for i := range 1000 {
		q := question(l.t, lookup.EmailValidation, lookup.Fields{"email": fmt.Sprintf("ada%d@%s", i, domain)})
		if told, _ := l.sim.Truth(q); told.Vendors[l.vendor].Status == truth {
			return q
		}
	}
	l.t.Fatalf("there is no %s address at %s", truth, domain)
	return lookup.Query{}
}

// The tables above have every outcome that a vendor can have.
func TestEveryOutcomeHasACase(t *testing.T) {
	t.Parallel()
	cannot := map[string][]providers.Outcome{ // what a vendor has no word for
		"hunter":    {providers.Ineligible, providers.Pending}, // pending: see TestLateAnswersCount
		"prospeo":   {providers.Ineligible, providers.Pending, providers.Blocked},
		"findymail": {providers.Ineligible, providers.Pending}, "leadmagic": {providers.Ineligible, providers.Pending},
		"millionverifier": {providers.Ineligible, providers.Pending},
	}
	for name, cases := range map[string][]faultCase{"finding": finding, "validating": validating} {
		seen := map[string]map[providers.Outcome]bool{}
		for _, c := range cases {
			if seen[c.vendor] == nil {
				seen[c.vendor] = map[providers.Outcome]bool{}
			}
			seen[c.vendor][c.call] = true
		}
		for vendor, outcomes := range seen {
			for _, o := range providers.Outcomes {
				if !outcomes[o] && !slices.Contains(cannot[vendor], o) {
					t.Errorf("%s: %s has no case that is %s", name, vendor, o)
				}
			}
		}
	}
}

// wantEnd drives one question to its end.
func (l *lab) wantEnd(q lookup.Query, outcome lookup.Outcome, call providers.Outcome) {
	l.t.Helper()
	id := l.ask(q).ID
	l.round(id, 0)
	if l.vendor == "icypeas" && l.get(id).Rows.Asked == 0 { // it was ordered, and is fetched
		l.clock.advance(5 * time.Second)
		l.round(id, 0)
	}
	if l.metric("magpie_provider_calls_total", "provider "+l.vendor, "outcome "+call.String()) == 0 {
		l.t.Errorf("no call counted as %s; the vendor says %+v", call, l.stats())
	}
	for range 3 { // the last of them after the deadline of rows
		if l.get(id).Status == store.Completed {
			break
		}
		l.clock.advance(6 * time.Minute)
		l.round(id, 0)
	}
	want, charged := store.RowCounts{Total: 1, Askable: 1, Asked: 1}, lookup.Credits(0)
	switch outcome {
	case lookup.Found:
		want.Found, charged = 1, lookup.Credit
	case lookup.NotFound:
		want.NotFound = 1
	case lookup.Failed:
		want.Failed = 1
	}
	l.wantOutcome(id, want, charged)
	l.wantSound(id)
	service := "service " + string(q.Service)
	if n := l.metric("magpie_lookups_total", service, "outcome "+string(outcome)); n != 1 {
		l.t.Errorf("%g lookups counted as %s, want 1", n, outcome)
	}
	if credits := l.metric("magpie_charged_credits_total", service); credits*float64(lookup.Credit) != float64(charged) {
		l.t.Errorf("the metric says that %g credits were charged, want %s", credits, charged)
	}
	if calls := l.stats().Calls; calls == 0 || calls > 8 {
		l.t.Errorf("the vendor was called %d times for one question", calls)
	}
	l.wantSettled()
}

// wantCalls checks that the metrics count calls of these outcomes, and no others.
func (l *lab) wantCalls(outcomes ...providers.Outcome) {
	l.t.Helper()
	for _, o := range providers.Outcomes {
		n := l.metric("magpie_provider_calls_total", "provider "+l.vendor, "outcome "+o.String())
		if (n > 0) != slices.Contains(outcomes, o) {
			l.t.Errorf("%g calls counted as %s; want calls as %v alone", n, o, outcomes)
		}
	}
}

// wantSettled checks that the hold is closed: nothing is set aside any more.
func (l *lab) wantSettled() {
	l.t.Helper()
	if balance, err := l.books.Balance(l.t.Context(), org); err != nil || balance.Held != 0 {
		l.t.Errorf("%+v, %v: credits are still held", balance, err)
	}
}

// F7 on one URL, F10: a vendor that is slow within its time.
func TestLateAnswersCount(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"pending_once", "slow"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "hunter", simulator.Vendor{Slow: 20 * time.Millisecond}, providers.Limits{})
			l.wantEnd(someone(t, "fault-"+strings.ReplaceAll(fault, "_", "-")+".test"), lookup.Found, providers.Hit)
		})
	}
}

// F18: what the vendor charged for and never sent is asked once a round, not
// at once again; a vendor whose repeats are free charges once.
func TestChargedButSilent(t *testing.T) {
	t.Parallel()
	for vendor, charges := range map[string]int{"prospeo": 1, "hunter": 2} {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, vendor, simulator.Vendor{Slow: 2 * time.Second}, providers.Limits{})
			id := l.ask(someone(t, "fault-charged-silent.test")).ID
			for round := 1; round <= 2; round++ {
				l.round(id, 0)
				l.clock.advance(11 * time.Minute)
				if calls := l.stats().Calls; calls != round {
					t.Errorf("%d calls in %d rounds", calls, round)
				}
			}
			l.wantOutcome(id, store.RowCounts{Total: 1, Askable: 1, Asked: 1, Failed: 1}, 0)
			l.wantCalls(providers.Transient)
			if charged := l.stats().Charged; charged != charges {
				t.Errorf("the vendor charged %d times, want %d", charged, charges)
			}
		})
	}
}

// people are n questions that the vendor answers by the world's truth, and how
// many of them it has an address for.
func (l *lab) people(n int) (rows []lookup.Query, known int64) {
	for i := range n {
		q := question(l.t, lookup.EmailFinder, lookup.Fields{
			"first_name": "zoe" + string(rune('a'+i%26)), "last_name": "byron" + string(rune('a'+i/26)), "domain": "acme.test"})
		rows = append(rows, q)
		if truth, _ := l.sim.Truth(q); truth.Vendors[l.vendor].Status == "valid" {
			known++
		}
	}
	return rows, known
}

// until runs rounds until the batch is complete; what waits, waits in the guard.
func (l *lab) until(id string, step time.Duration) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	for l.get(id).Status != store.Completed {
		if ctx.Err() != nil {
			l.t.Fatalf("the batch does not complete: %+v; the vendor saw %+v", l.get(id).Rows, l.stats())
		}
		l.round(id, 0)
		l.clock.advance(step)
	}
}

// F21: a vendor that refuses what is over its fixed window, and one that counts
// calls at once. Every row is answered in the end.
func TestLimiters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		quota  simulator.Quota
		limits providers.Limits
		exact  bool // we know the quota, and keep it
	}{
		"fixed window, unknown to us": {simulator.Quota{PerSecond: 15, Fixed: true}, providers.Limits{}, false},
		"at once":                     {simulator.Quota{Concurrent: 2}, providers.Limits{MaxConcurrent: 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "prospeo", simulator.Vendor{Quota: c.quota, Latency: time.Millisecond}, c.limits)
			rows, known := l.people(40)
			id := l.ask(rows...).ID
			l.until(id, 2*time.Second)
			l.wantOutcome(id, store.RowCounts{Total: 40, Askable: 40, Asked: 40, Found: known, NotFound: 40 - known}, lookup.Credits(known)*lookup.Credit)
			l.wantSound(id)
			if violations := l.sim.Stats().Violated(); (violations == 0) != c.exact {
				t.Errorf("%d violations", violations)
			}
			counted := []providers.Outcome{providers.Hit, providers.Miss}
			if !c.exact {
				counted = append(counted, providers.Throttled)
			}
			l.wantCalls(counted...)
		})
	}
}

// F22: a third of the calls fail for a while; afterwards nothing is missing.
func TestBrownOutLosesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, "hunter", simulator.Vendor{
		BrownOut: simulator.BrownOut{AfterCalls: 5, For: time.Minute, ErrorRate: 0.6, LatencyFactor: 5}, Latency: time.Millisecond,
	}, providers.Limits{OpenFor: 5 * time.Millisecond, Patience: 5 * time.Millisecond})
	rows, known := l.people(40)
	id := l.ask(rows...).ID
	l.until(id, 2*time.Second)
	l.wantOutcome(id, store.RowCounts{Total: 40, Askable: 40, Asked: 40, Found: known, NotFound: 40 - known}, lookup.Credits(known)*lookup.Credit)
	l.wantSound(id)
	if l.stats().Answers["error"] == 0 {
		t.Error("there was no brown-out")
	}
	l.wantCalls(providers.Hit, providers.Miss, providers.Transient)
}

// F23: with a wrong key nobody knocks so often that the vendor locks the door.
func TestWrongKeyLocksNobodyOut(t *testing.T) {
	t.Parallel()
	l := newLab(t, "hunter", simulator.Vendor{Key: "another", LockOut: simulator.LockOut{After: 5, For: time.Hour}}, providers.Limits{})
	rows, _ := l.people(40)
	id := l.ask(rows...).ID
	for range 3 {
		l.round(id, 0)
		l.clock.advance(6 * time.Minute)
	}
	l.wantOutcome(id, store.RowCounts{Total: 40, Askable: 40, Asked: 40, Failed: 40}, 0)
	if calls := l.stats().Calls; calls > 4 { // those in flight when the first answer came
		t.Errorf("%d calls with a refused key", calls)
	}
	l.wantCalls(providers.Auth)
}

// A batch of addresses ends as the world has them: what is definite is found and
// charged, the rest is free.
func TestValidationByTruth(t *testing.T) {
	t.Parallel()
	for _, vendor := range []string{"millionverifier", "leadmagic"} {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, vendor, simulator.Vendor{}, providers.Limits{})
			var rows []lookup.Query
			var definite int64
			seen := map[string]bool{}
			for i := range 90 {
				q := question(t, lookup.EmailValidation, lookup.Fields{"email": fmt.Sprintf("Ada%d@Firm%d.test", i, i%30)})
				truth, _ := l.sim.Truth(q)
				seen[truth.Vendors[vendor].Status] = true
				if truth.Found {
					definite++
				}
				rows = append(rows, q)
			}
			if len(seen) != 5 {
				t.Fatalf("the addresses are only %v", seen)
			}
			id := l.ask(rows...).ID
			l.until(id, 2*time.Second)
			l.wantOutcome(id, store.RowCounts{Total: 90, Askable: 90, Asked: 90, Found: definite, NotFound: 90 - definite}, lookup.Credits(definite)*lookup.Credit)
			l.wantSound(id)
			l.wantCalls(providers.Hit, providers.Miss)
			l.wantSettled()
		})
	}
}

// A status that nobody documented is never a hit, whatever the body says, and is
// not asked again for ever.
func TestUndocumentedStatuses(t *testing.T) {
	t.Parallel()
	hits := map[string]string{
		"hunter":          `{"data":{"email":"ada.byron@acme.test","score":99,"domain":"acme.test","accept_all":false,"verification":{"status":"valid"}}}`,
		"prospeo":         `{"error":false,"person":{"email":{"status":"VERIFIED","revealed":true,"email":"ada.byron@acme.test"}}}`,
		"icypeas":         `{"success":true,"items":[{"_id":"a1","status":"DEBITED","results":{"emails":[{"email":"ada.byron@acme.test","certainty":"ultra_sure"}]}}]}`,
		"findymail":       `{"contact":{"name":"Ada Byron","domain":"acme.test","email":"ada.byron@acme.test"}}`,
		"leadmagic":       `{"email":"ada.byron@acme.test","status":"valid","credits_consumed":1,"is_domain_catch_all":false}`,
		"millionverifier": `{"email":"ada.byron@acme.test","quality":"good","result":"ok","resultcode":1,"error":""}`,
	}
	for vendor, body := range hits {
		q := someone(t, "acme.test")
		if vendor == "millionverifier" {
			q = question(t, lookup.EmailValidation, lookup.Fields{"email": "ada.byron@acme.test"})
		}
		for _, status := range []int{200, 201, 203, 207, 222, 299, 304, 402, 409, 418, 499, 511, 529, 599, 799} {
			if status == 200 && vendor == "icypeas" {
				continue // without a ticket such an answer is none
			}
			t.Run(fmt.Sprint(vendor, " ", status), func(t *testing.T) {
				t.Parallel()
				var calls atomic.Int64
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					calls.Add(1)
					w.WriteHeader(status)
					_, _ = w.Write([]byte(body))
				}))
				t.Cleanup(server.Close)
				l := newLab(t, vendor, simulator.Vendor{}, providers.Limits{Patience: time.Millisecond})
				l.url, l.client = server.URL, server.Client()
				l.restart()
				id := l.ask(q).ID
				rounds := 0
				for ; l.get(id).Status != store.Completed && rounds < 10; rounds++ {
					l.round(id, 0)
					l.clock.advance(6 * time.Minute)
				}
				want, charged := store.RowCounts{Total: 1, Askable: 1, Asked: 1, Failed: 1}, lookup.Credits(0)
				if status == 200 {
					want, charged = store.RowCounts{Total: 1, Askable: 1, Asked: 1, Found: 1}, lookup.Credit
				}
				l.wantOutcome(id, want, charged)
				if n := calls.Load(); n == 0 || n > 4 || rounds > 3 {
					t.Errorf("%d calls in %d rounds", n, rounds)
				}
				l.wantSound(id)
			})
		}
	}
}
