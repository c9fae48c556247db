package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/client"
)

var adminProvidersCommand = command{
	name:    "admin providers",
	summary: "shows how the fleet stands with its vendors",
	help: `Usage: magpie admin providers [--json]

Shows each vendor as the whole fleet sees it, the processes that reported in the
last seconds together: whether it is asked, the calls since they began by what
the answers meant, the latency of the last five minutes, how much of its quota
is used, and what the calls cost by the waterfall file.

STATE is ok; down (left alone, probed again at the time shown); probed; or parked
(it refused the key, or its plan is used up). HELD are questions that were not
let through. --json has all of it.

Flags:
  --json   answer as JSON

Example:
  magpie admin providers
`,
	prepare: func(s *session, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			if err := none(args, "magpie admin providers"); err != nil {
				return err
			}
			return s.providers(ctx)
		}
	},
}

func (s *session) providers(ctx context.Context) error {
	api, err := s.operator()
	if err != nil {
		return err
	}
	all, err := api.Providers(ctx)
	if err != nil {
		return err
	}
	return s.answer(all, func() {
		rows := [][]string{{"PROVIDER", "STATE", "PROCESSES", "CALLS", "HIT", "MISS", "FAILED", "HELD", "P50", "P95", "QUOTA", "COST"}}
		for _, p := range all.Data {
			rows = append(rows, providerRow(p))
		}
		s.table(rows)
	})
}

func providerRow(p client.Provider) []string {
	var calls, held int64
	for _, n := range p.Calls {
		calls += n
	}
	for _, n := range p.HeldBack {
		held += n
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{
		p.Provider, providerState(p), strconv.Itoa(p.Processes), number(calls), number(p.Calls["hit"]), number(p.Calls["miss"]),
		number(p.Calls["transient"]), number(held), seconds(p.P50Seconds), seconds(p.P95Seconds), quotas(p.Quotas),
		strconv.FormatFloat(p.Cost, 'f', -1, 64),
	}
}

// providerState is a condition in words, with its end.
func providerState(p client.Provider) string {
	word := map[string]string{"closed": "ok", "open": "down", "half-open": "probed"}[p.Condition]
	if word == "" {
		word = p.Condition
	}
	if p.Until != nil && (p.Condition == "open" || p.Condition == "parked") {
		word += " until " + p.Until.UTC().Format(time.RFC3339)
	}
	return word
}

func seconds(n *float64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprintf("%.3gs", *n)
}

func quotas(all []client.Quota) string {
	if len(all) == 0 {
		return "-"
	}
	parts := make([]string, len(all))
	for i, q := range all {
		parts[i] = fmt.Sprintf("%d/%d a %s", q.Used, q.Quota, q.Window)
	}
	return strings.Join(parts, ", ")
}
