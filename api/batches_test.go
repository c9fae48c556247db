package api_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/lookup"
)

// Every way to send the same rows makes the same batch.
func TestSubmitInEveryForm(t *testing.T) {
	t.Parallel()
	const objects = `{"full name":"Ada Lovelace","domain":"a.example","age":36}` + "\n" + `{"full name":"Alan Turing","domain":"b.example","age":null}` + "\n"
	german := "Name komplett;Firma im Netz\nAda Lovelace;a.example\nAlan Turing;b.example\n"
	mapping := `{"full_name":"Name komplett","domain":"Firma im Netz"}`
	before, beforeType := form("service=email-finder", "name=mine", "@people.csv="+people)
	after, afterType := form("@people.csv="+people, "name=mine", "service=email-finder")
	mapped, mappedType := form("@people.csv="+german, "mapping="+mapping, "service=email-finder", "name=mine", "accept_catch_all=false")
	lines, linesType := form("service=email-finder", "@people.jsonl="+objects, "name=mine")
	array, arrayType := form("service=email-finder", "@people.json=["+strings.ReplaceAll(strings.TrimSpace(objects), "\n", ",")+"]", "name=mine")
	const target = "/v1/batches?service=email-finder&name=mine"
	for _, c := range []struct{ name, target, body, header string }{
		{"CSV", target, people, "Content-Type: text/csv; charset=utf-8"},
		{"CSV as UTF-16", target, "\xff\xfe" + utf16(people), "Content-Type: text/csv"},
		{"NDJSON", target, objects, "Content-Type: application/x-ndjson"},
		{"JSON", "/v1/batches", `{"rows":[` + strings.ReplaceAll(strings.TrimSpace(objects), "\n", ",") + `],"service":"email-finder","name":"mine"}`, "Content-Type: application/json"},
		{"form", "/v1/batches", before, beforeType},
		{"form, fields after the file", "/v1/batches", after, afterType},
		{"form with mapping after the file", "/v1/batches", mapped, mappedType},
		{"form with NDJSON", "/v1/batches", lines, linesType},
		{"form with JSON", "/v1/batches", array, arrayType},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var spool string
			h := newHouse(t, func(c *api.Config, _ *api.Deps) { spool = c.SpoolDir })
			r := h.send(http.MethodPost, c.target, strings.NewReader(c.body), c.header).want(202)
			id := r.text("id")
			if got := r.Header().Get("Location"); got != "/v1/batches/"+id || !strings.HasPrefix(id, "bat_") {
				t.Errorf("Location %q of %q", got, id)
			}
			if r.text("name") != "mine" || r.text("service") != "email-finder" || r.text("status") != "accepted" || r.at("rows.total") != 2.0 || r.at("credits.max") != 2.0 {
				t.Errorf("the batch is %s", r.Body)
			}
			if !slices.Equal(h.dispatcher.started, []string{id}) {
				t.Errorf("started %q, want %q", h.dispatcher.started, id)
			}
			h.run(id)
			results := h.get("/v1/batches/" + id + "/results").want(200).Body.String()
			if !strings.Contains(results, `found@a.example`) || !strings.Contains(results, `found@b.example`) {
				t.Errorf("results are %s", results)
			}
			if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
				t.Errorf("the spool still holds %v, err %v", left, err)
			}
		})
	}
}

func utf16(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		b.WriteByte(0)
	}
	return b.String()
}

