package api_test

import (
	"bytes"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/intake"
)

// form writes a form with its parts in the order given: "name=value", or
// "@filename=content" for the file.
func form(parts ...string) (body, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if file, ok := strings.CutPrefix(name, "@"); ok {
			to, _ := w.CreateFormFile("file", file)
			to.Write([]byte(value))
			continue
		}
		w.WriteField(name, value)
	}
	w.Close()
	return b.String(), "Content-Type: " + w.FormDataContentType()
}

func randomBytes(n int) string {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{7})
	source.Read(b)
	return string(b)
}

const people = "full name,domain\nAda Lovelace,a.example\nAlan Turing,b.example\n"

// badCase is a request that must be refused.
type badCase struct {
	name, target string
	body         [2]string // content, content type
	status       int
	code, param  string
	says         string // part of the first error's detail
}

func badCases() []badCase {
	form0 := func(parts ...string) [2]string { body, header := form(parts...); return [2]string{body, header} }
	csv := func(body string) [2]string { return [2]string{body, "Content-Type: text/csv"} }
	ndjson := func(body string) [2]string { return [2]string{body, "Content-Type: application/x-ndjson"} }
	json := func(body string) [2]string { return [2]string{body, "Content-Type: application/json"} }
	const batches, finder = "/v1/batches", "/v1/batches?service=email-finder"
	const lookups = "/v1/lookups/email-finder"
	return []badCase{
		{"an empty file", finder, csv(""), 400, "validation_error", "file", "empty"},
		{"blank lines only", finder, csv("\n\n  \n"), 400, "validation_error", "file", ""},
		{"an empty file in a form", batches, form0("service=email-finder", "@x.csv="), 400, "validation_error", "file", "empty"},
		{"a header only", finder, csv("full name,domain\n"), 400, "validation_error", "file", "no rows"},
		{"no usable column", finder, csv("colour,size\nred,4\n"), 400, "validation_error", "file", `"colour"`},
		{"no usable column, what is needed", finder, csv("colour\nred\n"), 400, "validation_error", "file", "full_name"},
		{"10 MB of random bytes", finder, csv(randomBytes(10 << 20)), 400, "validation_error", "file", "not text"},
		{"10 MB of random bytes in a form", batches, form0("service=email-finder", "@x.csv="+randomBytes(10<<20)), 400, "validation_error", "file", "not text"},
		{"an unterminated quote", finder, csv("full name,domain\n\"Ada,a.example\n"), 400, "validation_error", "file", "quote"},
		{"an unterminated quote after many rows", finder, csv(people + people[17:] + "\"Ada,a.example\n"), 400, "validation_error", "file", "quote"},
		{"too many rows", finder, csv(people + people[17:] + people[17:]), 413, "payload_too_large", "file", "4 rows"},
		{"too many bytes", finder, csv(strings.Repeat("x", 12<<20)), 413, "payload_too_large", "", ""},
		{"too many bytes in a form", batches, form0("service=email-finder", "@x.csv="+strings.Repeat("x", 13<<20)), 413, "payload_too_large", "", ""},
		{"NDJSON with no object", finder, ndjson("1\n2\n"), 400, "validation_error", "file", ""},
		{"a workbook", finder, [2]string{"PK\x03\x04", "Content-Type: application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}, 415, "unsupported_media_type", "file", "xlsx"},
		{"a workbook called CSV", finder, csv("PK\x03\x04zzzz"), 415, "unsupported_media_type", "file", "xlsx"},
		{"no media type", finder, [2]string{people, "Content-Type: "}, 415, "unsupported_media_type", "file", ""},
		{"a URL-encoded form", finder, [2]string{"a=b", "Content-Type: application/x-www-form-urlencoded"}, 415, "unsupported_media_type", "file", ""},
		{"a form without boundary", batches, [2]string{people, "Content-Type: multipart/form-data"}, 400, "validation_error", "body", ""},
		{"a form that breaks off", batches, [2]string{"--x\r\nContent-Disposition: form-data; name=\"service\"\r\n\r\nema", "Content-Type: multipart/form-data; boundary=x"}, 400, "validation_error", "body", ""},
		{"a form without file", batches, form0("service=email-finder"), 400, "validation_error", "file", "missing"},
		{"a form with two files", batches, form0("service=email-finder", "@x.csv="+people, "@y.csv="+people), 400, "validation_error", "file", "more than once"},
		{"a form with a field twice", batches, form0("name=a", "name=b"), 400, "validation_error", "name", "more than once"},
		{"a form with an unknown field", batches, form0("servise=email-finder"), 400, "validation_error", "servise", "unknown"},
		{"a form and a query", finder, form0("@x.csv=" + people), 400, "validation_error", "service", "belongs into the body"},

		{"no service", batches, csv(people), 400, "validation_error", "service", "mobile-validation"},
		{"no service in a form", batches, form0("@x.csv=" + people), 400, "validation_error", "service", ""},
		{"a service that does not exist", batches + "?service=fax-finder", csv(people), 400, "validation_error", "service", "email-finder"},
		{"a service that does not exist, JSON", batches, json(`{"service":"fax-finder","rows":[{}]}`), 400, "validation_error", "service", ""},
		{"a service that does not exist, form", batches, form0("@x.csv="+people, "service=fax-finder"), 400, "validation_error", "service", ""},
		{"a service that does not exist, path", "/v1/lookups/fax-finder", json(`{}`), 404, "not_found", "", ""},
		{"a service nobody provides", batches + "?service=jobs-data", csv("company_name\nAcme\n"), 503, "provider_unavailable", "", ""},
		{"a lookup nobody provides", "/v1/lookups/jobs-data", json(`{"company_name":"Acme"}`), 503, "provider_unavailable", "", ""},

		{"max_credits of nothing", finder + "&max_credits=0", csv(people), 400, "validation_error", "max_credits", "above 0"},
		{"max_credits in a form", batches, form0("service=email-finder", "max_credits=many", "@x.csv="+people), 400, "validation_error", "max_credits", "above 0"},
		{"max_credits in JSON", batches, json(`{"service":"email-finder","rows":[{"full_name":"A B","domain":"a.example"}],"max_credits":-1}`), 400, "validation_error", "max_credits", "above 0"},
		{"callback_url in a form", batches, form0("service=email-finder", "callback_url=x", "@x.csv="+people), 400, "validation_error", "callback_url", "not available yet"},
		{"min_confidence in JSON", batches, json(`{"service":"email-finder","rows":[{"full_name":"A B","domain":"a.example"}],"min_confidence":1}`), 400, "validation_error", "min_confidence", "not available yet"},
		{"max_cost in a lookup", lookups, json(`{"full_name":"A B","domain":"a.example","max_cost":1}`), 400, "validation_error", "max_cost", "not available yet"},
		{"an unknown parameter", finder + "&colour=red", csv(people), 400, "validation_error", "colour", "unknown"},
		{"a parameter in another case", batches + "?Service=email-finder", csv(people), 400, "validation_error", "Service", "unknown"},
		{"a parameter twice", finder + "&name=a&name=b", csv(people), 400, "validation_error", "name", "more than once"},
		{"accept_catch_all", finder + "&accept_catch_all=perhaps", csv(people), 400, "validation_error", "accept_catch_all", "true or false"},
		{"a mapping that is no object", finder + "&mapping=x", csv(people), 400, "validation_error", "mapping", ""},
		{"a mapping of an unknown field", finder + "&mapping=%7B%22shoe%22:%22domain%22%7D", csv(people), 400, "validation_error", "mapping.shoe", ""},
		{"a mapping to no column", finder + "&mapping=%7B%22domain%22:%22shoe%22%7D", csv(people), 400, "validation_error", "mapping.domain", `"shoe"`},
		{"a long name", finder + "&name=" + strings.Repeat("x", 201), csv(people), 400, "validation_error", "name", "200"},

		{"no body", batches, json(``), 400, "validation_error", "body", "none"},
		{"no JSON", batches, json(`{"service":`), 400, "validation_error", "body", "JSON"},
		{"JSON but no object", batches, json(`[1]`), 400, "validation_error", "body", "object"},
		{"null", batches, json(`null`), 400, "validation_error", "body", "object"},
		{"no rows", batches, json(`{"service":"email-finder"}`), 400, "validation_error", "rows", "missing"},
		{"an empty list of rows", batches, json(`{"service":"email-finder","rows":[]}`), 400, "validation_error", "rows", ""},
		{"rows of another kind", batches, json(`{"service":"email-finder","rows":"x"}`), 400, "validation_error", "rows", "list"},
		{"rows with no usable field", batches, json(`{"service":"email-finder","rows":[{"colour":1}]}`), 400, "validation_error", "rows", `"colour"`},
		{"a field in another case", batches, json(`{"Service":"email-finder","service":"email-finder","rows":[{}]}`), 400, "validation_error", "Service", "unknown"},
		{"a service of another kind", batches, json(`{"service":7,"rows":[{}]}`), 400, "validation_error", "service", "want a text"},
		{"a mapping of another kind", batches, json(`{"service":"email-finder","rows":[{}],"mapping":{"a":1}}`), 400, "validation_error", "mapping", ""},

		{"a lookup without name", lookups, json(`{"domain":"a.example"}`), 400, "validation_error", "full_name", "no name"},
		{"a lookup without company", lookups, json(`{"full_name":"Ada King"}`), 400, "validation_error", "domain", ""},
		{"a lookup with an unknown field", lookups, json(`{"full_name":"Ada King","domian":"a.example"}`), 400, "validation_error", "domian", "unknown"},
		{"a lookup with a field in another case", lookups, json(`{"Full_Name":"Ada King"}`), 400, "validation_error", "Full_Name", "unknown"},
		{"a lookup with an object", lookups, json(`{"full_name":{"a":1},"domain":"a.example"}`), 400, "validation_error", "full_name", "want a text"},
		{"a lookup with a list as row_id", lookups, json(`{"full_name":"Ada King","domain":"a.example","row_id":[]}`), 400, "validation_error", "row_id", ""},
		{"a lookup with a strange option", lookups, json(`{"full_name":"Ada King","domain":"a.example","accept_catch_all":"yes"}`), 400, "validation_error", "accept_catch_all", ""},
		{"a lookup of another media type", lookups, csv(people), 415, "unsupported_media_type", "Content-Type", ""},
		{"a lookup of 2 MiB", lookups, json(`{"full_name":"` + strings.Repeat("x", 2<<20) + `"}`), 413, "payload_too_large", "", ""},
	}
}

func TestBadInput(t *testing.T) { //nolint:tparallel // the cases are parallel inside a group: what they leave behind is looked for after it
	t.Parallel()
	h := newHouse(t, func(c *api.Config, _ *api.Deps) { c.Limits = intake.Limits{Rows: 4}; c.MaxUploadBytes = 11 << 20 })
	t.Run("refused", func(t *testing.T) {
		for _, c := range badCases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				sent := *h
				sent.t = t
				r := sent.send(http.MethodPost, c.target, strings.NewReader(c.body[0]), c.body[1]).wantProblem(c.status, c.code, c.param)
				if !strings.Contains(r.text("errors.0.detail"), c.says) {
					t.Errorf("the detail says %q, want %q in it", r.text("errors.0.detail"), c.says)
				}
			})
		}
	})
	h.nothingStored()
	if n := h.vendor.calls(); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
	if c := h.get("/v1/credits"); c.at("available") != 100.0 || c.at("held") != 0.0 {
		t.Errorf("credits: %s", c.Body)
	}
}

