package intake_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
)

var emails = intake.Options{Service: lookup.EmailValidation}

// Files that say the same give the same columns, cells and queries.
func TestSpellingsOfOneFile(t *testing.T) {
	t.Parallel()
	const text = "Prénom,Nom,Société\nZoë,Müller,\"Acme, Söhne\"\nInès,O’Neil,Été\n"
	encode := func(s string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	western := encode(charmap.Windows1252.NewEncoder().String(text))
	files := map[string]string{
		"UTF-8":                  text,
		"UTF-8 with a mark":      "\ufeff" + text,
		"UTF-16 LE":              encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(text)),
		"UTF-16 BE":              encode(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().String(text)),
		"Windows-1252":           western,
		"semicolons":             "Prénom;Nom;Société\nZoë;Müller;Acme, Söhne\nInès;O’Neil;Été\n",
		"tabs":                   "Prénom\tNom\tSociété\nZoë\tMüller\tAcme, Söhne\nInès\tO’Neil\tÉté\n",
		"pipes":                  "Prénom|Nom|Société\nZoë|Müller|Acme, Söhne\nInès|O’Neil|Été\n",
		"carriage returns":       strings.ReplaceAll(text, "\n", "\r"),
		"both":                   strings.ReplaceAll(text, "\n", "\r\n"),
		"blank lines":            "\n\r\n" + strings.ReplaceAll(text, "\n", "\n\n\r\n"),
		"no end of line":         strings.TrimSuffix(text, "\n"),
		"all quoted":             "\"Prénom\",\"Nom\",\"Société\"\n\"Zoë\",\"Müller\",\"Acme, Söhne\"\n\"Inès\",\"O’Neil\",\"Été\"",
		"a hint of spreadsheets": "sep=;\r\nPrénom;Nom;Société\nZoë;Müller;Acme, Söhne\nInès;O’Neil;Été\n",
		"trailing separators":    "Prénom,Nom,Société\nZoë,Müller,\"Acme, Söhne\",,\nInès,O’Neil,Été,\n",
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, rows := mustRead(t, file, intake.CSV, intake.Options{Service: lookup.EmailFinder})
			if got := strings.Join(r.Columns(), "/"); got != "Prénom/Nom/Société" {
				t.Errorf("columns %s", got)
			}
			if len(rows) != 2 {
				t.Fatalf("%d rows, want 2", len(rows))
			}
			if got := strings.Join(rows[0].Cells, "/"); got != "Zoë/Müller/Acme, Söhne" {
				t.Errorf("cells %s", got)
			}
			wantQuery(t, rows[0], map[string]string{"first_name": "zoe", "last_name": "muller", "company_name": "acme, sohne"})
			wantQuery(t, rows[1], map[string]string{"first_name": "ines", "last_name": "o'neil", "company_name": "ete"})
		})
	}
}

