package main

import (
	"context"
	"flag"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

const capExample = "magpie cap ID 500 (magpie batches lists them)"

var capCommand = command{
	name:    "cap",
	summary: "sets how many credits a batch may be charged",
	help: `Usage: magpie cap ID CREDITS [--json]

Sets how many credits a batch may be charged in all, also while it runs. At its
cap it pauses; when the cap is raised, it goes on by itself. "none" takes the cap
away.

Flags:
  --json   answer with the batch as JSON

Example:
  magpie cap bat_01jd2k7c4k9w3qv5x8m0n6p2rt 500
`,
	prepare: func(s *session, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			if len(args) < 2 {
				return wrong(capExample, "the batch's id or the number of credits is missing")
			}
			if err := none(args[2:], capExample); err != nil {
				return err
			}
			most, err := parseCap(args[1], "CREDITS", capExample)
			if err != nil {
				return err
			}
			api, err := s.customer()
			if err != nil {
				return err
			}
			b, err := api.ChangeBatch(ctx, args[0], client.BatchChange{MaxCredits: &most})
			if err != nil {
				return err
			}
			return s.answer(b, func() { s.table([][]string{{b.ID, string(b.Status), capText(b.MaxCredits)}}) })
		}
	},
}

// noCap is how no cap is said. An empty text is none either, but it is most
// likely a variable that is not set, and what was to be capped would not be.
const noCap = "none"

// parseCap reads a cap; 0 is none.
func parseCap(text, name, try string) (lookup.Credits, error) {
	switch text {
	case noCap:
		return 0, nil
	case "":
		return 0, wrong(try, "%s is empty, want more than 0, or none", name)
	}
	credits, err := lookup.ParseCredits(text)
	if err != nil {
		return 0, wrong(try, "%s is %q: %w", name, text, err)
	}
	if credits <= 0 {
		return 0, wrong(try, "%s is %s, want more than 0, or none", name, credits)
	}
	return credits, nil
}

func capText(credits *lookup.Credits) string {
	if credits == nil {
		return "no cap"
	}
	return "at most " + credits.String() + " credits"
}
