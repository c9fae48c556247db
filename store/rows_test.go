package store

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
)

// awkward texts need care somewhere: empty, long enough for a two-byte length, not
// UTF-8, a NUL.
var awkward = []string{"", "a", "Zoë", "\x00", "\xff", string(make([]byte, 200))}

func randomInput(r *rand.Rand) []InputRow {
	text := func() string { return awkward[r.IntN(len(awkward))] }
	rows := make([]InputRow, r.IntN(20))
	for i := range rows {
		row := &rows[i]
		row.RowID = text()
		switch r.IntN(3) {
		case 0:
			row.Cells = make([]string, r.IntN(4))
			for k := range row.Cells {
				row.Cells[k] = text()
			}
		case 1:
			row.Object = json.RawMessage(`{"a":1}`)
		}
		switch r.IntN(3) {
		case 0:
			row.Error = &lookup.RowError{Code: "c", Detail: text()}
		case 1:
			row.DuplicateOf = 1 + r.Int64N(1_000_000)
			fallthrough
		default:
			row.Fields = lookup.Fields{}
			for range r.IntN(4) {
				row.Fields[awkward[r.IntN(3)]] = text()
			}
		}
	}
	return rows
}

func TestInputComesBack(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		rows := randomInput(r)
		body := encodeInput(rows)
		got, err := decodeInput(body, true)
		if err != nil || !reflect.DeepEqual(got, rows) {
			t.Fatalf("%v\ngot  %#v\nwant %#v", err, got, rows)
		}
		bare, err := decodeInput(body, false)
		for i := range rows {
			rows[i].Fields = nil
		}
		if err != nil || !reflect.DeepEqual(bare, rows) {
			t.Fatalf("without queries: %v\ngot  %#v\nwant %#v", err, bare, rows)
		}
	}
}

func TestAnswersComeBack(t *testing.T) {
	t.Parallel()
	want := []RowAnswer{
		{Row: 0, Outcome: lookup.Found, Result: json.RawMessage(`{"email":"a@b.example"}`), Provider: "hunter", Credits: 1000},
		{Row: 1},
		{Row: 2, Outcome: lookup.Found, Result: json.RawMessage(`{}`), Provider: "hunter", Reused: true},
		{Row: 3, Outcome: lookup.Failed, Error: &lookup.RowError{Code: "c", Detail: "d"}},
	}
	got := make([]RowAnswer, 4)
	got[1].Row = 1
	for _, round := range [][]RowAnswer{want[:1], want[2:]} {
		if err := decodeAnswers(encodeAnswers(round), got); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := decodeAnswers(encodeAnswers(want), got[:3]); err == nil {
		t.Error("the answer to a row that the chunk has not was taken")
	}
}

// Whatever is in the database, reading it ends, with an error if it is damaged.
func FuzzDamagedDocument(f *testing.F) {
	input := encodeInput(randomInput(rand.New(rand.NewPCG(1, 2))))
	f.Add(input)
	f.Add(encodeAnswers([]RowAnswer{{Row: 1, Outcome: lookup.Found, Result: json.RawMessage(`{}`), Provider: "hunter"}}))
	f.Add([]byte{})
	f.Add([]byte{documentForm, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, body []byte) {
		rows, err := decodeInput(body, true)
		if err == nil && len(rows) > len(body) {
			t.Errorf("%d rows from %d bytes", len(rows), len(body))
		}
		_ = decodeAnswers(body, make([]RowAnswer, 4)) // must not panic
	})
}

func TestDamagedDocumentIsRefused(t *testing.T) {
	t.Parallel()
	body := encodeInput([]InputRow{{RowID: "seven", Cells: []string{"a"}, Fields: lookup.Fields{"email": "a@b.example"}}})
	for n := range body {
		if _, err := decodeInput(body[:n], true); err == nil {
			t.Errorf("the first %d of %d bytes were taken for the whole", n, len(body))
		}
	}
	if _, err := decodeInput(append([]byte{documentForm + 1}, body[1:]...), true); err == nil {
		t.Error("a form that is not known was read")
	}
	if _, err := decodeInput(append(body, 0), true); err == nil {
		t.Error("what follows the document was ignored")
	}
}
