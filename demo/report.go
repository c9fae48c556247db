package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Report is what the demo did and whether it adds up.
type Report struct {
	Batches     []BatchReport  `json:"batches"`
	Bought      lookup.Credits `json:"bought"`
	FirstCharge time.Duration  `json:"first_charge_ns"` // after the start
	Took        time.Duration  `json:"took_ns"`
	Audit       string         `json:"audit"`
	Differences []string       `json:"differences"` // nothing: it all adds up
}

// BatchReport is one batch of the demo.
type BatchReport struct {
	ID       string         `json:"id"`
	Service  lookup.Service `json:"service"`
	Rows     int64          `json:"rows"`
	Found    int64          `json:"found"`
	NotFound int64          `json:"not_found"`
	Invalid  int64          `json:"invalid"`
	Failed   int64          `json:"failed"`
	Charged  lookup.Credits `json:"charged"`
	Balance  lookup.Credits `json:"balance"` // after it
	Results  string         `json:"results"` // a CSV file

	file []byte // as submitted
}

func (r Report) write(out io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	_, _ = fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\tservice\trows\tfound\tnot found\tinvalid\tcharged\tbalance\t")
	for _, b := range r.Batches {
		_, _ = fmt.Fprintf(table, "\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n", b.Service, b.Rows, b.Found, b.NotFound, b.Invalid, b.Charged, b.Balance)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("demo: report: %w", err)
	}
	_, _ = fmt.Fprintln(out)
	for _, b := range r.Batches {
		_, _ = fmt.Fprintf(out, "results: %s\n", b.Results)
	}
	_, _ = fmt.Fprintf(out, "first charged result after %.1f s, all done after %.1f s\n", r.FirstCharge.Seconds(), r.Took.Seconds())
	verdict := "it all adds up"
	if len(r.Differences) > 0 {
		verdict = "DIFFERENCES: " + strings.Join(r.Differences, "; ")
	}
	_, err := fmt.Fprintf(out, "audit: %s: %s\n", r.Audit, verdict)
	return err
}
