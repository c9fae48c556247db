package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/store"
)

// shut lets only the system through the walls: whatever is still seen of an
// organization's own was not read as that organization.
func (h *house) shut() {
	h.t.Helper()
	rows, err := h.db.QueryContext(h.t.Context(), `SELECT tablename FROM pg_policies WHERE policyname = 'wall'`)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			h.t.Fatal(err)
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil || len(tables) == 0 {
		h.t.Fatalf("%d walls, %v", len(tables), err)
	}
	err = h.db.Write(h.t.Context(), func(tx *store.Tx) error {
		for _, table := range tables {
			if _, err := tx.ExecContext(h.t.Context(), `ALTER POLICY wall ON `+table+` USING (current_setting('magpie.org', true) = '*')`); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// Every operation for customers goes through the wall: with the walls shut, none
// shows or changes anything. An operation added to the API has to be added here.
func TestCustomersComeThroughTheWall(t *testing.T) {
	t.Parallel()
	h := newHouseOn(t, teststore.Postgres(t))
	const csv = "full_name,domain\nAda King,a.example\nAda King,b.example\n"
	id := h.postCSV("/v1/batches?service=email-finder", csv).want(http.StatusAccepted).text("id")
	batch := "/v1/batches/" + id
	question := `{"full_name": "Ada King", "domain": "a.example"}`
	h.postJSON("/v1/lookups/email-finder", question).want(http.StatusOK)

	found := func(method, target string) func() bool {
		return func() bool { return h.send(method, target, nil).Code == http.StatusOK }
	}
	sees := []struct {
		route string
		is    func() bool // whether it sees what is the organization's
	}{
		{"GET /v1/batches", func() bool {
			list, _ := h.get("/v1/batches").want(http.StatusOK).at("data").([]any)
			return len(list) > 0
		}},
		{"GET /v1/batches/{id}", found("GET", batch)},
		{"GET /v1/batches/{id}/results", found("GET", batch+"/results?format=csv")},
		{"POST /v1/batches/{id}/pause", found("POST", batch+"/pause")},
		{"POST /v1/batches/{id}/resume", found("POST", batch+"/resume")},
		{"POST /v1/batches/{id}/cancel", found("POST", batch+"/cancel")},
		{"POST /v1/batches", func() bool { return h.postCSV("/v1/batches?service=email-finder", csv).Code == http.StatusAccepted }},
		{"PATCH /v1/batches/{id}", func() bool {
			return h.send("PATCH", batch, strings.NewReader(`{"name": "another"}`), "Content-Type: application/json").Code == http.StatusOK
		}},
		{"GET /v1/credits", found("GET", "/v1/credits")},
		{"GET /v1/credits/entries", func() bool {
			list, _ := h.get("/v1/credits/entries").want(http.StatusOK).at("data").([]any)
			return len(list) > 0
		}},
		{"PATCH /v1/credits", func() bool {
			return h.send("PATCH", "/v1/credits", strings.NewReader(`{"low_balance_threshold": 5}`), "Content-Type: application/json").Code == http.StatusOK
		}},
		{"POST /v1/lookups/{service}", func() bool {
			before := h.vendor.calls()
			h.postJSON("/v1/lookups/email-finder", question).want(http.StatusOK)
			return h.vendor.calls() == before // it was paid for
		}},
		{"POST /v1/lookups/{service}", func() bool { // claims its key
			return h.postJSON("/v1/lookups/email-finder", question, "Idempotency-Key: a").Code == http.StatusOK
		}},
	}
	tried := map[string]bool{}
	for _, s := range sees {
		tried[s.route] = true
		if !s.is() {
			t.Errorf("%s does not see the organization's own", s.route)
		}
	}
	routes := h.customerRoutes()
	for _, route := range routes {
		if !tried[route] {
			t.Errorf("%s is not tried; add it", route)
		}
	}
	if len(routes) != len(tried) {
		t.Errorf("%d routes for customers, %d tried", len(routes), len(tried))
	}
	h.shut()
	for _, s := range sees {
		if s.is() {
			t.Errorf("%s does not go through the wall", s.route)
		}
	}
	h.get("/admin/v1/orgs/"+h.org, admin).want(http.StatusOK) // the system sees on
}

// customerRoutes are the operations for customers, as the document lists them.
func (h *house) customerRoutes() (routes []string) {
	h.t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(h.get("/openapi.json").want(http.StatusOK).Body.Bytes(), &document); err != nil {
		h.t.Fatal(err)
	}
	for path, methods := range document.Paths {
		for method, op := range methods {
			if _, customers := op.Security[0]["ApiKey"]; customers {
				routes = append(routes, strings.ToUpper(method)+" "+path)
			}
		}
	}
	return routes
}
