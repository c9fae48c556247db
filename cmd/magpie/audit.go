package main

import (
	"context"
	"errors"
	"flag"
	"strconv"

	"github.com/magpie-hq/magpie/client"
)

var adminAuditCommand = command{
	name:    "admin audit",
	summary: "proves that every credit adds up",
	help: `Usage: magpie admin audit [--full] [--json]

Proves the books of every organization: that entries, charges, lots and the live
balance agree to the last thousandth. It goes on after the last audit that found
nothing. Ends with 1 if anything differs, and says where.

Flags:
  --full   look at everything, from the first entry on
  --json   answer as JSON

Example:
  magpie admin audit --full
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		full := flags.Bool("full", false, "")
		return func(ctx context.Context, args []string) error {
			if err := none(args, "magpie admin audit --full"); err != nil {
				return err
			}
			return s.audit(ctx, *full)
		}
	},
}

var errDifferences = errors.New("the books do not add up; the table says where")

func (s *session) audit(ctx context.Context, full bool) error {
	api, err := s.operator()
	if err != nil {
		return err
	}
	all := client.Page[client.Proof]{Data: []client.Proof{}}
	var next client.ListOptions
	for {
		page, err := api.Audit(ctx, full, next)
		if err != nil {
			return err
		}
		all.Data = append(all.Data, page.Data...)
		if next.Cursor = page.NextCursor; next.Cursor == "" {
			break
		}
	}
	rows := [][]string{{"ORGANIZATION", "ENTRIES", "AVAILABLE", "RESULT"}}
	different := false
	for _, p := range all.Data {
		result := "adds up"
		if p.Busy {
			result = "adds up; busy, live balance not compared"
		}
		if len(p.Differences) > 0 {
			result, different = "DIFFERS", true
		}
		rows = append(rows, []string{p.Org, strconv.FormatInt(p.Entries, 10), p.Available.String(), result})
		for _, d := range p.Differences {
			rows = append(rows, []string{"", "", "", d})
		}
	}
	if err := s.answer(all, func() { s.table(rows) }); err != nil {
		return err
	}
	if different {
		return errDifferences
	}
	return nil
}
