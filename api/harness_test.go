package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/logging"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

const adminKey = "mgpa_administrator"

// dispatcher runs chunks at once when told to, and remembers what it was asked.
type dispatcher struct {
	mu      sync.Mutex
	started []string
	woken   []string
}

func (d *dispatcher) Start(_ context.Context, b store.Batch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.started = append(d.started, b.ID)
}

func (d *dispatcher) Wake(_ context.Context, org string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.woken = append(d.woken, org)
}

// vendor is a provider whose answer depends on the domain's first letter: m for
// a miss, d for down, p for a panic, anything else is a hit.
type vendor struct {
	mu    sync.Mutex
	asked int
}

func (v *vendor) Name() string { return "stub" }

func (v *vendor) Services() []lookup.Service {
	return []lookup.Service{lookup.EmailFinder, lookup.MobileValidation}
}

func (v *vendor) Ask(_ context.Context, q lookup.Query) providers.Answer {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	subject := q.Get("domain")
	switch {
	case strings.HasPrefix(subject, "m"):
		return providers.Answer{Outcome: providers.Miss}
	case strings.HasPrefix(subject, "d"):
		return providers.Answer{Outcome: providers.Transient, After: time.Hour}
	case strings.HasPrefix(subject, "p"):
		panic("a bug")
	case q.Service == lookup.MobileValidation:
		return providers.Answer{Outcome: providers.Hit, Result: map[string]any{"number": q.Get("number"), "valid": true}}
	}
	return providers.Answer{Outcome: providers.Hit, Result: map[string]any{"email": "found@" + subject, "status": "valid", "domain": subject}}
}

func (v *vendor) calls() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked
}

// clock is a clock that only tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// house is a whole API on a database (SQLite, unless told otherwise) and an
// in-process Redis.
type house struct {
	t          *testing.T
	db         *store.DB
	books      *books.Books
	gate       *ledger.Gate
	engine     *enrich.Engine
	dispatcher *dispatcher
	vendor     *vendor
	clock      *clock
	log        *bytes.Buffer
	handler    http.Handler
	org, key   string // of the first organization
	keyID      string
}

func newHouse(t *testing.T, change ...func(*api.Config, *api.Deps)) *house {
	t.Helper()
	return newHouseOn(t, teststore.SQLite(t), change...)
}

