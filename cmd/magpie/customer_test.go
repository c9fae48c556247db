package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers/simulator"
)

const plenty = 1000 * lookup.Credit

func TestSubmitWatchResults(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	file := i.file("phones.csv", phones)

	b := i.answer(exitDone, "submit", file, "--service", "mobile-validation")
	b.needs(t, "id", "name", "service", "status", "pause_reason", "rows", "credits", "created_at", "started_at", "finished_at", "rows_per_second", "eta_seconds")
	if b.text("name") != "phones.csv" || b.text("service") != "mobile-validation" {
		t.Errorf("submitted %v", b)
	}
	id := b.text("id")
	b = i.answer(exitDone, "watch", id)
	rows := object(b["rows"].(map[string]any))
	if b.text("status") != "completed" || rows["found"] != 5.0 || rows["invalid"] != 1.0 || rows["total"] != 6.0 {
		t.Errorf("watched %v", b)
	}
	r := i.magpie("watch", id)
	if r.code != exitDone || !strings.Contains(r.out, "charged    5 credits") || !strings.Contains(r.errors, "hint: download") {
		t.Errorf("%+v", r)
	}

	lines := strings.Split(strings.TrimSpace(i.must("results", id)), "\n")
	var first lookup.Row
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 6 || first.Outcome == nil || *first.Outcome != lookup.Found {
		t.Errorf("%d rows, the first is %q: %v", len(lines), lines[0], err)
	}
	if out := i.must("results", id, "--format", "csv", "--outcome", "invalid_input"); !strings.Contains(out, "\nF,nonsense,invalid_input") || strings.Count(out, "\n") != 2 {
		t.Errorf("invalid rows: %q", out)
	}
	target := filepath.Join(i.dir, "out.csv")
	i.answer(exitDone, "results", "-o", target, id).needs(t, "batch", "file", "format", "bytes", "whole")
	text, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	table, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(table) != 7 || table[0][0] != "name" || table[0][2] != "magpie_outcome" {
		t.Errorf("%v: %v", table, err)
	}
	if left, err := os.ReadDir(i.dir); err != nil || len(left) != 2 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestSubmitAndWatchAtOnce(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	r := i.reading("Vorname,Zuname,Firma\nJane,Doe,acme.example\n",
		"submit", "--service=email-finder", "-", "--watch", "--name", "people\x1b[2J", "--accept-catch-all",
		"--mapping", "first_name=Vorname", "--mapping", "last_name=Zuname", "--mapping", "domain=Firma")
	if r.code != exitDone || !strings.Contains(r.out, "found      1") {
		t.Fatalf("%+v", r)
	}
	if strings.Contains(r.out+r.errors, "\x1b") {
		t.Errorf("a name reaches the terminal as it is: %q", r.out)
	}
	if !strings.Contains(r.errors, " accepted 0/1 ") && !strings.Contains(r.errors, " completed 1/1 ") {
		t.Errorf("no progress: %q", r.errors)
	}
}

func TestSubmittingAgainUnderTheSameKey(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	file := i.file("phones.csv", phones)
	again := []string{"submit", file, "--service", "mobile-validation", "--idempotency-key", "nightly-1"}
	if first, second := i.answer(exitDone, again...), i.answer(exitDone, again...); first.text("id") != second.text("id") {
		t.Errorf("%s and %s", first.text("id"), second.text("id"))
	}
	r := i.magpie("submit", file, "--service", "mobile-validation", "--name", "another", "--idempotency-key", "nightly-1")
	if r.code != exitFailed || !strings.Contains(r.errors, "error: the Idempotency-Key was used with another request") {
		t.Errorf("%+v", r)
	}
}

// Out of credits the batch pauses; when they arrive it goes on by itself.
func TestPausedForCredits(t *testing.T) {
	t.Parallel()
	i := install(t, 3*lookup.Credit)
	file := i.file("phones.csv", phones)
	r := i.magpie("submit", file, "--service", "mobile-validation", "--watch")
	if r.code != exitPaused || !strings.Contains(r.errors, "error: the batch is paused: it needs 2 credits more") ||
		!strings.Contains(r.errors, "hint: an operator grants credits with: magpie admin grant ORG 2 ") {
		t.Fatalf("%+v", r)
	}
	paused := i.answer(exitDone, "batches", "--status", "paused")["data"].([]any)
	if len(paused) != 1 {
		t.Fatalf("paused are %v", paused)
	}
	id := object(paused[0].(map[string]any)).text("id")
	if b := i.answer(exitPaused, "watch", id); b.text("pause_reason") != "insufficient_credits" {
		t.Errorf("%v", b)
	}
	waiting := make(chan result)
	go func() { waiting <- i.magpie("watch", "--wait", id) }()
	i.must("admin", "grant", "org_developer", "2")
	if r := <-waiting; r.code != exitDone || !strings.Contains(r.out, "status     completed") {
		t.Errorf("%+v", r)
	}
	r = i.magpie("lookup", "mobile-validation", "number=+41 44 668 18 01")
	if r.code != exitFailed || !strings.Contains(r.errors, "error: the lookup can cost 1 credits, 0 are available") || !strings.Contains(r.errors, "hint: ") {
		t.Errorf("%+v", r)
	}
}

func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	i := install(t, 1*lookup.Credit)
	id := i.answer(exitDone, "submit", i.file("phones.csv", phones), "--service", "mobile-validation").text("id")
	i.answer(exitPaused, "watch", id) // so that it cannot end before it is paused

	if b := i.answer(exitDone, "pause", id); b.text("status") != "paused" || b.text("pause_reason") != "user" {
		t.Errorf("%v", b)
	}
	r := i.magpie("watch", id)
	if r.code != exitFailed || !strings.Contains(r.errors, "hint: try: magpie resume "+id) {
		t.Errorf("%+v", r)
	}
	i.must("resume", id)
	if b := i.answer(exitDone, "cancel", id); b.text("status") != "cancelled" {
		t.Errorf("%v", b)
	}
	if r := i.magpie("watch", id); r.code != exitFailed || !strings.Contains(r.errors, "error: the batch was cancelled") {
		t.Errorf("%+v", r)
	}
	if r := i.magpie("resume", id); r.code != exitFailed || !strings.Contains(r.errors, "error: the batch has ended") {
		t.Errorf("%+v", r)
	}
	i.answer(exitDone, "batches").needs(t, "data", "next_cursor")
	if out := i.must("batches", "--service", "mobile-validation", "--status", "cancelled"); !strings.Contains(out, id) {
		t.Errorf("batches: %q", out)
	}
}

