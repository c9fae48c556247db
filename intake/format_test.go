package intake_test

import (
	"testing"

	"github.com/magpie-hq/magpie/intake"
)

func TestDetectFormat(t *testing.T) {
	t.Parallel()
	cases := []struct {
		media, file string
		want        intake.Format
		detail      string // of the refusal
	}{
		{"text/csv; charset=utf-8", "", intake.CSV, ""},
		{"TEXT/CSV", "x.json", intake.CSV, ""},
		{"text/tab-separated-values", "", intake.CSV, ""},
		{"text/plain", "", intake.CSV, ""},
		{"text/plain", "rows.jsonl", intake.NDJSON, ""},
		{"application/vnd.ms-excel", "people.csv", intake.CSV, ""},
		{"application/octet-stream", "people.TSV", intake.CSV, ""},
		{"", "people.ndjson", intake.NDJSON, ""},
		{"", "people.json", intake.JSON, ""},
		{"application/x-ndjson", "", intake.NDJSON, ""},
		{"application/json", "", intake.JSON, ""},
		{"", "people.xlsx", "", "xlsx"},
		{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "", "", "xlsx"},
		{"application/vnd.ms-excel", "people.xls", "", "xls"},
		{"application/vnd.ms-excel", "", "", "xls"},
		{"application/gzip", "people.csv", "", "gzip"},
		{"", "people.csv.gz", "", "gzip"},
		{"", "", "", "text/csv"},
		{"image/png", "cat.png", "", "text/csv"},
		{";;;", "", "", "text/csv"},
	}
	for _, c := range cases {
		got, err := intake.DetectFormat(c.media, c.file)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("DetectFormat(%q, %q) = %q, %v, want %q", c.media, c.file, got, err, c.want)
		}
		if c.detail != "" {
			wantError(t, err, "file", intake.CodeUnsupported, c.detail)
		}
	}
}
