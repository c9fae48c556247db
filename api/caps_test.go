package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/store"
)

const (
	eight  = "full_name,domain\nA One,a.example\nB Two,b.example\nC Three,c.example\nE Five,e.example\nF Six,f.example\nG Seven,g.example\nH Eight,h.example\nI Nine,i.example\n"
	finder = "/v1/batches?service=email-finder"
)

func (h *house) patch(target, body string, headers ...string) *reply {
	h.t.Helper()
	return h.send(http.MethodPatch, target, strings.NewReader(body), append([]string{"Content-Type: application/json"}, headers...)...)
}

// A cap can be given in every way to send rows, and is shown.
func TestSubmitWithACap(t *testing.T) {
	t.Parallel()
	inForm, formType := form("service=email-finder", "@people.csv="+eight, "max_credits=2.5")
	const rows = `"rows":[{"full_name":"A One","domain":"a.example"},{"full_name":"B Two","domain":"b.example"},{"full_name":"C Three","domain":"c.example"}]`
	for _, c := range []struct {
		name, target, body, header string
		limit, most                any
	}{
		{"parameter", finder + "&max_credits=2.5", eight, "Content-Type: text/csv", 2.5, 2.5},
		{"form", "/v1/batches", inForm, formType, 2.5, 2.5},
		{"JSON", "/v1/batches", `{"service":"email-finder","max_credits":2.5,` + rows + `}`, "Content-Type: application/json", 2.5, 2.5},
		{"more than it can cost", "/v1/batches", `{"service":"email-finder","max_credits":500,` + rows + `}`, "Content-Type: application/json", 500.0, 3.0},
		{"null", "/v1/batches", `{"service":"email-finder","max_credits":null,` + rows + `}`, "Content-Type: application/json", nil, 3.0},
	} {
		h := newHouse(t)
		r := h.send(http.MethodPost, c.target, strings.NewReader(c.body), c.header).want(202)
		if r.at("max_credits") != c.limit || r.at("credits.max") != c.most {
			t.Errorf("%s: %s", c.name, r.Body)
		}
		if again := h.get("/v1/batches/" + r.text("id")).want(200); again.at("max_credits") != c.limit || again.at("credits.max") != c.most {
			t.Errorf("%s: later %s", c.name, again.Body)
		}
	}
}

// At its cap a batch pauses and says what it needs; a raised cap lets it go on,
// and one below what is spent pauses it.
func TestCapOfABatch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	target := "/v1/batches/" + h.postCSV(finder+"&max_credits=4", eight).want(202).text("id")
	id := strings.TrimPrefix(target, "/v1/batches/")
	want := func(what, status string, reason any, charged, most, needed float64) {
		t.Helper()
		r := h.get(target).want(200)
		if r.text("status") != status || r.at("pause_reason") != reason || r.at("credits.charged") != charged || r.at("credits.max") != most || r.at("credits.needed") != needed {
			t.Errorf("%s: %s", what, r.Body)
		}
	}
	h.run(id)
	h.run(id)
	want("at its cap", "paused", "spend_cap", 4, 4, 4)
	h.postJSON("/admin/v1/orgs/"+h.org+"/grants", `{"source":"adjustment","credits":100}`, admin).want(201)
	if _, resumed, err := h.db.ResumeWaiting(t.Context(), h.org, id, h.clock.now()); err != nil || resumed {
		t.Fatalf("resumed %t, %v", resumed, err)
	}
	want("after a grant", "paused", "spend_cap", 4, 4, 4)

	h.dispatcher.woken = nil
	if r := h.patch(target, `{"max_credits":6,"name":"raised"}`).want(200); r.at("max_credits") != 6.0 || r.text("name") != "raised" {
		t.Errorf("raised: %s", r.Body)
	}
	if !slices.Equal(h.dispatcher.woken, []string{h.org}) {
		t.Errorf("woken %q", h.dispatcher.woken)
	}
	want("raised", "paused", "spend_cap", 4, 6, 2)
	if b, resumed, err := h.db.ResumeWaiting(t.Context(), h.org, id, h.clock.now()); err != nil || !resumed || b.Status != store.Running {
		t.Fatalf("%s, %v", b.Status, err)
	}
	h.patch(target, `{"max_credits":2}`).want(200) // below what is spent, while it runs
	h.run(id)
	want("lowered", "paused", "spend_cap", 4, 4, 4)
	h.patch(target, `{"max_credits":null}`).want(200)
	want("no cap", "paused", "spend_cap", 4, 8, 0)
	h.send("POST", target+"/resume", nil).want(200)
	h.run(id)
	want("done", "completed", nil, 8, 8, 0)

	h.patch(target, `{"max_credits":9}`).wantProblem(409, "conflict", "max_credits")
	h.patch(target, `{"name":"done"}`).want(200)
	h.patch(target, `{}`).wantProblem(400, "validation_error", "body")
	h.patch(target, `{"max_credits":0}`).wantProblem(400, "validation_error", "max_credits")
	h.patch(target, `{"name":"`+strings.Repeat("x", 201)+`"}`).wantProblem(400, "validation_error", "name")
	_, other, _ := h.addOrg("Globex", 0)
	h.patch(target, `{"name":"stolen"}`, "X-API-Key: "+other).wantProblem(404, "not_found", "")
}