func newHouseOn(t *testing.T, db *store.DB, change ...func(*api.Config, *api.Deps)) *house {
	t.Helper()
	h := &house{t: t, db: db, dispatcher: &dispatcher{}, vendor: &vendor{}, clock: &clock{t: time.Now().Truncate(time.Millisecond)}, log: &bytes.Buffer{}}
	log := logging.New(slog.New(slog.NewTextHandler(&lockedWriter{w: h.log}, nil)))
	h.gate = ledger.New(testredis.Mini(t))
	h.books = books.New(db, h.gate, log, h.clock.now)
	waterfall := &providers.Waterfall{Providers: []providers.Provider{h.vendor}}
	waterfalls := providers.Waterfalls{lookup.EmailFinder: waterfall, lookup.MobileValidation: waterfall}
	h.engine = enrich.New(enrich.Config{LookupPatience: time.Millisecond, BatchShare: 1000}, db, h.books, waterfalls, nil, log, h.clock.now)
	cfg := api.Config{
		AdminKeyHash: store.HashSecret(adminKey), ChunkRows: 3, SpoolDir: t.TempDir(), BuyURL: "https://magpie.example/buy",
		Services: func(s lookup.Service) bool { _, ok := waterfalls.For(s); return ok },
	}
	deps := api.Deps{DB: db, Books: h.books, Gate: h.gate, Engine: h.engine, Dispatcher: h.dispatcher, Log: log, Now: h.clock.now}
	for _, c := range change {
		c(&cfg, &deps)
	}
	var err error
	if h.handler, err = api.New(cfg, deps); err != nil {
		t.Fatal(err)
	}
	h.org, h.key, h.keyID = h.addOrg("Acme", 100)
	return h
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// addOrg makes an organization with a key and so many credits.
func (h *house) addOrg(name string, credits lookup.Credits) (org, secret, keyID string) {
	h.t.Helper()
	made, err := h.db.CreateOrg(h.t.Context(), "", name, h.clock.now())
	if err != nil {
		h.t.Fatal(err)
	}
	secret = store.NewSecret("mgp_")
	key, err := h.db.CreateKey(h.t.Context(), made.ID, "test", secret, 0, h.clock.now())
	if err != nil {
		h.t.Fatal(err)
	}
	if credits > 0 {
		if _, _, err := h.books.Grant(h.t.Context(), books.Grant{Org: made.ID, Source: books.Purchase, Amount: credits * lookup.Credit}); err != nil {
			h.t.Fatal(err)
		}
	}
	return made.ID, secret, key.ID
}

// send sends one request. Headers are "Name: value"; X-API-Key is the first
// organization's unless given.
func (h *house) send(method, target string, body io.Reader, headers ...string) *reply {
	h.t.Helper()
	r := httptest.NewRequest(method, target, body)
	r.Header.Set("X-API-Key", h.key)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return &reply{t: h.t, ResponseRecorder: w}
}

func (h *house) get(target string, headers ...string) *reply {
	h.t.Helper()
	return h.send(http.MethodGet, target, nil, headers...)
}

func (h *house) postJSON(target, body string, headers ...string) *reply {
	h.t.Helper()
	return h.send(http.MethodPost, target, strings.NewReader(body), append([]string{"Content-Type: application/json"}, headers...)...)
}

func (h *house) postCSV(target, body string, headers ...string) *reply {
	h.t.Helper()
	return h.send(http.MethodPost, target, strings.NewReader(body), append([]string{"Content-Type: text/csv"}, headers...)...)
}

const admin = "X-API-Key: " + adminKey

// nothingStored fails if the first organization has a batch, even an
// unfinished one, or was charged.
func (h *house) nothingStored() {
	h.t.Helper()
	for _, table := range []string{"batches", "chunks", "duplicates", "lookups", "closings"} {
		var n int
		if err := h.db.QueryRowContext(h.t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil || n != 0 {
			h.t.Errorf("%d rows in %s, err %v, want none", n, table, err)
		}
	}
}

// run runs every chunk of a batch until it ends or waits.
func (h *house) run(id string) {
	h.t.Helper()
	b, err := store.BatchByID(h.t.Context(), h.db, id)
	if err != nil {
		h.t.Fatal(err)
	}
	for chunk := range b.Chunks {
		h.runChunk(id, chunk)
	}
}

func (h *house) runChunk(id string, chunk int64) {
	h.t.Helper()
	state, err := store.GetChunkState(h.t.Context(), h.db, id, chunk)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.engine.RunRound(h.t.Context(), store.Round{Batch: id, Chunk: chunk, Round: state.Round}); err != nil {
		h.t.Fatal(err)
	}
}

// reply is an answer with shortcuts for reading it.
type reply struct {
	*httptest.ResponseRecorder

	t *testing.T
}

func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.Code != status {
		r.t.Fatalf("status %d, want %d: %s", r.Code, status, r.Body)
	}
	return r
}

// at returns a value of a JSON answer by its path: "errors.0.param".
func (r *reply) at(path string) any {
	r.t.Helper()
	var v any
	if err := json.Unmarshal(r.Body.Bytes(), &v); err != nil {
		r.t.Fatalf("the answer is not JSON: %v: %s", err, r.Body)
	}
	for step := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i := int(step[0] - '0')
			if i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

func (r *reply) text(path string) string {
	r.t.Helper()
	s, _ := r.at(path).(string)
	return s
}

// wantProblem checks the whole form of an error answer, and that it names param
// if one is given.
func (r *reply) wantProblem(status int, code, param string) *reply {
	r.t.Helper()
	r.want(status)
	if got := r.Header().Get("Content-Type"); got != "application/problem+json" {
		r.t.Errorf("Content-Type %q", got)
	}
	for _, member := range []string{"type", "title", "detail", "request_id"} {
		if r.text(member) == "" {
			r.t.Errorf("no %s in %s", member, r.Body)
		}
	}
	if got := r.text("code"); got != code {
		r.t.Errorf("code %q, want %q: %s", got, code, r.Body)
	}
	if r.at("status") != float64(status) || r.text("request_id") != r.Header().Get("X-Request-Id") {
		r.t.Errorf("status or request_id do not match the header: %s", r.Body)
	}
	if param != "" && r.text("errors.0.param") != param {
		r.t.Errorf("errors name %q, want %q: %s", r.text("errors.0.param"), param, r.Body)
	}
	return r
}

// hold sets credits aside as a running chunk of the batch does.
func (h *house) hold(batch string, units int64) {
	h.t.Helper()
	_, err := h.books.Hold(h.t.Context(), ledger.HoldRequest{
		Org: h.org, ID: store.Round{Batch: batch}.String(), Want: units, Least: units, Price: int64(lookup.Credit),
		Scopes: []ledger.Scope{{Name: store.BatchScope(batch)}}, Life: time.Minute,
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// ask runs a single lookup as the API does.
func (h *house) ask(id, domain string) {
	h.t.Helper()
	q, err := lookup.Normalise(lookup.EmailFinder, map[string]string{"full_name": "Ada King", "domain": domain}, lookup.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.engine.Lookup(h.t.Context(), enrich.Request{ID: id, Org: h.org, Key: h.keyID, Query: q, Price: lookup.Credit}); err != nil {
		h.t.Fatal(err)
	}
}
