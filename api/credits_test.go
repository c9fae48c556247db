package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Subscription and purchase are seen lot by lot, and the subscription is used first.
func TestCreditsByLot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ends := time.Now().Add(30 * 24 * time.Hour).UTC().Truncate(time.Second)
	h.postJSON("/admin/v1/orgs/"+h.org+"/grants",
		`{"source":"subscription","credits":5,"expires_at":"`+ends.Format(time.RFC3339)+`"}`, admin).want(201)
	h.ask("k1", "hit.example")
	c := h.get("/v1/credits").want(200)
	if c.at("available") != 104.0 || c.at("grants.0.remaining") != 100.0 || c.at("grants.1.remaining") != 4.0 ||
		c.text("grants.1.source") != "subscription" || c.text("grants.1.expires_at") != ends.Format(time.RFC3339) {
		t.Errorf("credits: %s", c.Body)
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ask("k1", "hit.example")
	batch := h.postCSV("/v1/batches?service=email-finder", "first_name,last_name,domain\nAda,L,a.example\nBob,M,b.example\n").want(202).text("id")
	h.run(batch)
	first := h.get("/v1/credits/entries?limit=2").want(200)
	if first.text("data.0.kind") != "charge" || first.at("data.0.credits") != -2.0 || first.at("data.0.balance") != 97.0 ||
		first.text("data.0.batch") != batch || first.at("data.0.chunk") != 0.0 || first.text("data.0.service") != "email-finder" {
		t.Errorf("the batch's charge: %s", first.Body)
	}
	if first.at("data.1.credits") != -1.0 || first.text("data.1.lookup") != "k1" || first.at("data.1.batch") != nil {
		t.Errorf("the lookup's charge: %s", first.Body)
	}
	second := h.get("/v1/credits/entries?cursor=" + first.text("next_cursor")).want(200)
	if second.text("data.0.kind") != "grant" || second.at("data.0.balance") != 100.0 || second.text("data.0.source") != "purchase" || second.at("next_cursor") != nil {
		t.Errorf("the grant: %s", second.Body)
	}
	sheet := h.get("/v1/credits/entries?format=csv").want(200)
	lines := strings.Split(strings.TrimSpace(sheet.Body.String()), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "id,created_at,kind,credits,balance,") || !strings.Contains(lines[1], ",charge,-2,97,,email-finder,,"+batch+",0,") {
		t.Errorf("as CSV:\n%s", sheet.Body)
	}
	h.get("/v1/credits/entries?format=xml").wantProblem(400, "validation_error", "format")
	h.get("/v1/credits/entries?cursor=x").wantProblem(400, "validation_error", "cursor")
	_, other, _ := h.addOrg("Other", 1)
	if r := h.get("/v1/credits/entries", "X-API-Key: "+other).want(200); len(r.at("data").([]any)) != 1 {
		t.Errorf("another organization sees %s", r.Body)
	}
}

func TestLowBalanceThreshold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	patch := func(target, body string, headers ...string) *reply {
		return h.send(http.MethodPatch, target, strings.NewReader(body), headers...)
	}
	if r := patch("/v1/credits", `{"low_balance_threshold":12.5}`).want(200); r.at("low_balance_threshold") != 12.5 {
		t.Errorf("set: %s", r.Body)
	}
	ofOrg := "/admin/v1/orgs/" + h.org + "/credits"
	if r := h.get(ofOrg, admin).want(200); r.at("low_balance_threshold") != 12.5 || r.at("available") != 100.0 {
		t.Errorf("the administrator sees %s", r.Body)
	}
	if r := patch(ofOrg, `{"low_balance_threshold":0}`, admin).want(200); r.at("low_balance_threshold") != nil {
		t.Errorf("switched off: %s", r.Body)
	}
	patch("/v1/credits", `{"low_balance_threshold":-1}`).wantProblem(400, "validation_error", "low_balance_threshold")
	patch("/v1/credits", `{}`).wantProblem(400, "validation_error", "low_balance_threshold")
	patch("/admin/v1/orgs/org_nothing/credits", `{"low_balance_threshold":1}`, admin).wantProblem(404, "not_found", "")
	h.get("/admin/v1/orgs/org_nothing/credits", admin).wantProblem(404, "not_found", "")
}
