package intake_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/intake"
)

func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	random := make([]byte, 10<<20)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(random)
	wide := strings.Repeat("email,", 9_999) + "email\njane@acme.com\n"
	cases := []struct {
		name, file  string
		format      intake.Format
		param, code string
		detail      string
	}{
		{"empty", "", intake.CSV, "file", intake.CodeInvalid, "empty"},
		{"only a mark", "\ufeff", intake.CSV, "file", intake.CodeInvalid, "empty"},
		{"only a mark of UTF-16", "\xff\xfe", intake.CSV, "file", intake.CodeInvalid, "empty"},
		{"only blank lines", "\r\n \n\n", intake.CSV, "file", intake.CodeInvalid, "empty"},
		{"only a header", "email,name\n", intake.CSV, "file", intake.CodeInvalid, "no rows"},
		{"only a header, no line end", "email", intake.CSV, "file", intake.CodeInvalid, "no rows"},
		{"random bytes", string(random), intake.CSV, "file", intake.CodeInvalid, "not text"},
		{"random bytes as NDJSON", string(random), intake.NDJSON, "file", intake.CodeInvalid, "not text"},
		{"random bytes with a mark", "\xff\xfe" + string(random), intake.CSV, "file", intake.CodeInvalid, "no usable column"},
		{"UTF-16 without a mark", strings.ReplaceAll("email\njane@acme.com\n", "", "\x00"), intake.CSV, "file", intake.CodeInvalid, "not text"},
		{"an unclosed quote", "email,note\njane@acme.com,\"a\nb\n", intake.CSV, "file", intake.CodeInvalid, "line 2:"},
		{"an unclosed quote far below", "email,note\n" + strings.Repeat("jane@acme.com,\"a\nb\"\n", 5000) + "j@acme.com,\"a\nb\nc\n", intake.CSV, "file", intake.CodeInvalid, "line 10002:"},
		{"an unclosed quote in the header", "email,\"note\njane@acme.com\n", intake.CSV, "file", intake.CodeInvalid, "line 1:"},
		{"no usable column", "colour,size\nred,1\n", intake.CSV, "file", intake.CodeInvalid, `needs email; the columns are "colour", "size"`},
		{"one column that says nothing", "colour\nred\n", intake.CSV, "file", intake.CodeInvalid, `"colour"`},
		{"data for a header", "jane@acme.com\njohn@acme.com\n", intake.CSV, "file", intake.CodeInvalid, "header line missing"},
		{"10,000 columns", wide, intake.CSV, "file", intake.CodeTooLarge, "500 columns"},
		{"a workbook", "PK\x03\x04 and so on", intake.CSV, "file", intake.CodeUnsupported, "xlsx"},
		{"an old workbook", "\xd0\xcf\x11\xe0 and so on", intake.CSV, "file", intake.CodeUnsupported, "xls"},
		{"gzip", "\x1f\x8b\x08 and so on", intake.NDJSON, "file", intake.CodeUnsupported, "gzip"},
		{"no format", "email\njane@acme.com\n", "yaml", "file", intake.CodeUnsupported, "csv"},

		{"lines without objects", "1\n\"email\"\nnot json\n", intake.NDJSON, "file", intake.CodeInvalid, "no row is a JSON object"},
		{"empty objects", "{}\n{}\n", intake.NDJSON, "file", intake.CodeInvalid, "no row is a JSON object"},
		{"objects without the field", `{"colour":"red"}` + "\n" + `{"size":1}`, intake.NDJSON, "file", intake.CodeInvalid, `"colour", "size"`},
		{"too many keys", keyed(501), intake.NDJSON, "file", intake.CodeTooLarge, "500 columns"},
		{"an empty array", "[]", intake.JSON, "file", intake.CodeInvalid, "no rows"},
		{"no array", `{"email":"jane@acme.com"}`, intake.JSON, "file", intake.CodeInvalid, "array"},
		{"an unclosed array", `[{"email":"jane@acme.com"}`, intake.JSON, "file", intake.CodeInvalid, "never closed"},
		{"something behind the array", `[{"email":"jane@acme.com"}] {}`, intake.JSON, "file", intake.CodeInvalid, "follows"},
		{"broken in the middle", `[{"email":"jane@acme.com"}, {"email"; 1}]`, intake.JSON, "file", intake.CodeInvalid, "not JSON"},
		{"an endless element", `[{"email":"` + strings.Repeat("x", 2<<20) + `"}]`, intake.JSON, "file", intake.CodeTooLarge, "longer than"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantError(t, readAll(c.file, c.format, emails), c.param, c.code, c.detail)
		})
	}
}

// keyed is an object with n keys.
func keyed(n int) string {
	var b strings.Builder
	b.WriteString(`{"email":"jane@acme.com"`)
	for i := range n - 1 {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return b.String() + "}\n"
}

func TestErrorsListFewColumns(t *testing.T) {
	t.Parallel()
	header := strings.TrimSuffix(strings.Repeat(strings.Repeat("é", 1000)+",", 400), ",")
	err := readAll(header+"\nx\n", intake.CSV, emails)
	wantError(t, err, "file", intake.CodeInvalid, "and 380 more")
	if len(err.Error()) > 4000 {
		t.Errorf("the message has %d bytes", len(err.Error()))
	}
}

func TestUnknownService(t *testing.T) {
	t.Parallel()
	wantError(t, readAll("email\njane@acme.com\n", intake.CSV, intake.Options{Service: "fax-finder"}), "service", intake.CodeInvalid, "email-finder")
}

func TestRowLimit(t *testing.T) {
	t.Parallel()
	o := emails
	o.Limits.Rows = 2
	file := "email\na@acme.com\nb@acme.com\n"
	if err := readAll(file, intake.CSV, o); !errors.Is(err, io.EOF) {
		t.Errorf("as many rows as allowed: %v", err)
	}
	wantError(t, readAll(file+"c@acme.com\n", intake.CSV, o), "file", intake.CodeTooLarge, "more than 2 rows")
}
