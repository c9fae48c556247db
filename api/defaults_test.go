package api_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Each of huma's defaults that the contract does not allow is overridden.

func TestHumaDefaultValidationIs400(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id")
	h.get("/v1/batches?limit=0").wantProblem(400, "validation_error", "limit")
	h.get("/v1/batches/"+id+"/results?outcome=x").wantProblem(400, "validation_error", "outcome")
}

func TestHumaDefaultErrorItems(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.get("/v1/batches?status=sekrit").wantProblem(400, "validation_error", "status")
	item := r.at("errors.0").(map[string]any)
	if len(item) != 3 || item["code"] != "validation_error" || item["detail"] == "" || strings.Contains(r.Body.String(), "sekrit") {
		t.Errorf("item %v", item)
	}
}

func TestHumaDefaultNoSchemaNoLink(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id")
	for _, r := range []*reply{h.get("/v1/batches/" + id), h.get("/v1/batches"), h.get("/v1/credits"), h.get("/v1/nothing")} {
		if strings.Contains(r.Body.String(), "$schema") || r.Header().Get("Link") != "" {
			t.Errorf("%v %s", r.Header(), r.Body)
		}
	}
}

func TestHumaDefaultUnknownQueryParameters(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id")
	for _, target := range []string{"/v1/batches", "/v1/batches/" + id, "/v1/batches/" + id + "/results", "/v1/credits"} {
		h.get(target+"?colour=red").wantProblem(400, "validation_error", "colour")
	}
	h.send("POST", "/v1/batches/"+id+"/resume?colour=red", nil).wantProblem(400, "validation_error", "colour")
	h.get("/v1/batches?limit=%zz").wantProblem(400, "validation_error", "query")
	h.get("/v1/batches?status=paused;limit=1").wantProblem(400, "validation_error", "query")
	r := h.get("/v1/batches?b=1&a=2").wantProblem(400, "validation_error", "a")
	if r.text("errors.1.param") != "b" {
		t.Errorf("the second is not named: %s", r.Body)
	}
}

func TestHumaDefaultCaseSensitiveNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.get("/v1/batches?Limit=1").wantProblem(400, "validation_error", "Limit")
	h.postJSON("/admin/v1/orgs", `{"Name":"x"}`, admin).wantProblem(400, "validation_error", "Name")
}

func TestHumaDefaultMissingRoutes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.get("/").wantProblem(404, "not_found", "")
	h.get("/v2/x").wantProblem(404, "not_found", "")
	h.get("/v1/batches/").wantProblem(404, "not_found", "")
	r := h.send("PATCH", "/v1/batches", nil).wantProblem(405, "method_not_allowed", "")
	if got := r.Header().Get("Allow"); !strings.Contains(got, "GET") || !strings.Contains(got, "POST") {
		t.Errorf("Allow %q", got)
	}
}

func TestHumaDefaultNoPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, target := range []string{"/docs", "/schemas/BatchBody.json", "/openapi.yaml", "/openapi-3.0.json", "/openapi-3.0.yaml"} {
		h.get(target).wantProblem(404, "not_found", "")
	}
}

func TestHumaDefaultLargeUpload(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.postCSV("/v1/batches?service=email-finder", "full name,domain,note\nAda King,a.example,"+strings.Repeat("x", 2<<20)+"\n").want(202)
}

func TestHumaDefaultLargeJSONBatch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	row := `{"full_name":"Ada King","domain":"a.example","note":"` + strings.Repeat("x", 50_000) + `"}`
	h.postJSON("/v1/batches", `{"service":"email-finder","rows":[`+strings.Repeat(row+",", 30)+row+`]}`).want(202)
}

func TestHumaDefaultNoDeadlines(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id")
	for _, c := range []struct{ method, target, body, want string }{
		{"POST", "/v1/batches?service=email-finder", people, "read: none"},
		{"GET", "/v1/batches/" + id + "/results", "", "write: none"},
	} {
		r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
		r.Header.Set("X-API-Key", h.key)
		r.Header.Set("Content-Type", "text/csv")
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		h.handler.ServeHTTP(w, r)
		if w.Code >= 300 || strings.Join(w.set, ", ") != c.want {
			t.Errorf("%s: %d, deadlines %q, want %q", c.target, w.Code, w.set, c.want)
		}
	}
}

func TestHumaDefaultFreeRows(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.postJSON("/v1/batches", `{"service":"mobile-validation","rows":[{"number":33612345678,"vip":true,"note":null,"score":1.5}]}`).want(202)
}

func TestHumaDefaultAlwaysJSON(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, accept := range []string{"text/html", "application/cbor", "application/problem+json", "*/*"} {
		if got := h.get("/v1/credits", "Accept: "+accept).want(200).Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("Accept %s: %q", accept, got)
		}
		h.get("/v1/batches/x", "Accept: "+accept).wantProblem(404, "not_found", "")
	}
}

// deadlines notes which deadlines a handler sets.
type deadlines struct {
	*httptest.ResponseRecorder

	set []string
}

