package main

import (
	"context"
	"flag"

	"github.com/magpie-hq/magpie/demo"
)

var demoCommand = command{
	name:    "demo",
	summary: "shows two batches from file to bill, in half a minute",
	help: `Usage: magpie demo [flags]

Starts everything in this process, on data made for it: a batch of real phone
numbers, and one of invented people that runs out of credits, waits for more and
goes on. At the end it audits the bill from outside, and exits with 1 if
anything does not add up. It needs no server and no keys.

Flags:
  --dir DIR   where the results go (default: a new temporary folder)
  --json      answer with the report as JSON

Example:
  magpie demo
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		dir := flags.String("dir", "", "")
		return func(ctx context.Context, args []string) error {
			if err := none(args, "magpie demo --dir demo-results"); err != nil {
				return err
			}
			return demo.Run(ctx, demo.Options{Dir: *dir, Out: s.stdout, Progress: s.stderr, Terminal: s.terminal, JSON: s.json})
		}
	},
}
