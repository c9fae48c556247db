package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

func TestOrganizations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.clock.add(time.Second)
	made := h.postJSON("/admin/v1/orgs", `{"name":"Globex"}`, admin).want(201)
	id := made.text("id")
	if made.Header().Get("Location") != "/admin/v1/orgs/"+id || made.text("name") != "Globex" {
		t.Errorf("made: %s", made.Body)
	}
	if got := h.get("/admin/v1/orgs/"+id, admin).want(200); got.Body.String() != made.Body.String() {
		t.Errorf("got %s, made %s", got.Body, made.Body)
	}
	first := h.get("/admin/v1/orgs?limit=1", admin).want(200)
	second := h.get("/admin/v1/orgs?limit=1&cursor="+first.text("next_cursor"), admin).want(200)
	if first.text("data.0.id") != h.org || second.text("data.0.id") != id || second.at("next_cursor") != nil {
		t.Errorf("pages: %s %s", first.Body, second.Body)
	}
	h.get("/admin/v1/orgs/org_nothing", admin).wantProblem(404, "not_found", "")
	for body, param := range map[string]string{`{}`: "name", `{"name":" "}`: "name", `{"name":7}`: "name", `{"name":"x","plan":1}`: "plan", `{"name":"` + strings.Repeat("é", 201) + `"}`: "name"} {
		h.postJSON("/admin/v1/orgs", body, admin).wantProblem(400, "validation_error", param)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.clock.add(time.Second)
	keys := "/admin/v1/orgs/" + h.org + "/keys"
	made := h.postJSON(keys, `{"name":"ci"}`, admin).want(201)
	secret, id := made.text("key"), made.text("id")
	if !strings.HasPrefix(secret, "mgp_") || made.text("hint") != secret[len(secret)-4:] || made.at("revoked_at") != nil {
		t.Errorf("made: %s", made.Body)
	}
	h.get("/v1/credits", "X-API-Key: "+secret).want(200)
	list := h.get(keys, admin).want(200)
	if strings.Contains(list.Body.String(), secret) || strings.Contains(list.Body.String(), `"key"`) || len(list.at("data").([]any)) != 2 {
		t.Errorf("listed: %s", list.Body)
	}
	for range 2 {
		if r := h.send(http.MethodDelete, keys+"/"+id, nil, admin).want(204); r.Body.Len() > 0 {
			t.Errorf("revoked: %s", r.Body)
		}
	}
	h.get("/v1/credits", "X-API-Key: "+secret).wantProblem(401, "invalid_api_key", "")
	if r := h.get(keys, admin); r.text("data.1.revoked_at") == "" {
		t.Errorf("listed: %s", r.Body)
	}
	h.get("/v1/credits").want(200)

	other, _, _ := h.addOrg("Other", 0)
	h.send(http.MethodDelete, "/admin/v1/orgs/"+other+"/keys/"+h.keyID, nil, admin).wantProblem(404, "not_found", "")
	h.get("/admin/v1/orgs/org_nothing/keys", admin).wantProblem(404, "not_found", "")
	h.postJSON("/admin/v1/orgs/org_nothing/keys", `{"name":"ci"}`, admin).wantProblem(404, "not_found", "")
}

