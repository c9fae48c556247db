package api_test

import (
	"testing"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/lookup"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, c := range []struct {
		name, service, body                string
		outcome, field, value, cost, after string
	}{
		{"found", "email-finder", `{"full_name":"Ada King","domain":"a.example"}`, "found", "result.email", "found@a.example", "1", "99"},
		{"asked again", "email-finder", `{"first_name":"ADA","last_name":"King","domain":"https://a.example/"}`, "found", "result.email", "found@a.example", "0", "99"},
		{"not found", "email-finder", `{"full_name":"Ada King","domain":"m.example"}`, "not_found", "result", "", "0", "99"},
		{"null is as good as nothing", "email-finder", `{"full_name":"Ada King","domain":"m.example","company_name":null}`, "not_found", "result", "", "0", "99"},
		{"a number as a number", "mobile-validation", `{"number":33612345678,"country":"FR"}`, "found", "result.number", "+33612345678", "1", "98"},
	} {
		r := h.postJSON("/v1/lookups/"+c.service, c.body).want(200)
		if r.text("outcome") != c.outcome || r.text(c.field) != c.value || r.at("row") != nil {
			t.Errorf("%s: %s", c.name, r.Body)
		}
		if cost, after := r.Header().Get("X-Credits-Cost"), r.Header().Get("X-Credits-Remaining"); cost != c.cost || after != c.after {
			t.Errorf("%s: costs %q, leaves %q, want %q and %q", c.name, cost, after, c.cost, c.after)
		}
	}
	if r := h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"a.example"}`); r.at("reused") != true || r.at("credits") != 0.0 {
		t.Errorf("asked again: %s", r.Body)
	}
}

func TestLookupGivesBackWhatWasGiven(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.postJSON("/v1/lookups/email-finder", `{ "row_id": "r-7", "full_name": "Ada King", "domain": "a.example" }`).want(200)
	if r.text("row_id") != "r-7" || r.text("input.full_name") != "Ada King" || r.text("provider") != "stub" || r.at("duplicate_of") != nil || r.at("error") != nil {
		t.Errorf("answer: %s", r.Body)
	}
}

func TestLookupWithoutContentType(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"a.example"}`, "Content-Type: ").want(200)
}

func TestLookupDearerThanTheBalance(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config, _ *api.Deps) {
		c.Prices = map[lookup.Service]lookup.Credits{lookup.EmailFinder: 100_500}
	})
	const ask = `{"full_name":"Ada King","domain":"a.example"}`
	r := h.postJSON("/v1/lookups/email-finder", ask, idem).wantProblem(402, "insufficient_credits", "")
	if r.at("credits_required") != 100.5 || r.at("credits_available") != 100.0 || r.text("buy_url") != "https://magpie.example/buy" {
		t.Errorf("answer: %s", r.Body)
	}
	h.nothingStored()
	h.postJSON("/admin/v1/orgs/"+h.org+"/grants", `{"source":"purchase","credits":0.5}`, admin).want(201)
	if paid := h.postJSON("/v1/lookups/email-finder", ask, idem).want(200); paid.Header().Get("X-Credits-Cost") != "100.5" || paid.Header().Get("X-Credits-Remaining") != "0" {
		t.Errorf("after a grant: %v", paid.Header())
	}
}

func TestLookupThatNobodyCanAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, domain := range map[string]string{"every provider is down": "down.example", "our code panics": "panic.example"} {
		r := h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"`+domain+`"}`).wantProblem(503, "provider_unavailable", "")
		if r.Header().Get("Retry-After") != "30" {
			t.Errorf("%s: Retry-After %q", name, r.Header().Get("Retry-After"))
		}
	}
	if c := h.get("/v1/credits"); c.at("available") != 100.0 || c.at("held") != 0.0 {
		t.Errorf("credits: %s", c.Body)
	}
}

// Two doors to one room: what a batch paid for a lookup gets free, and the
// other way round.
func TestBatchAndLookupShareAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada Lovelace","domain":"a.example"}`).want(200)
	id := h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id")
	h.run(id)
	if b := h.get("/v1/batches/" + id); b.at("rows.found") != 2.0 || b.at("rows.reused") != 1.0 || b.at("credits.charged") != 1.0 {
		t.Errorf("the batch: %s", b.Body)
	}
	if r := h.postJSON("/v1/lookups/email-finder", `{"full_name":"Alan Turing","domain":"b.example"}`); r.at("reused") != true {
		t.Errorf("the lookup: %s", r.Body)
	}
}
