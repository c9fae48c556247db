package intake_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
)

// BenchmarkReader reads 10,000 distinct rows an operation.
func BenchmarkReader(b *testing.B) {
	const rows = 10_000
	var table, lines strings.Builder
	table.WriteString("row_id,First Name,Last Name,Domain,Note\n")
	for i := range rows {
		fmt.Fprintf(&table, "%d,Jane,Doe%d,example%d.com,\"a note, quoted\"\n", i, i, i)
		fmt.Fprintf(&lines, `{"row_id":%d,"first_name":"Jane","last_name":"Doe%d","domain":"example%d.com","note":"a note"}`+"\n", i, i, i)
	}
	for f, file := range map[intake.Format]string{intake.CSV: table.String(), intake.NDJSON: lines.String()} {
		b.Run(string(f), func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := intake.Open(strings.NewReader(file), f, intake.Options{Service: lookup.EmailFinder})
				for err == nil {
					_, err = r.Next()
				}
				if !errors.Is(err, io.EOF) || r.Counts().Rows != rows || r.Counts().Invalid != 0 {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