// Encodings that change in mid-file, beyond what is looked at in advance.
func TestEncodingShowsLate(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("x,jane@acme.com\n", 10_000)
	cases := []struct{ name, file, want string }{
		{"Latin-1 after much ASCII", "note,email\n" + filler + "caf\xe9 \xc9\x92,jane@acme.com\n", "café É’"},
		{"UTF-8 after much ASCII", "note,email\n" + filler + "café,jane@acme.com\n", "café"},
		{"a slip in UTF-8", "noté,email\n" + filler + "café caf\xe9,jane@acme.com\n", "café café"},
	}
	for _, c := range cases {
		r, err := intake.Open(strings.NewReader(c.file), intake.CSV, emails)
		if err != nil {
			t.Fatal(err)
		}
		rows := mustRows(t, r)
		if got := rows[len(rows)-1].Cells[0]; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Awkward records: the cells that come back, and why a row is invalid.
func TestRecords(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, row, cells string // cells joined with "/"
		invalid          string
	}{
		{"plain", `jane@acme.com,a`, "jane@acme.com/a", ""},
		{"a quoted line end", "jane@acme.com,\"a\nb\r\nc\"", "jane@acme.com/a\nb\r\nc", ""},
		{"doubled quotes", `jane@acme.com,"say ""hi"""`, `jane@acme.com/say "hi"`, ""},
		{"a stray quote", `jane@acme.com,5" nail`, `jane@acme.com/5" nail`, ""},
		{"text behind a quote", `jane@acme.com,"a" b`, "jane@acme.com/a b", ""},
		{"a cell missing", `jane@acme.com`, "jane@acme.com/", ""},
		{"empty cells too many", `jane@acme.com,a,,,`, "jane@acme.com/a", ""},
		{"cells too many", `jane@acme.com,a,b,c,d`, "jane@acme.com/a/b/c/d", "ragged_row"},
		{"empty cells", `,`, "/", "missing_field"},
		{"an empty quoted cell", `""`, "/", "missing_field"},
		{"spaces", `  `, "  /", "missing_field"},
		{"no address", `jane,a`, "jane/a", "invalid_email"},
		{"a NUL in the address", "jane@acme.com\x00,a", "/a", "invalid_value"},
		{"a NUL beside it", "jane@acme.com,a\x00", "jane@acme.com/", "invalid_value"},
		{"a cell too long", "jane@acme.com," + strings.Repeat("x", 101), "jane@acme.com/", "cell_too_large"},
		{"a cell just short enough", "jane@acme.com," + strings.Repeat("x", 100), "jane@acme.com/" + strings.Repeat("x", 100), ""},
		{"a row too long", "jane@acme.com" + strings.Repeat(",", 300), "jane@acme.com" + strings.Repeat("/", 7), "ragged_row"},
		{"a long cell in quotes", "jane@acme.com,\"" + strings.Repeat("\n", 1000) + "\"", "jane@acme.com/", "row_too_large"},
	}
	o := emails
	o.Limits = intake.Limits{CellBytes: 100, RowBytes: 200, Columns: 8}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, rows := mustRead(t, "email,note\n"+c.row+"\nlast@acme.com,z\n", intake.CSV, o)
			if len(rows) != 2 {
				t.Fatalf("%d rows, want 2", len(rows))
			}
			if got := strings.Join(rows[0].Cells, "/"); got != c.cells {
				t.Errorf("cells %q, want %q", got, c.cells)
			}
			if c.invalid != "" {
				wantInvalid(t, rows[0], c.invalid)
			} else if rows[0].Invalid != nil {
				t.Errorf("invalid: %+v", rows[0].Invalid)
			}
			wantQuery(t, rows[1], map[string]string{"email": "last@acme.com"})
			if got := r.Counts(); got.Rows != 2 || got.Invalid != int64(min(1, len(c.invalid))) {
				t.Errorf("counts %+v", got)
			}
		})
	}
}

// Of two columns with one name the first is asked, and both come back.
func TestDuplicateHeaders(t *testing.T) {
	t.Parallel()
	r, rows := mustRead(t, "email,Email,email\na@acme.com,b@acme.com,c@acme.com\n", intake.CSV, emails)
	wantQuery(t, rows[0], map[string]string{"email": "a@acme.com"})
	if len(r.Columns()) != 3 || len(rows[0].Cells) != 3 {
		t.Errorf("columns %q, cells %q", r.Columns(), rows[0].Cells)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	r, rows := mustRead(t, "email\na@acme.com\nnobody\nA@ACME.com\nb@acme.com\na@www.acme.com\na@acme.com.\nnobody\n", intake.CSV, emails)
	var got []int64
	for _, row := range rows {
		got = append(got, row.DuplicateOf)
	}
	if !slices.Equal(got, []int64{-1, -1, 0, -1, -1, 0, -1}) {
		t.Errorf("duplicates of %v", got)
	}
	if counts := r.Counts(); counts != (intake.Counts{Rows: 7, Invalid: 2, Duplicate: 2}) {
		t.Errorf("counts %+v", counts)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, f := range []intake.Format{intake.CSV, intake.NDJSON, intake.JSON} {
		begin := map[intake.Format]string{
			intake.CSV:    "email\n" + strings.Repeat("jane@acme.com\n", 10_000),
			intake.NDJSON: strings.Repeat(`{"email":"jane@acme.com"}`+"\n", 10_000),
			intake.JSON:   "[" + strings.Repeat(`{"email":"jane@acme.com"},`, 10_000),
		}[f]
		r, err := intake.Open(io.MultiReader(strings.NewReader(begin), iotest.ErrReader(broken)), f, emails)
		rows := 0
		for err == nil {
			_, err = r.Next()
			rows++
		}
		if !errors.Is(err, broken) || rows < 1000 {
			t.Errorf("%s: after %d rows: %v", f, rows, err)
		}
		if _, err := intake.Open(iotest.ErrReader(broken), f, emails); !errors.Is(err, broken) {
			t.Errorf("%s: Open: %v", f, err)
		}
	}
}
