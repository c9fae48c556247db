package api_test

import (
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/lookup"
)

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if got := h.get("/v1/credits", "X-Request-Id: trace-1234").Header().Get("X-Request-Id"); got != "trace-1234" {
		t.Errorf("a sane id became %q", got)
	}
	for _, given := range []string{"short", "has space", strings.Repeat("x", 65), `"quoted-id"`} {
		if got := h.get("/v1/credits", "X-Request-Id: "+given).Header().Get("X-Request-Id"); !strings.HasPrefix(got, "req_") {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config, _ *api.Deps) { c.RequestsPerMinute = 3 })
	_, other, _ := h.addOrg("Other", 0)
	limits := func(r *reply) string {
		return r.Header().Get("RateLimit-Limit") + " " + r.Header().Get("RateLimit-Remaining") + " " + r.Header().Get("RateLimit-Reset")
	}
	for i, want := range []string{"3 2 20", "3 1 40", "3 0 60"} {
		if got := limits(h.get("/v1/credits").want(200)); got != want {
			t.Errorf("request %d: %q, want %q", i, got, want)
		}
	}
	r := h.get("/v1/credits").wantProblem(429, "rate_limit_exceeded", "")
	if limits(r) != "3 0 60" || r.Header().Get("Retry-After") != "20" {
		t.Errorf("%q, Retry-After %q", limits(r), r.Header().Get("Retry-After"))
	}
	for name, got := range map[string]*reply{
		"another key": h.get("/v1/credits", "X-API-Key: "+other).want(200),
		"no key":      h.get("/v1/credits", "X-API-Key: ").want(401),
		"no path":     h.get("/nothing", admin).want(404),
	} {
		if limits(got) != "3 2 20" {
			t.Errorf("%s: %q", name, limits(got))
		}
	}
	h.clock.add(20 * time.Second)
	h.get("/v1/credits").want(200)
	h.get("/v1/credits").want(429)
}

// A bug in a handler costs one request, not the process, and says nothing.
func TestPanicsAreAnswered(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(_ *api.Config, d *api.Deps) {
		d.Queues = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("sekrit") })
	})
	r := h.get("/ops/queues", "Authorization: Basic OiM=", "X-Request-Id: trace-1234")
	r.wantProblem(401, "invalid_api_key", "")
	request, _ := http.NewRequest("GET", "/", nil)
	request.SetBasicAuth("", adminKey)
	r = h.get("/ops/queues", "Authorization: "+request.Header.Get("Authorization"), "X-Request-Id: trace-1234").wantProblem(500, "internal_error", "")
	if strings.Contains(r.Body.String(), "sekrit") || r.text("request_id") != "trace-1234" {
		t.Errorf("answer: %s", r.Body)
	}
	if log := h.log.String(); !strings.Contains(log, "trace-1234") || strings.Contains(log, "sekrit") || !strings.Contains(log, "stack") {
		t.Errorf("log: %s", log)
	}
}

// What breaks below is told without its reasons, which are in the log.
func TestInternalErrorsAreNotTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.db.Close()
	r := h.get("/v1/credits").wantProblem(500, "internal_error", "")
	if strings.Contains(r.Body.String(), "sql") || !strings.Contains(h.log.String(), "sql: database is closed") {
		t.Errorf("answer: %s, log: %s", r.Body, h.log)
	}
}

func TestTheLogHasNoPersonalData(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"a.example"}`).want(200)
	h.postCSV("/v1/batches?service=email-finder&name=Kings", people).want(202)
	log := h.log.String()
	if !regexp.MustCompile(`msg="batch accepted" batch=bat_\S+ org=` + h.org + ` .* request=req_`).MatchString(log) {
		t.Errorf("no batch that names its request: %s", log)
	}
	for _, private := range []string{"Ada", "a.example", "Kings", h.key, "service=email-finder&"} {
		if strings.Contains(log, private) {
			t.Errorf("the log has %q: %s", private, log)
		}
	}
	for _, wanted := range []string{`route="POST /v1/batches"`, "status=202", "org=" + h.org, "key=" + h.keyID, "method=POST", "bytes="} {
		if !strings.Contains(log, wanted) {
			t.Errorf("the log lacks %q: %s", wanted, log)
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	if _, err := api.New(api.Config{}, api.Deps{}); err == nil || !strings.Contains(err.Error(), "Deps") {
		t.Errorf("without parts: %v", err)
	}
	h := newHouse(t)
	deps := api.Deps{DB: h.db, Books: h.books, Gate: h.gate, Engine: h.engine, Dispatcher: h.dispatcher, Log: slog.New(slog.DiscardHandler), Now: h.clock.now}
	for _, prices := range []map[lookup.Service]lookup.Credits{{"fax-finder": 1}, {lookup.EmailFinder: -1}, {lookup.EmailFinder: 1_000_000*lookup.Credit + 1}} {
		if _, err := api.New(api.Config{Prices: prices}, deps); err == nil || !strings.Contains(err.Error(), "price") {
			t.Errorf("with prices %v: %v", prices, err)
		}
	}
	if _, err := api.New(api.Config{}, deps); err != nil {
		t.Errorf("with defaults: %v", err)
	}
}