func TestBatchThroughItsLife(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.org, h.key, h.keyID = h.addOrg("Poor", 4)
	var rows strings.Builder
	rows.WriteString("full name,domain\n")
	for i := range 9 {
		fmt.Fprintf(&rows, "Ada Lovelace,a%d.example\n", i)
	}
	created := h.clock.now()
	id := h.postCSV("/v1/batches?service=email-finder", rows.String()).want(202).text("id")
	target := "/v1/batches/" + id
	fresh := h.get(target).want(200)
	for _, unset := range []string{"started_at", "finished_at", "rows_per_second", "eta_seconds", "pause_reason"} {
		if fresh.at(unset) != nil {
			t.Errorf("%s is %v before it is known", unset, fresh.at(unset))
		}
	}
	if got := fresh.text("created_at"); got != created.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano) {
		t.Errorf("created_at %q", got)
	}

	h.runChunk(id, 0)
	h.clock.add(2 * time.Second)
	running := h.get(target).want(200)
	if running.text("status") != "running" || running.at("rows.done") != 3.0 || running.at("credits.charged") != 3.0 ||
		running.at("rows_per_second") != 1.5 || running.at("eta_seconds") != 4.0 {
		t.Errorf("after a chunk: %s", running.Body)
	}

	h.runChunk(id, 1) // one row is paid for, two are not
	h.runChunk(id, 1)
	paused := h.get(target).want(200)
	if paused.text("status") != "paused" || paused.text("pause_reason") != "insufficient_credits" || paused.at("credits.needed") != 5.0 || paused.at("rows_per_second") != nil {
		t.Errorf("out of credits: %s", paused.Body)
	}
	h.postJSON("/admin/v1/orgs/"+h.org+"/grants", `{"source":"purchase","credits":2}`, admin).want(201)
	if !slices.Equal(h.dispatcher.woken, []string{h.org}) {
		t.Errorf("woken %q", h.dispatcher.woken)
	}
	if needed := h.get(target).at("credits.needed"); needed != 3.0 {
		t.Errorf("needs %v after a grant of 2", needed)
	}
	h.postJSON("/admin/v1/orgs/"+h.org+"/grants", `{"source":"adjustment","credits":100}`, admin).want(201)
	if resumed := h.send("POST", target+"/resume", nil).want(200); resumed.text("status") != "running" || resumed.at("pause_reason") != nil {
		t.Errorf("resumed: %s", resumed.Body)
	}
	if !slices.Equal(h.dispatcher.started, []string{id, id}) {
		t.Errorf("started %q", h.dispatcher.started)
	}
	h.run(id)
	done := h.get(target).want(200)
	if done.text("status") != "completed" || done.at("rows.found") != 9.0 || done.at("credits.charged") != 9.0 || done.at("credits.held") != 0.0 || done.text("finished_at") == "" {
		t.Errorf("completed: %s", done.Body)
	}
}

func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	target := "/v1/batches/" + h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id")
	for _, step := range []struct {
		verb   string
		status int
		after  string
	}{
		{"resume", 200, "accepted"},
		{"pause", 200, "paused"},
		{"pause", 200, "paused"},
		{"resume", 200, "accepted"},
		{"resume", 200, "accepted"},
		{"pause", 200, "paused"},
		{"cancel", 200, "cancelled"},
		{"cancel", 200, "cancelled"},
		{"pause", 409, "cancelled"},
		{"resume", 409, "cancelled"},
	} {
		r := h.send("POST", target+"/"+step.verb, nil)
		if step.status == 409 {
			r.wantProblem(409, "conflict", "")
		} else if r.want(200).text("status") != step.after {
			t.Errorf("%s answers %s", step.verb, r.Body)
		}
		if got := h.get(target).text("status"); got != step.after {
			t.Errorf("after %s: %q, want %q", step.verb, got, step.after)
		}
	}
	if h.get(target).text("pause_reason") != "" {
		t.Error("a cancelled batch has a reason to be paused")
	}
	rows := h.get(target + "/results").want(200).Body.String()
	if strings.Count(rows, `"outcome":null`) != 2 {
		t.Errorf("rows never asked: %s", rows)
	}
}

func TestHeldCreditsAreShown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id")
	h.hold(id, 2)
	if held := h.get("/v1/batches/" + id).at("credits.held"); held != 2.0 {
		t.Errorf("the batch holds %v", held)
	}
	c := h.get("/v1/credits").want(200)
	if c.at("credits") != 98.0 || c.at("available") != 98.0 || c.at("held") != 2.0 || c.at("low_balance_threshold") != nil {
		t.Errorf("credits: %s", c.Body)
	}
	if c.at("grants.0.source") != "purchase" || c.at("grants.0.granted") != 100.0 || c.at("grants.0.remaining") != 100.0 || c.at("grants.0.expires_at") != nil {
		t.Errorf("grants: %s", c.Body)
	}
}

