package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

const idem = "Idempotency-Key: once-1"

// repeatables are all POSTs that create or cost something.
func repeatables(h *house) map[string]func(other bool, headers ...string) *reply {
	post := func(target, body, changed string) func(bool, ...string) *reply {
		return func(other bool, headers ...string) *reply {
			sent := body
			if other {
				sent = changed
			}
			return h.postJSON(target, sent, headers...)
		}
	}
	return map[string]func(bool, ...string) *reply{
		"batch, JSON": post("/v1/batches",
			`{"service":"email-finder","rows":[{"full_name":"Ada King","domain":"a.example"}]}`,
			`{"service":"email-finder","rows":[{"full_name":"Ada King","domain":"b.example"}]}`),
		"batch, form": func(other bool, headers ...string) *reply {
			parts := []string{"service=email-finder", "@x.csv=" + people}
			if other {
				parts = append(parts, "name=another")
			}
			body, header := form(parts...) // each with a boundary of its own
			return h.send("POST", "/v1/batches", strings.NewReader(body), append(headers, header)...)
		},
		"batch, CSV": func(other bool, headers ...string) *reply {
			target := "/v1/batches?service=email-finder"
			if other {
				target += "&name=another"
			}
			return h.postCSV(target, people, headers...)
		},
		"lookup": post("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"a.example"}`, `{"full_name":"Ada King","domain":"b.example"}`),
		"org": func(other bool, headers ...string) *reply {
			return post("/admin/v1/orgs", `{"name":"B"}`, `{"name":"C"}`)(other, append(headers, admin)...)
		},
		"grant": func(other bool, headers ...string) *reply {
			return post("/admin/v1/orgs/"+h.org+"/grants", `{"source":"purchase","credits":5}`, `{"source":"purchase","credits":6}`)(other, append(headers, admin)...)
		},
	}
}

func TestRepeatedRequestsAnswerTheSame(t *testing.T) {
	t.Parallel()
	for name := range repeatables(&house{}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			send := repeatables(h)[name]
			first := send(false, idem)
			if first.Code >= 300 || first.Header().Get("Idempotency-Replayed") != "" {
				t.Fatalf("first: %d %s", first.Code, first.Body)
			}
			before := h.totals()
			again := send(false, idem).want(first.Code)
			if again.Body.String() != first.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
				t.Errorf("repeated: %s %v, want %s", again.Body, again.Header(), first.Body)
			}
			again.sameHeaders(first, "Location", "X-Credits-Cost", "X-Credits-Remaining")
			send(true, idem).wantProblem(422, "idempotency_mismatch", "Idempotency-Key")
			if after := h.totals(); name != "org" && name != "grant" && after != before {
				t.Errorf("repeating changed %v to %v", before, after)
			}
			if fresh := send(false, "Idempotency-Key: once-2").want(first.Code); fresh.Body.String() == first.Body.String() && name != "lookup" {
				t.Errorf("another key answers the same: %s", fresh.Body)
			}
		})
	}
}

func (r *reply) sameHeaders(other *reply, names ...string) {
	r.t.Helper()
	for _, name := range names {
		if r.Header().Get(name) != other.Header().Get(name) {
			r.t.Errorf("%s: %q, first %q", name, r.Header().Get(name), other.Header().Get(name))
		}
	}
}

// totals is what requests change: objects, grants and credits.
func (h *house) totals() (n [4]int64) {
	h.t.Helper()
	for i, query := range []string{
		`SELECT COUNT(*) FROM batches`, `SELECT COUNT(*) FROM lookups`, `SELECT COUNT(*) FROM orgs`, `SELECT SUM(granted) * 1000 + SUM(charged) FROM accounts`,
	} {
		if err := h.db.QueryRowContext(h.t.Context(), query).Scan(&n[i]); err != nil {
			h.t.Fatal(err)
		}
	}
	return n
}

// Of requests that arrive together one does the work; the others wait or get
// its answer.
func TestRepeatedAtTheSameTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	replies := make([]*reply, 8)
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() { replies[i] = h.postCSV("/v1/batches?service=email-finder", people, idem) })
	}
	all.Wait()
	first := 0
	for _, r := range replies {
		switch {
		case r.Code == 409:
			r.wantProblem(409, "conflict", "")
		case r.want(202).Header().Get("Idempotency-Replayed") == "":
			first++
		}
	}
	if n := h.totals()[0]; n != 1 || first != 1 {
		t.Errorf("%d batches, %d first answers, want one", n, first)
	}
}

