package intake_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
)

// Whatever is uploaded, rows are numbered without a gap, each is a query or
// says why not, and only an [*intake.Error] refuses it.
func FuzzReader(f *testing.F) {
	seeds := []string{
		"email,note\njane@acme.com,\"a\n\"\"b\"\n,,,\n\"", "\ufeffE-Mail;row_id\r\na@b.cd;7\r\n", "\xff\xfee\x00m\x00a\x00i\x00l\x00\n\x00x\x00",
		"sep=|\remail|x\ra\x00|\xe9\r", `{"email":"a@b.cd","email":1}` + "\n[1]\n{", `[{"email":"a@b.cd"},1]`, "PK\x03\x04",
	}
	for i, seed := range seeds {
		f.Add([]byte(seed), i, i)
	}
	formats := []intake.Format{intake.CSV, intake.NDJSON, intake.JSON}
	f.Fuzz(func(t *testing.T, file []byte, format, service int) {
		o := intake.Options{
			Service: lookup.Services[uint(service)%uint(len(lookup.Services))],
			Limits:  intake.Limits{Rows: 50, Columns: 10, CellBytes: 40, RowBytes: 100},
		}
		r, err := intake.Open(strings.NewReader(string(file)), formats[uint(format)%3], o)
		for i := int64(0); err == nil; i++ {
			var row intake.Row
			if row, err = r.Next(); err == nil {
				checkRow(t, r, row, i)
			}
		}
		var refused *intake.Error
		if !errors.Is(err, io.EOF) && (!errors.As(err, &refused) || refused.Param == "" || refused.Code == "" || refused.Detail == "") {
			t.Fatalf("untyped error %v", err)
		}
	})
}

func checkRow(t *testing.T, r *intake.Reader, row intake.Row, i int64) {
	t.Helper()
	switch {
	case row.Index != i || row.DuplicateOf >= i || r.Counts().Rows != i+1:
		t.Fatalf("row %d: %+v, counts %+v", i, row, r.Counts())
	case (row.Invalid == nil) == (len(row.Query.Fields) == 0):
		t.Fatalf("row %d: neither a query nor invalid, or both: %+v", i, row)
	case row.Invalid != nil && (row.Invalid.Code == "" || row.Invalid.Detail == "" || row.DuplicateOf >= 0):
		t.Fatalf("row %d: %+v", i, row.Invalid)
	case row.Object != nil && !json.Valid(row.Object):
		t.Fatalf("row %d: %q is not JSON", i, row.Object)
	case row.Cells != nil && len(row.Cells) < len(r.Columns()):
		t.Fatalf("row %d: %d cells for %d columns", i, len(row.Cells), len(r.Columns()))
	case strings.Contains(strings.Join(row.Cells, "")+row.RowID, "\x00"):
		t.Fatalf("row %d: a NUL came through: %q", i, row.Cells)
	}
}

// What encoding/csv reads without complaint is read the same.
func FuzzLikeEncodingCSV(f *testing.F) {
	for _, s := range []string{"a,b", "a,\"b\"\"\n\"\n\nc", `"",`, ",\n,,\n", "\"a,b\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		const header = "email,x,y\n"
		if strings.ContainsAny(body, "\r\x00") || strings.ToValidUTF8(body, "") != body {
			return
		}
		reference := csv.NewReader(strings.NewReader(header + body))
		reference.FieldsPerRecord = -1
		want, err := reference.ReadAll()
		if err != nil || len(want) < 2 {
			return
		}
		r, err := intake.Open(strings.NewReader(header+body), intake.CSV, intake.Options{Service: lookup.EmailValidation})
		if err != nil {
			var refused *intake.Error
			if errors.As(err, &refused) && strings.Contains(refused.Detail, "not text") {
				return
			}
			t.Fatal(err)
		}
		rows := mustRows(t, r)
		if len(rows) != len(want)-1 {
			t.Fatalf("%q: %d rows, want %d", body, len(rows), len(want)-1)
		}
		for i, row := range rows {
			if !slices.Equal(trimEmpty(row.Cells), trimEmpty(want[i+1])) {
				t.Fatalf("%q: row %d is %q, want %q", body, i, row.Cells, want[i+1])
			}
		}
	})
}

func trimEmpty(cells []string) []string {
	for len(cells) > 0 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	return cells
}

// repeated is an endless text, cut off at a size.
func repeated(begin, text string, size int64) io.Reader {
	return io.MultiReader(strings.NewReader(begin), io.LimitReader(endless(text), size))
}

type endless string

func (e endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

// Files that never end a cell, a row, a line or an element stay out of memory.
//
//nolint:paralleltest // it measures the whole process's memory
func TestMemoryStaysConstant(t *testing.T) {
	const size = 4 << 20
	o := emails
	o.Limits = intake.Limits{CellBytes: 16 << 10, RowBytes: 64 << 10}
	cases := []struct {
		name   string
		file   io.Reader
		format intake.Format
	}{
		{"a quote that is never closed", repeated("email\na@b.cd\n\"", "x\n", size), intake.CSV},
		{"a cell that never ends", repeated("email\n", "x", size), intake.CSV},
		{"cells without an end", repeated("email\n", ",", size), intake.CSV},
		{"a header without an end", repeated("email", ",x", size), intake.CSV},
		{"a line without an end", repeated(`{"email":"a@b.cd"}`+"\n{", "x", size), intake.NDJSON},
		{"an element without an end", repeated(`[{"email":"`, "x", size), intake.JSON},
		{"spaces without an end", repeated(`[{"email":"a@b.cd"}`, "  ", size), intake.JSON},
		{"blank lines without an end", repeated("email\n", "\n", size), intake.CSV},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := intake.Open(c.file, c.format, o)
			for err == nil {
				_, err = r.Next()
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
				t.Errorf("%d MiB were allocated for a file of %d MiB", used>>20, size>>20)
			}
		})
	}
}
