package icypeas_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/icypeas"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	job := func(status string) string {
		return `{"success":true,"items":[{"_id":"abc","status":"` + status + `"}]}`
	}
	done := func(emails string) string {
		return `{"success":true,"items":[{"_id":"abc","status":"DEBITED","results":{"emails":[` + emails + `]}}]}`
	}
	sure := `{"email":"Ada@ACME.test","certainty":"ultra_sure","mxProvider":"google"}`
	const poll = 4 * time.Second
	cases := []struct {
		name    string
		status  int
		header  http.Header
		body    string
		outcome providers.Outcome
		reason  string
		after   time.Duration
	}{
		{"taken on", 200, nil, `{"success":true,"item":{"_id":"abc","status":"NONE"}}`, providers.Pending, "not_ready", poll},
		{"scheduled", 200, nil, job("SCHEDULED"), providers.Pending, "not_ready", poll},
		{"in progress", 200, nil, job("IN_PROGRESS"), providers.Pending, "not_ready", poll},
		{"in small letters", 200, nil, job("in_progress"), providers.Pending, "not_ready", poll},
		{"taken on without an id", 200, nil, `{"success":true,"item":{"status":"NONE"}}`, providers.Transient, "no_ticket", 0},
		{"found", 200, nil, done(sure), providers.Hit, "valid", 0},
		{"found, as item", 200, nil, `{"success":true,"item":{"_id":"abc","status":"FOUND","results":{"emails":[` + sure + `]}}}`, providers.Hit, "valid", 0},
		{"found, a list as item", 200, nil, `{"success":true,"item":[{"_id":"abc","status":"FOUND","results":{"emails":[` + sure + `]}}]}`, providers.Hit, "valid", 0},
		{"catch-all", 200, nil, done(`{"email":"ada@acme.test","certainty":"catch-all"}`), providers.Hit, "valid_catch_all", 0},
		{"the surer of two", 200, nil, done(`{"email":"a@acme.test","certainty":"catch_all"},` + sure), providers.Hit, "valid", 0},
		{"not sure", 200, nil, done(`{"email":"ada@acme.test","certainty":"probable"}`), providers.Miss, "unverified", 0},
		{"no certainty", 200, nil, done(`{"email":"ada@acme.test"}`), providers.Miss, "unverified", 0},
		{"masked", 200, nil, done(`{"email":"a***@acme.test","certainty":"ultra_sure"}`), providers.Miss, "unverified", 0},
		{"charged without an address", 200, nil, job("DEBITED"), providers.Miss, "no_email", 0},
		{"not found", 200, nil, job("NOT_FOUND"), providers.Miss, "no_match", 0},
		{"not found, charged", 200, nil, job("DEBITED_NOT_FOUND"), providers.Miss, "no_match", 0},
		{"bad input", 200, nil, job("BAD_INPUT"), providers.Ineligible, "bad_input", 0},
		{"aborted", 200, nil, job("ABORTED"), providers.Ineligible, "aborted", 0},
		{"no credits", 200, nil, job("INSUFFICIENT_FUNDS"), providers.Quota, "plan_limit", 0},
		{"a state nobody documented", 200, nil, job("FOUND?"), providers.Transient, "unknown_state", 0},
		{"no job", 200, nil, `{"success":true,"items":[]}`, providers.BadRequest, "job_unknown", 0},
		{"no success", 200, nil, `{"success":false,"items":[]}`, providers.BadRequest, "not_understood", 0},
		{"nothing", 200, nil, `{}`, providers.Transient, "unknown_answer", 0},
		{"null", 200, nil, `null`, providers.Transient, "unknown_answer", 0},
		{"found under another status", 222, nil, done(sure), providers.Transient, "unknown_answer", 0},
		{"found under 404", 404, nil, done(sure), providers.BadRequest, "not_understood", 0},
		{"wrong key", 401, nil, `No.`, providers.Auth, "key_refused", 0},
		{"forbidden", 403, nil, `{}`, providers.Auth, "key_refused", 0},
		{"payment", 402, nil, `{}`, providers.Quota, "plan_limit", 0},
		{"throttled", 429, http.Header{"Retry-After": {"7"}}, `{}`, providers.Throttled, "rate_limit", 7 * time.Second},
		{"throttled by a proxy", 429, nil, `<html>`, providers.Throttled, "rate_limit", 0},
		{"objected", 451, nil, `{}`, providers.Blocked, "person_objected", 0},
		{"server error", 500, nil, `{}`, providers.Transient, "server_error", 0},
		{"page", 200, nil, `<html>`, providers.Transient, "undecodable", 0},
		{"page under 404", 404, nil, `<html>`, providers.Transient, "undecodable", 0},
		{"truncated", 200, nil, done(sure)[:60], providers.Transient, "undecodable", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := icypeas.Adapter{}.Classify(lookup.EmailFinder, c.status, c.header, []byte(c.body))
			if a.Outcome != c.outcome || a.Reason != c.reason || a.After != c.after {
				t.Errorf("got %v, %q, after %s", a.Outcome, a.Reason, a.After)
			}
			if (a.Outcome == providers.Hit) != (a.Result != nil) || (a.Outcome == providers.Pending) != (a.Ticket == "abc") {
				t.Errorf("outcome %v with result %v and ticket %q", a.Outcome, a.Result, a.Ticket)
			}
			if a.Outcome == providers.Hit && a.Reason == "valid" && a.Result["email"] != "Ada@acme.test" {
				t.Errorf("found %v", a.Result)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	ticket := providers.WithTrail(t.Context(), providers.Trail{"icypeas": {Ticket: "abc"}})
	others := providers.WithTrail(t.Context(), providers.Trail{"another": {Ticket: "abc"}})
	cases := []struct {
		ctx       context.Context
		service   lookup.Service
		fields    lookup.Fields
		url, body string // "": it cannot be asked
	}{
		{t.Context(), lookup.EmailFinder, lookup.Fields{"first_name": "ada", "last_name": "byron", "domain": "acme.test"},
			"https://i.test/api/email-search", `{"domainOrCompany":"acme.test","firstname":"ada","lastname":"byron"}`},
		{others, lookup.EmailFinder, lookup.Fields{"full_name": "ada king byron", "company_name": "acme"},
			"https://i.test/api/email-search", `{"domainOrCompany":"acme","firstname":"ada","lastname":"king byron"}`},
		{ticket, lookup.EmailFinder, lookup.Fields{"full_name": "ada byron", "company_name": "acme"},
			"https://i.test/api/bulk-single-searchs/read", `{"id":"abc"}`},
		{t.Context(), lookup.EmailFinder, lookup.Fields{"full_name": "ada", "domain": "acme.test"}, "", ""},
		{t.Context(), lookup.EmailFinder, lookup.Fields{"full_name": "ada byron"}, "", ""},
		{ticket, lookup.MobileFinder, lookup.Fields{"full_name": "ada byron", "domain": "acme.test"}, "", ""},
	}
	for _, c := range cases {
		req, ok := icypeas.Adapter{}.Request(c.ctx, "https://i.test/api", lookup.Query{Service: c.service, Fields: c.fields})
		if ok != (c.url != "") {
			t.Errorf("%v: %v", c.fields, ok)
		}
		if !ok {
			continue
		}
		icypeas.Adapter{}.Authorise(req, "k1")
		body, err := io.ReadAll(req.Body)
		if err != nil || req.URL.String() != c.url || string(body) != c.body || req.Header.Get("Authorization") != "k1" {
			t.Errorf("%s %s, %v, %v", req.URL, body, req.Header, err)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(200, `{"success":true,"items":[{"_id":"a","status":"DEBITED","results":{"emails":[{"email":"ada@acme.test","certainty":"ultra_sure"}]}}]}`)
	f.Add(200, `{"success":true,"item":{"_id":"a","status":"NONE"},"items":null}`)
	f.Add(200, `{"item":[[]],"items":{}}`)
	f.Add(429, `[]`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		a := icypeas.Adapter{}.Classify(lookup.EmailFinder, status, http.Header{"Retry-After": {body}}, []byte(body))
		email, _ := a.Result["email"].(string)
		_, _, ok := providers.ParseEmail(email)
		if (a.Outcome == providers.Hit) != ok || a.Outcome == providers.Hit && status != 200 {
			t.Errorf("status %d is %v with %q", status, a.Outcome, email)
		}
		if a.Outcome == providers.Pending && (a.Ticket == "" || status != 200) {
			t.Errorf("status %d is pending without a ticket", status)
		}
	})
}
