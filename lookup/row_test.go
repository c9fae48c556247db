package lookup_test

import (
	"encoding/json"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
)

func TestRowIsWrittenAsEncodingJSONWould(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]lookup.Row{
		"nothing": {},
		"everything": {
			Row: new(int64(7)), RowID: "r-7", Input: json.RawMessage(`{"a":"b"}`), Outcome: new(lookup.Found), Result: json.RawMessage(`{"email":"x@example.com"}`),
			Provider: "hunter", Credits: 1250, Reused: true, DuplicateOf: new(int64(3)), Error: &lookup.RowError{Code: "c", Detail: `with "quotes"`},
		},
		"odd ids":  {RowID: "a\"b\\c<d>\u00e9\n&", Outcome: new(lookup.InvalidInput), Credits: -500},
		"not text": {RowID: "\xff", Provider: "\x00"},
	} {
		want, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := row.AppendJSON([]byte("x")); err != nil || string(got) != "x"+string(want) {
			t.Errorf("%s:\n%s, %v\nwant %s", name, got, err, want)
		}
	}
}