func TestBatchesOfAnotherOrganizationAreNotFound(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id")
	_, stranger, _ := h.addOrg("Stranger", 10)
	key := "X-API-Key: " + stranger
	for _, c := range []struct{ method, target string }{
		{"GET", "/v1/batches/" + id},
		{"GET", "/v1/batches/" + id + "/results"},
		{"GET", "/v1/batches/" + id + "/results?format=csv"},
		{"POST", "/v1/batches/" + id + "/pause"},
		{"POST", "/v1/batches/" + id + "/resume"},
		{"POST", "/v1/batches/" + id + "/cancel"},
	} {
		theirs := h.send(c.method, c.target, nil, key).wantProblem(404, "not_found", "")
		nobodys := h.send(c.method, strings.Replace(c.target, id, "bat_nothing", 1), nil).wantProblem(404, "not_found", "")
		if theirs.text("detail") != nobodys.text("detail") {
			t.Errorf("%s %s tells a stranger's batch from none", c.method, c.target)
		}
	}
	if r := h.get("/v1/batches", key).want(200); len(r.at("data").([]any)) != 0 {
		t.Errorf("a stranger sees %s", r.Body)
	}
	if got := h.get("/v1/batches/" + id).text("status"); got != "accepted" {
		t.Errorf("the batch is %q", got)
	}
}

func TestListBatches(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var ids []string
	for i, service := range []string{"email-finder", "mobile-validation", "email-finder"} {
		h.clock.add(time.Second)
		body := []string{people, "number\n+33612345678\n"}[i%2]
		ids = append(ids, h.postCSV("/v1/batches?service="+service, body).want(202).text("id"))
	}
	h.send("POST", "/v1/batches/"+ids[0]+"/cancel", nil).want(200)
	list := func(query string) (got []string, cursor string) {
		r := h.get("/v1/batches" + query).want(200)
		for _, b := range r.at("data").([]any) {
			got = append(got, b.(map[string]any)["id"].(string))
		}
		return got, r.text("next_cursor")
	}
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{ids[2], ids[1], ids[0]}},
		{"?service=email-finder", []string{ids[2], ids[0]}},
		{"?status=cancelled", []string{ids[0]}},
		{"?status=accepted&service=mobile-validation", []string{ids[1]}},
		{"?status=running", nil},
		{"?cursor=" + ids[1], []string{ids[0]}},
	} {
		if got, cursor := list(c.query); !slices.Equal(got, c.want) || cursor != "" {
			t.Errorf("%q lists %q, then %q, want %q", c.query, got, cursor, c.want)
		}
	}
	first, cursor := list("?limit=2")
	second, end := list("?limit=2&cursor=" + cursor)
	if !slices.Equal(first, []string{ids[2], ids[1]}) || !slices.Equal(second, []string{ids[0]}) || end != "" {
		t.Errorf("pages are %q and %q, then %q", first, second, end)
	}
	for query, param := range map[string]string{"limit=0": "limit", "limit=201": "limit", "limit=x": "limit", "status=intake": "status", "service=x": "service", "cursor=x": "cursor", "page=2": "page"} {
		h.get("/v1/batches?"+query).wantProblem(400, "validation_error", param)
	}
}

// A batch costs what it was accepted at, whatever the price is when it runs.
func TestPriceIsFrozenInABatch(t *testing.T) {
	t.Parallel()
	var cfg api.Config
	var deps api.Deps
	h := newHouse(t, func(c *api.Config, d *api.Deps) {
		c.Prices = map[lookup.Service]lookup.Credits{lookup.EmailFinder: lookup.Credit / 2}
		cfg, deps = *c, *d
	})
	accepted := h.postCSV(finder, eight).want(202)
	target := "/v1/batches/" + accepted.text("id")
	h.runChunk(accepted.text("id"), 0)
	cfg.Prices = map[lookup.Service]lookup.Credits{lookup.EmailFinder: 3 * lookup.Credit}
	var err error
	if h.handler, err = api.New(cfg, deps); err != nil {
		t.Fatal(err)
	}
	h.run(accepted.text("id"))
	done := h.get(target).want(200)
	if accepted.at("credits.max") != 4.0 || done.at("credits.max") != 4.0 || done.at("credits.charged") != 4.0 || done.text("status") != "completed" {
		t.Errorf("accepted %s, done %s", accepted.Body, done.Body)
	}
	h.postJSON("/v1/lookups/email-finder", `{"full_name":"Ada King","domain":"new.example"}`).want(200)
	if c := h.get("/v1/credits"); c.at("available") != 93.0 {
		t.Errorf("credits: %s", c.Body)
	}
}