// A key's cap is for its lookups and batches together, a calendar month.
func TestCapOfAKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.clock.add(time.Second)
	keys := "/admin/v1/orgs/" + h.org + "/keys"
	made := h.postJSON(keys, `{"name":"capped","monthly_cap":3}`, admin).want(201)
	key, header := keys+"/"+made.text("id"), "X-API-Key: "+made.text("key")
	if listed := h.get(keys, admin).want(200); made.at("monthly_cap") != 3.0 || listed.at("data.0.monthly_cap") != nil || listed.at("data.1.monthly_cap") != 3.0 {
		t.Errorf("made %s, listed %s", made.Body, listed.Body)
	}
	n := 0
	ask := func() *reply {
		n++
		return h.postJSON("/v1/lookups/email-finder", fmt.Sprintf(`{"full_name":"Ada King","domain":"n%d.example"}`, n), header)
	}
	ask().want(200)
	batch := "/v1/batches/" + h.postCSV(finder, eight, header).want(202).text("id")
	id := strings.TrimPrefix(batch, "/v1/batches/")
	h.run(id)
	h.run(id)
	if r := h.get(batch).want(200); r.text("pause_reason") != "spend_cap" || r.at("credits.charged") != 2.0 || r.at("credits.needed") != 6.0 || r.at("max_credits") != nil {
		t.Errorf("at its key's cap: %s", r.Body)
	}
	refused := ask().wantProblem(402, "insufficient_credits", "")
	if d := refused.text("detail"); !strings.Contains(d, "monthly cap of this API key (3 credits)") || !strings.Contains(d, "wait until") {
		t.Errorf("refused: %s", d)
	}
	if refused.text("errors.0.code") != "spend_cap" || refused.at("credits_required") != 1.0 || refused.at("credits_available") != 0.0 || refused.at("buy_url") != nil {
		t.Errorf("refused: %s", refused.Body)
	}
	h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"elsewhere.example"}`).want(200) // another key

	h.dispatcher.woken = nil
	if r := h.patch(key, `{"monthly_cap":4}`, admin).want(200); r.at("monthly_cap") != 4.0 || r.at("key") != nil {
		t.Errorf("raised: %s", r.Body)
	}
	if !slices.Equal(h.dispatcher.woken, []string{h.org}) {
		t.Errorf("woken %q", h.dispatcher.woken)
	}
	ask().want(200)
	ask().wantProblem(402, "insufficient_credits", "")
	h.clock.add(31 * 24 * time.Hour)
	ask().want(200) // the next month
	h.patch(key, `{"monthly_cap":null}`, admin).want(200)
	for range 5 {
		ask().want(200)
	}
	for _, body := range []string{`{}`, `{"monthly_cap":0}`, `{"monthly_cap":"many"}`} {
		h.patch(key, body, admin).wantProblem(400, "validation_error", "monthly_cap")
	}
	h.patch(keys+"/key_nothing", `{"monthly_cap":1}`, admin).wantProblem(404, "not_found", "")
	h.patch(key, `{"monthly_cap":1}`).wantProblem(403, "insufficient_permissions", "")
	h.postJSON(keys, `{"name":"x","monthly_cap":-1}`, admin).wantProblem(400, "validation_error", "monthly_cap")
}
