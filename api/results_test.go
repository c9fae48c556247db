package api_test

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/store"
)

func TestResultsAsCSV(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.postCSV("/v1/batches?service=email-finder", "Domain;=note;Full Name;Domain\n"+
		"a.example;=1+1;Ada Lovelace;x\nm.example;+1;Alan Turing;+33 6 12 34 56 78\n;-x;\"Grace; \"\"Hopper\"\"\";@y\na.example;;Ada LOVELACE;\n").want(202).text("id")
	h.run(id)
	r := h.get("/v1/batches/" + id + "/results?format=csv").want(200)
	if got := r.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/csv") {
		t.Errorf("Content-Type %q", got)
	}
	if got := r.Header().Get("Content-Disposition"); got != `attachment; filename="`+id+`.csv"` {
		t.Errorf("Content-Disposition %q", got)
	}
	got, err := csv.NewReader(r.Body).ReadAll()
	want := [][]string{
		{"Domain", "'=note", "Full Name", "Domain", "magpie_outcome", "magpie_provider", "magpie_credits", "magpie_email", "magpie_status", "magpie_domain", "magpie_mx_provider", "magpie_score"},
		{"a.example", "'=1+1", "Ada Lovelace", "x", "found", "stub", "1", "found@a.example", "valid", "a.example", "", ""},
		{"m.example", "+1", "Alan Turing", "+33 6 12 34 56 78", "not_found", "", "0", "", "", "", "", ""},
		{"", "'-x", `Grace; "Hopper"`, "'@y", "invalid_input", "", "0", "", "", "", "", ""},
		{"a.example", "", "Ada LOVELACE", "", "found", "stub", "0", "found@a.example", "valid", "a.example", "", ""},
	}
	if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got  %q\nwant %q, err %v", got, want, err)
	}
	raw := h.get("/v1/batches/" + id + "/results").want(200).Body.String()
	if !strings.Contains(raw, `"=note":"=1+1"`) {
		t.Errorf("NDJSON changes what was given: %s", raw)
	}
}

func TestResultsOfObjectsAsCSV(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.send("POST", "/v1/batches?service=email-finder", strings.NewReader(
		`{"row_id":"r1","full_name":"Ada Lovelace","domain":"a.example","age":36.50}`+"\n"+
			`not JSON`+"\n"+
			`{"domain":"b.example","full_name":"Alan Turing","vip":true,"age":null,"tags":"=x"}`+"\n"), "Content-Type: application/x-ndjson").want(202).text("id")
	h.run(id)
	got, err := csv.NewReader(h.get("/v1/batches/" + id + "/results?format=csv").want(200).Body).ReadAll()
	want := [][]string{
		{"row_id", "full_name", "domain", "age", "vip", "tags", "magpie_outcome"},
		{"r1", "Ada Lovelace", "a.example", "36.50", "", "", "found"},
		{"", "", "", "", "", "", "invalid_input"},
		{"", "Alan Turing", "b.example", "", "true", "'=x", "found"},
	}
	for i := range got {
		got[i] = got[i][:min(7, len(got[i]))]
	}
	if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got  %q\nwant %q, err %v", got, want, err)
	}
	rows := h.get("/v1/batches/" + id + "/results").want(200).Body.String()
	if !strings.Contains(rows, `"row_id":"r1"`) || !strings.Contains(rows, `"age":36.50`) {
		t.Errorf("rows: %s", rows)
	}
}

func TestResultsRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	target := "/v1/batches/" + h.postCSV("/v1/batches?service=email-finder", people).want(202).text("id") + "/results"
	for query, says := range map[string]string{
		"format=json": "not available yet", "format=xlsx": "not available yet", "format=pdf": "want ndjson or csv",
	} {
		r := h.get(target+"?"+query).wantProblem(400, "validation_error", "format")
		if !strings.Contains(r.text("detail"), says) {
			t.Errorf("%s: %s", query, r.Body)
		}
	}
	h.get(target+"?outcome=lost").wantProblem(400, "validation_error", "outcome")
}

// While the batch runs a download has the rows there are, and a long one
// arrives while the rest is still being read.
func TestResultsWhileRunning(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var rows strings.Builder
	rows.WriteString("full name,domain\n")
	for i := range 7 {
		fmt.Fprintf(&rows, "Ada Lovelace,a%d.example\n", i)
	}
	id := h.postCSV("/v1/batches?service=email-finder", rows.String()).want(202).text("id")
	count := func() int { return strings.Count(h.get("/v1/batches/"+id+"/results").want(200).Body.String(), "\n") }
	for chunk, want := range []int{3, 6, 7} {
		if got := count(); got != chunk*3 {
			t.Errorf("%d rows before chunk %d, want %d", got, chunk, chunk*3)
		}
		h.runChunk(id, int64(chunk))
		if got := count(); got != want {
			t.Errorf("%d rows after chunk %d, want %d", got, chunk, want)
		}
	}
}

// unbuffered is a connection on which the server waits for its reader.
type unbuffered struct {
	*httptest.ResponseRecorder

	body *io.PipeWriter
}

func (u unbuffered) Write(p []byte) (int, error) { return u.body.Write(p) }

func TestLongDownloadsArriveInPortions(t *testing.T) {
	t.Parallel()
	const all = 2000
	h := newHouse(t, func(c *api.Config, _ *api.Deps) { c.ChunkRows = 100 })
	id := h.postCSV("/v1/batches?service=email-finder", "full name,domain\n"+strings.Repeat("nobody,\n", all)).want(202).text("id")
	body, connection := io.Pipe()
	ended := make(chan any, 1)
	go func() {
		defer func() {
			ended <- recover()
			connection.Close()
		}()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/batches/"+id+"/results", nil)
		r.Header.Set("X-API-Key", h.key)
		h.handler.ServeHTTP(unbuffered{httptest.NewRecorder(), connection}, r)
	}()
	lines := bufio.NewScanner(body)
	if !lines.Scan() {
		t.Fatal("no first row")
	}
	// The rest is lost while the first portion is read: the answer must break
	// off, not look whole.
	err := h.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.ExecContext(t.Context(), `DELETE FROM chunks WHERE batch = ? AND chunk = ?`, id, all/100-1)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := 1
	for lines.Scan() {
		rows++
	}
	if how, _ := (<-ended).(error); !errors.Is(how, http.ErrAbortHandler) || rows >= all {
		t.Errorf("the download ended with %v after %d rows", how, rows)
	}
}