func TestRaggedRowIsInvalidAndTheBatchGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.postCSV("/v1/batches?service=email-finder", people+"Grace Hopper,c.example,too,many,cells\n").want(202)
	id := r.text("id")
	h.run(id)
	b := h.get("/v1/batches/" + id).want(200)
	if b.text("status") != "completed" || b.at("rows.invalid") != 1.0 || b.at("rows.found") != 2.0 || b.at("credits.charged") != 2.0 {
		t.Errorf("the batch is %s", b.Body)
	}
	rows := h.get("/v1/batches/" + id + "/results?outcome=invalid_input").want(200).Body.String()
	if !strings.Contains(rows, `"code":"ragged_row"`) || !strings.Contains(rows, `"row":2`) || strings.Count(rows, "\n") != 1 {
		t.Errorf("the invalid rows are %s", rows)
	}
}

func TestErrorsDoNotRepeatValues(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const secret = "sekrit-person"
	for _, r := range []*reply{
		h.postJSON("/v1/lookups/email-finder", `{"full_name":"`+secret+`","domain":"a.example"}`),
		h.postJSON("/v1/lookups/email-finder", `{"full_name":{"`+secret+`":1},"domain":"a.example"}`),
		h.postJSON("/admin/v1/orgs", `{"name":["`+secret+`"]}`, admin),
		h.postJSON("/admin/v1/orgs/"+h.org+"/grants", `{"source":"`+secret+`","credits":"`+secret+`"}`, admin),
		h.get("/v1/batches?status=" + secret),
		h.get("/v1/batches?limit=" + secret),
		h.get("/v1/batches?service=" + secret),
		h.get("/v1/batches?cursor=" + secret),
		h.get("/v1/batches/" + secret),
		h.get("/v1/" + secret),
		h.postCSV("/v1/batches?service="+secret, people),
	} {
		if r.Code < 400 || r.Code >= 500 {
			t.Errorf("status %d, want a refusal: %s", r.Code, r.Body)
		}
		if strings.Contains(r.Body.String(), secret) {
			t.Errorf("a value is repeated: %s", r.Body)
		}
	}
	if strings.Contains(h.log.String(), secret) {
		t.Errorf("a value is in the log: %s", h.log)
	}
}