func (d *deadlines) note(kind string, at time.Time) error {
	if at.IsZero() {
		kind += ": none"
	}
	d.set = append(d.set, kind)
	return nil
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { return d.note("read", t) }
func (d *deadlines) SetWriteDeadline(t time.Time) error { return d.note("write", t) }

// routes are all there are, with what each needs.
var routes = []struct{ method, path, scheme string }{
	{"get", "/v1/batches", "ApiKey"},
	{"post", "/v1/batches", "ApiKey"},
	{"get", "/v1/batches/{id}", "ApiKey"},
	{"patch", "/v1/batches/{id}", "ApiKey"},
	{"get", "/v1/batches/{id}/results", "ApiKey"},
	{"post", "/v1/batches/{id}/pause", "ApiKey"},
	{"post", "/v1/batches/{id}/resume", "ApiKey"},
	{"post", "/v1/batches/{id}/cancel", "ApiKey"},
	{"post", "/v1/lookups/{service}", "ApiKey"},
	{"get", "/v1/credits", "ApiKey"},
	{"get", "/admin/v1/orgs", "AdminKey"},
	{"post", "/admin/v1/orgs", "AdminKey"},
	{"get", "/admin/v1/orgs/{id}", "AdminKey"},
	{"get", "/admin/v1/orgs/{id}/keys", "AdminKey"},
	{"post", "/admin/v1/orgs/{id}/keys", "AdminKey"},
	{"delete", "/admin/v1/orgs/{id}/keys/{key}", "AdminKey"},
	{"patch", "/admin/v1/orgs/{id}/keys/{key}", "AdminKey"},
	{"get", "/admin/v1/orgs/{id}/grants", "AdminKey"},
	{"post", "/admin/v1/orgs/{id}/grants", "AdminKey"},
	{"get", "/admin/v1/audit", "AdminKey"},
	{"get", "/admin/v1/providers", "AdminKey"},
	{"patch", "/v1/credits", "ApiKey"},
	{"get", "/v1/credits/entries", "ApiKey"},
	{"get", "/admin/v1/orgs/{id}/credits", "AdminKey"},
	{"patch", "/admin/v1/orgs/{id}/credits", "AdminKey"},
}

// document is an OpenAPI document, as far as tests look into it.
type document struct {
	Paths      map[string]map[string]map[string]any `json:"paths"`
	Components map[string]map[string]any            `json:"components"`
}

func readDocument(t *testing.T, h *house) (d document) {
	t.Helper()
	r := h.get("/openapi.json").want(200)
	if r.text("openapi") != "3.1.0" || r.Header().Get("Content-Type") != "application/openapi+json" || r.text("info.title") == "" || r.text("info.description") == "" {
		t.Errorf("the document begins %.200s", r.Body)
	}
	if err := json.Unmarshal(r.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// written is a part of a document as text.
func written(t *testing.T, part any) string {
	t.Helper()
	text, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOpenAPIHasEveryRoute(t *testing.T) {
	t.Parallel()
	d := readDocument(t, newHouse(t))
	there := 0
	for _, methods := range d.Paths {
		there += len(methods)
	}
	if there != len(routes) {
		t.Errorf("%d operations, want %d", there, len(routes))
	}
	for _, route := range routes {
		op := d.Paths[route.path][route.method]
		if op["operationId"] == nil || op["summary"] == "" || !strings.Contains(written(t, op["responses"]), `"default":`) {
			t.Errorf("%s %s: %v", route.method, route.path, op)
		}
		if got := written(t, op["security"]); got != `[{"`+route.scheme+`":[]}]` || d.Components["securitySchemes"][route.scheme] == nil {
			t.Errorf("%s %s is secured by %s", route.method, route.path, got)
		}
	}
}

func TestOpenAPIDescribesBodies(t *testing.T) {
	t.Parallel()
	d := readDocument(t, newHouse(t))
	for path, wanted := range map[string][]string{
		"/v1/batches":                {`"multipart/form-data"`, `"text/csv"`, `"application/x-ndjson"`, `"application/json"`},
		"/v1/lookups/{service}":      {`"email-finder"`, `"jobs-data"`, `"full_name"`, `"posted_after"`},
		"/admin/v1/orgs":             {`NameRequest`},
		"/admin/v1/orgs/{id}/keys":   {`KeyRequest`},
		"/admin/v1/orgs/{id}/grants": {`GrantRequest`},
	} {
		op := d.Paths[path]["post"]
		for _, w := range wanted {
			if body := written(t, op["requestBody"]); !strings.Contains(body, w) {
				t.Errorf("post %s: no %s in %s", path, w, body)
			}
		}
		if parameters := written(t, op["parameters"]); !strings.Contains(parameters, `"Idempotency-Key"`) {
			t.Errorf("post %s: parameters %s", path, parameters)
		}
	}
	for schema, members := range map[string]string{
		"Problem":      "type title status detail code request_id errors credits_required",
		"GrantBody":    "id source granted remaining expires_at reference created_at",
		"BatchBody":    "id name service status pause_reason rows credits max_credits created_at started_at finished_at rows_per_second eta_seconds",
		"Row":          "row row_id input outcome result provider credits reused duplicate_of error",
		"GrantRequest": "source credits reference expires_at",
		"BatchChange":  "name max_credits",
		"KeyRequest":   "name monthly_cap",
		"KeyChange":    "monthly_cap",
		"EntryBody":    "id created_at kind credits balance source service grant batch chunk lookup",
	} {
		text := written(t, d.Components["schemas"][schema])
		for member := range strings.SplitSeq(members, " ") {
			if !strings.Contains(text, `"`+member+`":{`) {
				t.Errorf("%s has no %s: %s", schema, member, text)
			}
		}
	}
}
