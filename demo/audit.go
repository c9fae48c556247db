package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
)

// audit compares, from outside, what was charged with what was found, with what
// the simulated vendors know and say they served, and with the books.
func (s *show) audit(ctx context.Context) error {
	differ := func(format string, args ...any) {
		s.report.Differences = append(s.report.Differences, fmt.Sprintf(format, args...))
	}
	var charged lookup.Credits
	for _, b := range s.report.Batches {
		rows, err := s.rows(ctx, b.ID)
		if err != nil {
			return err
		}
		paid, differences := check(rows, b)
		charged += lookup.Credits(paid) * lookup.Credit
		s.report.Differences = append(s.report.Differences, differences...)
		if b.Service != lookup.EmailFinder {
			continue
		}
		if err := s.compareWithTruth(b, rows, differ); err != nil {
			return err
		}
		if served := s.app.Simulator().Stats().ServedValid; int64(served) != paid {
			differ("the vendors served %d addresses, %d were charged", served, paid)
		}
	}
	balance, differences, err := s.app.Audit(ctx, s.org)
	if err != nil {
		return err
	}
	s.report.Differences = append(s.report.Differences, differences...)
	if granted := firstCredits + s.report.Bought; granted-charged != balance {
		differ("%s granted less %s charged is not the balance of %s", granted, charged, balance)
	}
	stats := s.app.Simulator().Stats()
	refused, broken := 0, 0
	for _, v := range stats.Vendors {
		refused += v.Answers["throttled"]
		broken += v.Answers["error"]
	}
	s.report.Took = time.Since(s.begun)
	s.report.Audit = fmt.Sprintf("%s credits for %s found once; vendors served %d addresses, throttled %d calls and broke %d; %s granted - %s charged = %s left, books and gate agree",
		charged, charged, stats.ServedValid, refused, broken, firstCredits+s.report.Bought, charged, balance)
	return nil
}

func (s *show) rows(ctx context.Context, id string) (rows []lookup.Row, err error) {
	results, err := s.customer.Results(ctx, id, client.ResultsOptions{Format: "ndjson"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, results.Close()) }()
	for decoder := json.NewDecoder(results); ; {
		var row lookup.Row
		err := decoder.Decode(&row)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("demo: results: %w", err)
		}
		rows = append(rows, row)
	}
}

// check compares a batch's rows with its own counts and returns how many rows
// were paid for: found, and neither reused nor a duplicate.
func check(rows []lookup.Row, b BatchReport) (paid int64, differences []string) {
	var charged lookup.Credits
	var found int64
	for i, r := range rows {
		if r.Row == nil || *r.Row != int64(i) || r.Outcome == nil {
			differences = append(differences, fmt.Sprintf("%s: row %d is missing or has no outcome", b.Service, i))
			continue
		}
		charged += r.Credits
		if *r.Outcome != lookup.Found {
			continue
		}
		found++
		if !r.Reused && r.DuplicateOf == nil {
			paid++
		}
	}
	if int64(len(rows)) != b.Rows || found != b.Found {
		differences = append(differences, fmt.Sprintf("%s: %d of %d rows have results, %d of %d are found", b.Service, len(rows), b.Rows, found, b.Found))
	}
	if charged != b.Charged || charged != lookup.Credits(paid)*lookup.Credit {
		differences = append(differences, fmt.Sprintf("%s: rows cost %s, the batch %s, %d were found", b.Service, charged, b.Charged, paid))
	}
	return paid, differences
}

// compareWithTruth asks the simulated world about each row that was submitted.
func (s *show) compareWithTruth(b BatchReport, rows []lookup.Row, differ func(string, ...any)) error {
	file, err := intake.Open(bytes.NewReader(b.file), intake.CSV, intake.Options{Service: b.Service})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for _, row := range rows {
		given, err := file.Next()
		if err != nil {
			return fmt.Errorf("demo: row %d: %w", *row.Row, err)
		}
		want := lookup.InvalidInput
		if given.Invalid == nil {
			truth, known := s.app.Simulator().Truth(given.Query)
			want = lookup.NotFound
			if known && truth.Found {
				want = lookup.Found
			}
		}
		if *row.Outcome != want {
			differ("row %d is %s, the truth is %s", *row.Row, *row.Outcome, want)
		}
	}
	return nil
}
