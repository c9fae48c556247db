package intake_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
)

// Objects are mapped each by its own keys, and echoed as given.
func TestObjects(t *testing.T) {
	t.Parallel()
	lines := []struct {
		line, object string
		query        map[string]string
		rowID        string
		invalid      string
	}{
		{`{"phone": "+33 6 12 34 56 78", "row_id": 7}`, `{"phone":"+33 6 12 34 56 78","row_id":7}`, map[string]string{"number": "+33612345678"}, "7", ""},
		{`{"number":33612345678,"pays":"FR","x":{"y":[1, 2]}}`, `{"number":33612345678,"pays":"FR","x":{"y":[1,2]}}`, map[string]string{"number": "+33612345678"}, "", ""},
		{`{"number":"+33612345679","number":"+33"}`, `{"number":"+33612345679","number":"+33"}`, map[string]string{"number": "+33612345679"}, "", ""},
		{`{"Téléphone":"06 12 34 56 70","country":"FR","row_id":"b"}`, `{"Téléphone":"06 12 34 56 70","country":"FR","row_id":"b"}`, map[string]string{"number": "+33612345670"}, "b", ""},
		{`{"number":null,"row_id":true}`, `{"number":null,"row_id":true}`, nil, "true", "missing_field"},
		{`{"number":["+33612345678"],"row_id":"c"}`, `{"number":["+33612345678"],"row_id":"c"}`, nil, "c", "invalid_value"},
		{`{"number":{"a":1}}`, `{"number":{"a":1}}`, nil, "", "invalid_value"},
		{`{"number":"\u0000"}`, `{"number":"\u0000"}`, nil, "", "invalid_value"},
		{`{"number":"` + strings.Repeat("1", 101) + `"}`, `{"number":"` + strings.Repeat("1", 101) + `"}`, nil, "", "invalid_value"},
		{`{"nu\u0000mber":"1"}`, `{"nu\u0000mber":"1"}`, nil, "", "invalid_json"},
		{`{"number":"call me"}`, `{"number":"call me"}`, nil, "", "invalid_number"},
		{
			`{"}\"]": {"a\\": ["}", {"b": "\""}]}, "n\u0075mber": "+33\t612345671", "row_id": "\u00e9,\"}"}`,
			`{"}\"]":{"a\\":["}",{"b":"\""}]},"n\u0075mber":"+33\t612345671","row_id":"\u00e9,\"}"}`,
			map[string]string{"number": "+33612345671"}, `é,"}`, "",
		},
		{`{}`, `{}`, nil, "", "missing_field"},
		{`[1, 2]`, `[1,2]`, nil, "", "not_an_object"},
		{`42`, `42`, nil, "", "not_an_object"},
		{`null`, `null`, nil, "", "not_an_object"},
		{`{"number":`, `"{\"number\":"`, nil, "", "invalid_json"},
		{`{"number":"` + strings.Repeat("1", 300) + `"}`, ``, nil, "", "row_too_large"},
		{`{"number":"+33612345678"}`, `{"number":"+33612345678"}`, map[string]string{"number": "+33612345678"}, "", ""},
	}
	o := intake.Options{Service: lookup.MobileValidation, Limits: intake.Limits{CellBytes: 100, RowBytes: 250}}
	var file strings.Builder
	for _, l := range lines {
		file.WriteString(l.line + "\r\n \n")
	}
	r, rows := mustRead(t, "\ufeff"+file.String(), intake.NDJSON, o)
	if len(rows) != len(lines) {
		t.Fatalf("%d rows, want %d", len(rows), len(lines))
	}
	for i, l := range lines {
		row := rows[i]
		if string(row.Object) != l.object || row.RowID != l.rowID || row.Index != int64(i) {
			t.Errorf("line %d: object %s, row id %q", i, row.Object, row.RowID)
		}
		if l.invalid != "" {
			wantInvalid(t, row, l.invalid)
		} else {
			wantQuery(t, row, l.query)
		}
	}
	if last := rows[len(rows)-1]; last.DuplicateOf != 0 {
		t.Errorf("the last row is a duplicate of %d, want 0", last.DuplicateOf)
	}
	if got := strings.Join(r.Columns(), "/"); got != "phone/row_id/number/pays/x/Téléphone/country/}\"]" {
		t.Errorf("columns %s", got)
	}
}

// The three ways to send objects give the same rows.
func TestObjectFormatsAgree(t *testing.T) {
	t.Parallel()
	rows := []json.RawMessage{
		json.RawMessage(`{"colour":"red"}`), json.RawMessage(`{"E-Mail":"jane@acme.com", "n":1.50}`), json.RawMessage(`7`),
		json.RawMessage(`{"email":"JANE@acme.com"}`),
	}
	var ndjson, array strings.Builder
	for i, row := range rows {
		ndjson.Write(append(row, '\n'))
		array.WriteString([]string{"[", ","}[min(i, 1)])
		array.Write(row)
	}
	array.WriteString("]\n")
	r, err := intake.OpenJSONRows(rows, emails)
	if err != nil {
		t.Fatal(err)
	}
	want := mustRows(t, r)
	if len(want) != 4 || string(want[1].Object) != `{"E-Mail":"jane@acme.com","n":1.50}` || want[3].DuplicateOf != 1 {
		t.Errorf("rows %+v", want)
	}
	wantInvalid(t, want[0], "missing_field")
	wantInvalid(t, want[2], "not_an_object")
	if _, got := mustRead(t, ndjson.String(), intake.NDJSON, emails); !reflect.DeepEqual(got, want) {
		t.Errorf("NDJSON gives %+v, want %+v", got, want)
	}
	if _, got := mustRead(t, array.String(), intake.JSON, emails); !reflect.DeepEqual(got, want) {
		t.Errorf("JSON gives %+v, want %+v", got, want)
	}
}

func TestRowsOfABody(t *testing.T) {
	t.Parallel()
	raw := func(rows ...string) (all []json.RawMessage) {
		for _, row := range rows {
			all = append(all, json.RawMessage(row))
		}
		return all
	}
	mapped := emails
	mapped.Mapping = map[string]string{"email": "Other"}
	few := emails
	few.Limits.Rows = 1
	cases := []struct {
		name    string
		rows    []json.RawMessage
		options intake.Options
		param   string
		code    string
	}{
		{"none", nil, emails, "rows", intake.CodeInvalid},
		{"no object", raw(`1`), emails, "rows", intake.CodeInvalid},
		{"no usable key", raw(`{"colour":"red"}`), emails, "rows", intake.CodeInvalid},
		{"mapping to a key that is not there", raw(`{"email":"jane@acme.com"}`), mapped, "mapping.email", intake.CodeInvalid},
		{"too many", raw(`{"email":"a@acme.com"}`, `{"email":"b@acme.com"}`), few, "rows", intake.CodeTooLarge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := intake.OpenJSONRows(c.rows, c.options)
			for err == nil {
				_, err = r.Next()
			}
			wantError(t, err, c.param, c.code)
		})
	}
	r, err := intake.OpenJSONRows(raw(`{"email":"x"}`, `{"Other":"jane@acme.com"}`), mapped)
	if err != nil {
		t.Fatal(err)
	}
	rows := mustRows(t, r)
	wantInvalid(t, rows[0], "missing_field")
	wantQuery(t, rows[1], map[string]string{"email": "jane@acme.com"})
}
