package main

import (
	"context"
	"flag"
	"time"

	"github.com/magpie-hq/magpie/client"
)

var creditsCommand = command{
	name:    "credits",
	summary: "shows the organization's credits",
	help: `Usage: magpie credits [--json]

Shows how many credits the organization has, how many of them are set aside for
lookups under way, and where they came from.

Flags:
  --json   answer as JSON

Example:
  magpie credits
`,
	prepare: func(s *session, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			if err := none(args, "magpie credits"); err != nil {
				return err
			}
			api, err := s.customer()
			if err != nil {
				return err
			}
			account, err := api.Credits(ctx)
			if err != nil {
				return err
			}
			return s.answer(account, func() { s.account(account) })
		}
	},
}

func (s *session) account(a client.Account) {
	s.table([][]string{{"available", a.Available.String()}, {"held", a.Held.String()}})
	if len(a.Grants) == 0 {
		s.say("hint", buyHint("", nil))
		return
	}
	rows := [][]string{{"GRANT", "SOURCE", "GRANTED", "REMAINING", "EXPIRES"}}
	for _, g := range a.Grants {
		expires := "never"
		if g.ExpiresAt != nil {
			expires = g.ExpiresAt.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{g.ID, string(g.Source), g.Granted.String(), g.Remaining.String(), expires})
	}
	s.table(rows)
}