func TestKeyOfAnotherRoute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.postCSV("/v1/batches?service=email-finder", people, idem).want(202)
	h.postJSON("/v1/lookups/mobile-validation", `{"number":"+33612345678"}`, idem).wantProblem(422, "idempotency_mismatch", "Idempotency-Key")
}

func TestKeysOfOrganizationsAreApart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, other, _ := h.addOrg("Other", 5)
	mine := h.postCSV("/v1/batches?service=email-finder", people, idem).want(202)
	theirs := h.postCSV("/v1/batches?service=email-finder", people, idem, "X-API-Key: "+other).want(202)
	if mine.text("id") == theirs.text("id") || theirs.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("another organization got %s", theirs.Body)
	}
}

func TestMalformedIdempotencyKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, key := range []string{"a b", "é", strings.Repeat("x", 256), "tab\tbed"} {
		h.postCSV("/v1/batches?service=email-finder", people, "Idempotency-Key: "+key).wantProblem(400, "validation_error", "Idempotency-Key")
	}
	h.nothingStored()
	h.postCSV("/v1/batches?service=email-finder", people, "Idempotency-Key: "+strings.Repeat("~", 255)).want(202)
}

func TestRefusedRequestsGiveTheirKeyBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.postCSV("/v1/batches?service=email-finder", "colour\nred\n", idem).want(400)
	h.postCSV("/v1/batches?service=jobs-data", "company_name\nAcme\n", idem).want(503)
	h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"down.example"}`, idem).want(503)
	h.postCSV("/v1/batches?service=email-finder", people, idem).want(202)
}

// A key is shown once: a repeat says so, and neither makes another nor finds
// the secret anywhere.
func TestRepeatedKeyIsNotShownAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	create := func() *reply { return h.postJSON("/admin/v1/orgs/"+h.org+"/keys", `{"name":"ci"}`, admin, idem) }
	first := create().want(201)
	secret := first.text("key")
	h.get("/v1/credits", "X-API-Key: "+secret).want(200)
	again := create().wantProblem(409, "conflict", "")
	if strings.Contains(again.Body.String(), secret) || !strings.Contains(again.text("detail"), first.text("id")) {
		t.Errorf("repeated: %s", again.Body)
	}
	var kept string
	if err := h.db.QueryRowContext(t.Context(), `SELECT answer FROM idempotency`).Scan(&kept); err != nil || strings.Contains(kept, secret) {
		t.Errorf("kept: %s, err %v", kept, err)
	}
}

// claim is what a first request leaves that died before it answered.
func (h *house) claim(route, prefix string, hash []byte) (object string) {
	h.t.Helper()
	object = store.NewID(prefix, h.clock.now())
	_, claimed, err := h.db.ClaimKey(h.t.Context(), store.Claim{Org: h.org, Key: "once-1", Route: route, Object: object, BodyHash: hash}, h.clock.now(), time.Time{}, time.Time{})
	if err != nil || !claimed {
		h.t.Fatalf("claimed %t, err %v", claimed, err)
	}
	return object
}

// hashes learns what a request is hashed to, by sending it to another house.
func hashOf(t *testing.T, send func(h *house)) (hash []byte) {
	t.Helper()
	h := newHouse(t)
	send(h)
	if err := h.db.QueryRowContext(t.Context(), `SELECT body_hash FROM idempotency`).Scan(&hash); err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestUnfinishedBatchIsTakenOver(t *testing.T) {
	t.Parallel()
	submit := func(h *house) *reply { return h.postCSV("/v1/batches?service=email-finder", people, idem) }
	hash := hashOf(t, func(h *house) { submit(h).want(202) })
	for _, c := range []struct {
		name   string
		before func(h *house, id string)
	}{
		{"nothing was stored", func(*house, string) {}},
		{"half of it was stored", func(h *house, id string) { h.upload(id, 1) }},
		{"all of it was stored", func(h *house, id string) {
			if _, err := h.upload(id, 2).Accept(h.t.Context(), h.clock.now()); err != nil {
				h.t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			id := h.claim("POST /v1/batches", "bat", hash)
			c.before(h, id)
			busy := submit(h).wantProblem(409, "conflict", "")
			if busy.Header().Get("Retry-After") == "" {
				t.Error("a first request at work does not say when to come back")
			}
			h.clock.add(61 * time.Second)
			r := submit(h).want(202)
			if r.text("id") != id || r.at("rows.total") != 2.0 || r.Header().Get("Idempotency-Replayed") != "" {
				t.Errorf("taken over: %s", r.Body)
			}
			if rows := h.get("/v1/batches").want(200).at("data").([]any); len(rows) != 1 {
				t.Errorf("%d batches", len(rows))
			}
			if len(h.dispatcher.started) != 1 {
				t.Errorf("started %q", h.dispatcher.started)
			}
			if again := submit(h).want(202); again.Header().Get("Idempotency-Replayed") != "true" || again.text("id") != id {
				t.Errorf("repeated: %s", again.Body)
			}
		})
	}
}

// upload stores so many rows of a batch.
func (h *house) upload(id string, rows int) *store.Upload {
	h.t.Helper()
	u, err := h.db.BeginUpload(h.t.Context(), store.Batch{ID: id, Org: h.org, Key: h.keyID, Service: lookup.EmailFinder, ChunkRows: 1})
	for range rows {
		if err == nil {
			err = u.Add(h.t.Context(), store.InputRow{Fields: lookup.Fields{}})
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

// The lookup was charged, then its answer was lost with the process.
func TestLookupWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	ask := func(h *house) *reply {
		return h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"a.example"}`, idem)
	}
	hash := hashOf(t, func(h *house) { ask(h).want(200) })
	h := newHouse(t)
	id := h.claim("POST /v1/lookups/email-finder", "lkp", hash)
	h.ask(id, "a.example")
	h.clock.add(61 * time.Second)
	r := ask(h).want(200)
	if r.at("credits") != 1.0 || r.at("reused") != false || r.text("result.email") != "found@a.example" || r.Header().Get("X-Credits-Remaining") != "99" {
		t.Errorf("taken over: %s %v", r.Body, r.Header())
	}
	if n := h.vendor.calls(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// Credits were granted, then the answer was lost with the process. Whoever takes
// the request over and hangs up has learned nothing of that: the key is still that
// of the credits that were granted.
func TestGrantIsTakenOverByOneWhoHangsUp(t *testing.T) {
	t.Parallel()
	const body = `{"source":"purchase","credits":5}`
	grants := func(h *house) string { return "/admin/v1/orgs/" + h.org + "/grants" }
	hash := hashOf(t, func(h *house) { h.postJSON(grants(h), body, admin, idem).want(201) })
	hangUp := func() {}
	db := teststore.SQLite(t)
	h := newHouseOn(t, db, func(_ *api.Config, deps *api.Deps) {
		now := deps.Now
		deps.Books = books.New(db, deps.Gate, deps.Log, func() time.Time { hangUp(); return now() })
	})
	acme, path := h.org, grants(h)
	h.org = "admin"
	id := h.claim("POST "+path, "ref", hash)
	if _, _, err := h.books.Grant(t.Context(), books.Grant{Org: acme, Source: books.Purchase, Amount: 5 * lookup.Credit, Reference: id}); err != nil {
		t.Fatal(err)
	}
	h.clock.add(61 * time.Second)
	var ctx context.Context
	ctx, hangUp = context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body))
	for _, header := range []string{admin, idem, "Content-Type: application/json"} {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if w.Code != 499 {
		t.Fatalf("the one who hung up was answered %d %s", w.Code, w.Body)
	}
	hangUp = func() {}
	h.clock.add(61 * time.Second)
	h.postJSON(path, body, admin, idem).want(200)
	if balance, err := h.books.Balance(t.Context(), acme); err != nil || balance.Granted != int64(105*lookup.Credit) {
		t.Errorf("%s were granted, %v; want 100 and 5", lookup.Credits(balance.Granted), err)
	}
}

func TestOrganizationWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	create := func(h *house) *reply { return h.postJSON("/admin/v1/orgs", `{"name":"B"}`, admin, idem) }
	hash := hashOf(t, func(h *house) { create(h).want(201) })
	h := newHouse(t)
	acme := h.org
	h.org = "admin"
	id := h.claim("POST /admin/v1/orgs", "org", hash)
	h.org = acme
	if _, err := h.db.CreateOrg(t.Context(), id, "B", h.clock.now()); err != nil {
		t.Fatal(err)
	}
	h.clock.add(61 * time.Second)
	if r := create(h).want(201); r.text("id") != id || r.text("name") != "B" {
		t.Errorf("taken over: %s", r.Body)
	}
}

func TestAnswersAreForgottenAfterThirtyDays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.postCSV("/v1/batches?service=email-finder", people, idem).want(202).text("id")
	h.clock.add(31 * 24 * time.Hour)
	if second := h.postCSV("/v1/batches?service=email-finder", people, idem).want(202).text("id"); first == second {
		t.Error("still remembered")
	}
}