func TestGrants(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	grants := "/admin/v1/orgs/" + h.org + "/grants"
	for body, param := range map[string]string{
		`{"source":"purchase","credits":-5}`:                                        "credits",
		`{"source":"purchase","credits":0}`:                                         "credits",
		`{"source":"purchase","credits":0.0001}`:                                    "credits",
		`{"source":"purchase","credits":"5"}`:                                       "credits",
		`{"source":"purchase","credits":1e3}`:                                       "credits",
		`{"source":"purchase","credits":9007199254740.991}`:                         "credits", // more than there can be in all
		`{"source":"purchase"}`:                                                     "credits",
		`{"credits":5}`:                                                             "source",
		`{"source":"subscription","credits":5}`:                                     "expires_at",
		`{"source":"subscription","credits":5,"expires_at":"2020-01-01T00:00:00Z"}`: "expires_at",
		`{"source":"purchase","credits":5,"expires_at":"2099-01-01T00:00:00Z"}`:     "expires_at",
		`{"source":"gift","credits":5}`:                                             "source",
		`{"source":"purchase","credits":5,"expires_at":"x"}`:                        "expires_at",
		`{"source":"purchase","credits":5,"note":"x"}`:                              "note",
		`{"source":"purchase","credits":5,"reference":7}`:                           "reference",
		`{"source":"purchase","credits":5,"reference":"` + long(201) + `"}`:         "reference",
		`{"source":"purchase","Credits":5,"credits":5}`:                             "Credits",
		`{"source":"adjustment","credits":99999999999999999999,"reference":"r1"}`:   "credits",
	} {
		h.postJSON(grants, body, admin).wantProblem(400, "validation_error", param)
	}
	if c := h.get("/v1/credits"); c.at("available") != 100.0 || len(c.at("grants").([]any)) != 1 || len(h.dispatcher.woken) > 0 {
		t.Errorf("refused grants left %s and woke %q", c.Body, h.dispatcher.woken)
	}

	first := h.postJSON(grants, `{"source":"purchase","credits":12.345,"reference":"inv-1"}`, admin).want(201)
	again := h.postJSON(grants, `{"source":"purchase","credits":12.345,"reference":"inv-1"}`, admin).want(200)
	if first.text("id") != again.text("id") || first.at("granted") != 12.345 || first.text("reference") != "inv-1" || first.at("expires_at") != nil {
		t.Errorf("granted %s, again %s", first.Body, again.Body)
	}
	h.postJSON(grants, `{"source":"purchase","credits":13,"reference":"inv-1"}`, admin).wantProblem(409, "conflict", "reference")
	h.postJSON(grants, `{"source":"adjustment","credits":12.345,"reference":"inv-1"}`, admin).wantProblem(409, "conflict", "reference")
	if c := h.get("/v1/credits"); c.at("available") != 112.345 {
		t.Errorf("credits: %s", c.Body)
	}
	if l := h.get(grants, admin).want(200); len(l.at("data").([]any)) != 2 || l.text("data.1.id") != first.text("id") || l.at("data.1.remaining") != 12.345 {
		t.Errorf("listed: %s", l.Body)
	}
	h.postJSON("/admin/v1/orgs/org_nothing/grants", `{"source":"purchase","credits":1}`, admin).wantProblem(404, "not_found", "")
	h.get("/admin/v1/orgs/org_nothing/grants", admin).wantProblem(404, "not_found", "")
}

func long(n int) string { return strings.Repeat("x", n) }

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, c := range []struct {
		name, target, key string
		status            int
		code              string
	}{
		{"no key", "/v1/credits", "X-API-Key: ", 401, "missing_authentication"},
		{"no key, administrator's", "/admin/v1/orgs", "X-API-Key: ", 401, "missing_authentication"},
		{"a wrong key", "/v1/credits", "X-API-Key: mgp_wrong", 401, "invalid_api_key"},
		{"a wrong key, administrator's", "/admin/v1/orgs", "X-API-Key: mgpa_wrong", 401, "invalid_api_key"},
		{"a wrong key says nothing of objects", "/v1/batches/bat_x?colour=red", "X-API-Key: mgp_wrong", 401, "invalid_api_key"},
		{"a customer at the administrator's", "/admin/v1/orgs", "X-API-Key: " + h.key, 403, "insufficient_permissions"},
		{"the administrator at a customer's", "/v1/credits", admin, 403, "insufficient_permissions"},
	} {
		r := h.get(c.target, c.key).wantProblem(c.status, c.code, "")
		if c.status == 401 && r.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", c.name)
		}
	}
	h.get("/v1/credits", "X-API-Key: ", "x-api-key: "+h.key).want(200)
	h.get("/openapi.json", "X-API-Key: ").want(200)
}

func TestWithoutAdministratorNobodyIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config, d *api.Deps) { c.AdminKeyHash = nil; d.Queues = http.NotFoundHandler() })
	h.get("/admin/v1/orgs", "X-API-Key: x").wantProblem(401, "invalid_api_key", "")
	h.get("/ops/queues", "Authorization: Basic Og==").wantProblem(401, "invalid_api_key", "") // ":"
}

