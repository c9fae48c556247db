package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

const resultsExample = "magpie results ID -o results.csv (magpie batches shows ID)"

var resultsCommand = command{
	name:    "results",
	summary: "downloads the results of a batch",
	help: `Usage: magpie results ID [flags]

Downloads the results of a batch, also while it runs: rows still open are left
out. A file appears under its name only when it is whole.

Flags:
  -o FILE             write to FILE instead of stdout
  --format FORMAT     ndjson or csv (default: csv if FILE ends in .csv, else ndjson)
  --outcome OUTCOME   only rows that are found, not_found, invalid_input or failed
  --json              with -o: answer with what was written, as JSON;
                      without: the same as --format ndjson

Example:
  magpie results bat_01jd2k7c4k9w3qv5x8m0n6p2rt -o results.csv --outcome found
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		file := flags.String("o", "", "")
		format := flags.String("format", "", "")
		outcome := flags.String("outcome", "", "")
		return func(ctx context.Context, args []string) error {
			id, err := one(args, "the batch's id", resultsExample)
			if err != nil {
				return err
			}
			if *file == "-" { // stdout, too
				*file = ""
			}
			o, err := s.resultsOptions(*file, *format, *outcome)
			if err != nil {
				return err
			}
			return s.results(ctx, id, *file, o)
		}
	},
}

func (s *session) resultsOptions(file, format, outcome string) (client.ResultsOptions, error) {
	o := client.ResultsOptions{Format: client.Format(format), Outcome: lookup.Outcome(outcome)}
	switch {
	case format == "" && strings.EqualFold(filepath.Ext(file), ".csv"):
		o.Format = client.CSV
	case format == "":
		o.Format = client.NDJSON
	case o.Format != client.NDJSON && o.Format != client.CSV:
		return o, wrong("magpie results ID --format csv", "--format is %q, want ndjson or csv", format)
	}
	if s.json && file == "" && o.Format == client.CSV {
		return o, wrong("magpie results ID --json", "--json and --format csv exclude each other on stdout")
	}
	if outcome != "" && !slices.Contains(lookup.Outcomes, o.Outcome) {
		var known []string
		for _, k := range lookup.Outcomes {
			known = append(known, string(k))
		}
		near := nearest(outcome, known)
		if near == "" {
			near = string(lookup.Found)
		}
		return o, wrong("magpie results ID --outcome "+near, "--outcome is %q, want %s", outcome, strings.Join(known, ", "))
	}
	return o, nil
}

// written is the answer when results went into a file.
type written struct {
	Batch  string        `json:"batch"`
	File   string        `json:"file"`
	Format client.Format `json:"format"`
	Bytes  int64         `json:"bytes"`
	Whole  bool          `json:"whole"` // false: the batch had not ended
}

func (s *session) results(ctx context.Context, id, file string, o client.ResultsOptions) error {
	api, err := s.customer()
	if err != nil {
		return err
	}
	b, err := api.Batch(ctx, id)
	if err != nil {
		return err
	}
	rows, err := api.Results(ctx, id, o)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // only read
	if !b.Status.Ended() {
		s.say("warning", fmt.Sprintf("the batch has not ended (%s): rows still open are left out", b.Status))
	}
	if file == "" {
		if _, err := io.Copy(s.stdout, rows); err != nil {
			return failed("what was written is not whole; try: magpie results "+b.ID+" -o results."+string(o.Format), cut(err))
		}
		return nil
	}
	n, err := writeFile(file, rows)
	if err != nil {
		return err
	}
	return s.answer(written{b.ID, file, o.Format, n, b.Status.Ended()}, func() {
		fmt.Fprintf(s.stdout, "%s\n", clean(file))
	})
}

func cut(err error) error { return fmt.Errorf("the download broke off: %w", err) }

// writeFile writes a download to a file that appears only when it is whole.
func writeFile(name string, download io.Reader) (n int64, err error) {
	unwritable := func(err error) error {
		return failed("choose another place with -o FILE", fmt.Errorf("%q cannot be written: %w", name, reason(err)))
	}
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return 0, unwritable(err)
	}
	defer func() {
		if err != nil {
			_ = temp.Close() // may be closed already
			_ = os.Remove(temp.Name())
		}
	}()
	source := &watchedReader{Reader: download}
	n, err = io.Copy(temp, source)
	if source.err != nil {
		return n, failed("nothing was written; try again", cut(source.err))
	}
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return n, unwritable(err)
	}
	if err = os.Rename(temp.Name(), name); err != nil {
		return n, unwritable(err)
	}
	return n, nil
}

// watchedReader remembers an error of reading, to tell it from one of writing.
type watchedReader struct {
	io.Reader

	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