func TestLookupAndCredits(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	ask := []string{"lookup", "mobile-validation", "number=020 7946 0018", "country=GB", "--row-id", "mine"}
	row := i.answer(exitDone, ask...)
	row.needs(t, "outcome", "result", "provider", "credits", "reused", "duplicate_of", "error", "input", "row_id")
	if row.text("outcome") != "found" || row["credits"] != 1.0 || row.text("row_id") != "mine" {
		t.Errorf("%v", row)
	}
	out := i.must(ask...)
	if !strings.Contains(out, "number     +442079460018") || !strings.Contains(out, "0 credits (paid for before)") || !strings.Contains(out, "remaining  999 credits") {
		t.Errorf("asked again: %q", out)
	}
	account := i.answer(exitDone, "credits")
	account.needs(t, "credits", "available", "held", "grants", "low_balance_threshold")
	if account["available"] != 999.0 {
		t.Errorf("%v", account)
	}
	if out := i.must("credits"); !strings.Contains(out, "available  999\n") || !strings.Contains(out, "adjustment") {
		t.Errorf("credits: %q", out)
	}
	if row := i.answer(exitDone, "lookup", "email-finder", "full_name=Nobody Atall", "domain=nothing.test"); row.text("outcome") == "" {
		t.Errorf("%v", row)
	}
}

// Email validation end to end: a definite answer is charged, every other free.
func TestEmailValidation(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	valid, invalid := addressThatIs(t, "valid"), addressThatIs(t, "invalid")
	row := i.answer(exitDone, "lookup", "email-validation", "email="+valid)
	result := object(row["result"].(map[string]any))
	result.needs(t, lookup.EmailValidation.ResultFields()...)
	if row.text("outcome") != "found" || row["credits"] != 1.0 || result.text("email") != valid || result.text("email_status") != "valid" {
		t.Errorf("%v", row)
	}
	row = i.answer(exitDone, "lookup", "email-validation", "email="+addressThatIs(t, "catch_all"))
	result = object(row["result"].(map[string]any))
	if row.text("outcome") != "not_found" || row["credits"] != 0.0 || result.text("email_status") != "catch_all" {
		t.Errorf("%v", row)
	}

	unknown := addressThatIs(t, "unknown")
	addresses := "Courriel\n" + invalid + "\n" + unknown + "\n" + addressThatIs(t, "disposable") + "\n<" + strings.ToUpper(valid) + ">\njane\n"
	b := i.answer(exitDone, "submit", i.file("addresses.csv", addresses), "--service", "email-validation", "--watch")
	rows, credits := object(b["rows"].(map[string]any)), object(b["credits"].(map[string]any))
	if rows["found"] != 2.0 || rows["reused"] != 1.0 || rows["not_found"] != 2.0 || rows["invalid"] != 1.0 || credits["charged"] != 1.0 {
		t.Errorf("%v", b)
	}
	if out := i.must("results", b.text("id"), "--format", "csv", "--outcome", "found"); !strings.Contains(out, invalid+",found,millionverifier,1,"+invalid+",invalid") {
		t.Errorf("%q", out)
	}
	if out := i.must("results", b.text("id"), "--format", "csv", "--outcome", "not_found"); !strings.Contains(out, unknown+",not_found,millionverifier,0,"+unknown+",unknown") {
		t.Errorf("%q", out)
	}
}

// addressThatIs is an address of which this is the truth in the installation's
// world.
func addressThatIs(t *testing.T, status string) string {
	t.Helper()
	world, err := simulator.New(simulator.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10_000 {
		address := fmt.Sprintf("jane@firm%d.example", n)
		truth, _ := world.Truth(lookup.Query{Service: lookup.EmailValidation, Fields: lookup.Fields{"email": address}})
		if truth.Vendors["millionverifier"].Status == status {
			return address
		}
	}
	t.Fatalf("no address is %s", status)
	return ""
}