func TestQueuesAreForAdministrators(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(_ *api.Config, d *api.Deps) {
		d.Queues = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("queues at " + r.URL.Path)) })
	})
	password := func(p string) string {
		r, _ := http.NewRequest("GET", "/", nil)
		r.SetBasicAuth("anyone", p)
		return "Authorization: " + r.Header.Get("Authorization")
	}
	for _, target := range []string{"/ops/queues", "/ops/queues/", "/ops/queues/api/queues"} {
		r := h.get(target).wantProblem(401, "missing_authentication", "")
		if got := r.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic ") {
			t.Errorf("WWW-Authenticate %q", got)
		}
		h.get(target, password(h.key)).wantProblem(401, "invalid_api_key", "")
		h.get(target, admin).wantProblem(401, "missing_authentication", "")
		if r := h.get(target, password(adminKey)).want(200); r.Body.String() != "queues at "+target {
			t.Errorf("answer %q", r.Body)
		}
	}
}

func TestNoQueuesNoPage(t *testing.T) {
	t.Parallel()
	newHouse(t).get("/ops/queues").wantProblem(404, "not_found", "")
}

func TestAudit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.clock.add(time.Second) // ids of one millisecond have no order
	h.addOrg("Other", 5)
	h.ask("k1", "hit.example")
	first := h.get("/admin/v1/audit?full=true&limit=1", admin).want(200)
	second := h.get("/admin/v1/audit?limit=1&cursor="+first.text("next_cursor"), admin).want(200)
	if first.at("data.0.entries") != 2.0 || first.at("data.0.available") != 99.0 || first.at("data.0.busy") != false || len(first.at("data.0.differences").([]any)) != 0 {
		t.Errorf("the first organization: %s", first.Body)
	}
	if second.at("data.0.entries") != 1.0 || second.at("next_cursor") != nil {
		t.Errorf("the second: %s", second.Body)
	}
	err := h.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.ExecContext(t.Context(), `UPDATE accounts SET available = available + 1 WHERE org = ?`, h.org)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := h.get("/admin/v1/audit", admin).want(200); len(r.at("data.0.differences").([]any)) == 0 {
		t.Errorf("a credit out of nothing: %s", r.Body)
	}
	h.get("/admin/v1/audit").wantProblem(403, "insufficient_permissions", "")
}

func TestProviders(t *testing.T) {
	t.Parallel()
	said, lost := []providers.Summary{{
		State: providers.State{
			Provider: "hunter", Condition: "parked", Until: time.Unix(2_000_000_000, 0), InFlight: 3,
			Quotas: []providers.QuotaUse{{Window: "minute", Used: 40, Quota: 500}},
		},
		Services: []lookup.Service{lookup.EmailFinder}, Processes: 2, Calls: map[string]int64{"hit": 7}, HeldBack: map[string]int64{"parked": 1},
		P95: 1500 * time.Millisecond, Cost: 0.25,
	}}, error(nil)
	h := newHouse(t, func(_ *api.Config, d *api.Deps) {
		d.Providers = func(context.Context) ([]providers.Summary, error) { return said, lost }
	})
	got := h.get("/admin/v1/providers", admin).want(200)
	for path, want := range map[string]any{
		"data.0.provider": "hunter", "data.0.condition": "parked", "data.0.until": "2033-05-18T03:33:20Z", "data.0.not_before": nil, "data.0.processes": 2.0,
		"data.0.in_flight": 3.0, "data.0.per_second": nil, "data.0.quotas.0.used": 40.0, "data.0.calls.hit": 7.0, "data.0.held_back.parked": 1.0,
		"data.0.p50_seconds": nil, "data.0.p95_seconds": 1.5, "data.0.cost": 0.25, "data.0.services.0": "email-finder", "next_cursor": nil,
	} {
		if got.at(path) != want {
			t.Errorf("%s is %v, want %v", path, got.at(path), want)
		}
	}
	h.get("/admin/v1/providers").wantProblem(403, "insufficient_permissions", "")
	lost = errors.New("redis: secret address")
	if refused := h.get("/admin/v1/providers", admin); refused.Code != 503 || strings.Contains(refused.Body.String(), "secret") {
		t.Errorf("%d %s", refused.Code, refused.Body)
	}
}
