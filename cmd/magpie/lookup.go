package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

var lookupCommand = command{
	name:    "lookup",
	summary: "asks one question",
	help: `Usage: magpie lookup SERVICE FIELD=VALUE… [flags]

Asks one question and waits for the answer. Nothing found is an answer too, and
free.

Services and their fields:
` + serviceFields() + `
Flags:
  --accept-catch-all       also pay for an address at a domain that accepts all
  --row-id ID              your own name for the question; it comes back
  --idempotency-key KEY    asking again under the same key costs nothing
  --json                   answer with the result row as JSON

Example:
  magpie lookup mobile-validation number="020 7946 0018" country=GB
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		var q client.LookupRequest
		flags.BoolVar(&q.AcceptCatchAll, "accept-catch-all", false, "")
		flags.StringVar(&q.RowID, "row-id", "", "")
		flags.StringVar(&q.IdempotencyKey, "idempotency-key", "", "")
		return func(ctx context.Context, args []string) error { return s.lookup(ctx, q, args) }
	},
}

func serviceFields() string {
	var b strings.Builder
	for _, service := range lookup.Services {
		fmt.Fprintf(&b, "  %-18s %s\n", service, strings.Join(service.QueryFields(), ", "))
	}
	return b.String()
}

func (s *session) lookup(ctx context.Context, q client.LookupRequest, args []string) error {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	var err error
	if q.Service, err = parseService(name, lookupExample); err != nil {
		return err
	}
	if q.Fields, err = readFields(q.Service, args); err != nil {
		return err
	}
	api, err := s.customer()
	if err != nil {
		return err
	}
	answer, err := api.Lookup(ctx, q)
	if err != nil {
		return err
	}
	return s.answer(answer, func() { s.answered(q.Service, answer) })
}

// lookupExamples show each service with fields that are enough.
var lookupExamples = map[lookup.Service]string{
	lookup.EmailFinder:      "first_name=Jane last_name=Doe domain=example.com",
	lookup.EmailValidation:  "email=jane@example.com",
	lookup.MobileFinder:     "work_email=jane@example.com",
	lookup.MobileValidation: "number='+44 20 7946 0018'",
	lookup.ProfileSearch:    "profile_url=https://www.linkedin.com/in/jane",
	lookup.CompanyFinder:    "domain=example.com",
	lookup.JobsData:         "company_domain=example.com",
}

func lookupExample(service lookup.Service) string {
	return "magpie lookup " + string(service) + " " + lookupExamples[service]
}

// readFields reads FIELD=VALUE arguments and sees to it that they make a query.
func readFields(service lookup.Service, args []string) (map[string]string, error) {
	example := lookupExample(service)
	fields := map[string]string{}
	var given []string
	for _, arg := range args {
		field, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, wrong(example, "%q is not FIELD=VALUE", arg)
		}
		if err := checkField(service, field, "magpie lookup "+string(service)+" %s="+quoted(value)); err != nil {
			return nil, err
		}
		if _, twice := fields[field]; twice {
			return nil, wrong(example, "%s is given more than once", field)
		}
		fields[field] = value
		if strings.TrimSpace(value) != "" {
			given = append(given, field)
		}
	}
	if ok, needs := service.Usable(given); !ok {
		return nil, wrong(example, "%s needs %s", service, needs)
	}
	return fields, nil
}

// answered writes an answer for people.
func (s *session) answered(service lookup.Service, a client.Answer) {
	var outcome lookup.Outcome
	if a.Outcome != nil {
		outcome = *a.Outcome
	}
	cost := a.Credits.String() + " credits"
	if a.Reused {
		cost += " (paid for before)"
	}
	rows := [][]string{{"outcome", string(outcome)}}
	var result map[string]json.RawMessage
	if err := json.Unmarshal(a.Result, &result); err == nil {
		for _, field := range service.ResultFields() {
			if value, ok := result[field]; ok && string(value) != "null" {
				rows = append(rows, []string{field, plain(value)})
			}
		}
	}
	if a.Provider != "" {
		rows = append(rows, []string{"provider", string(a.Provider)})
	}
	rows = append(rows, []string{"charged", cost})
	if a.Remaining != nil {
		rows = append(rows, []string{"remaining", a.Remaining.String() + " credits"})
	}
	s.table(rows)
	if a.Error != nil {
		s.say("warning", a.Error.Detail)
	}
}

// plain writes a JSON text without its quotes, and anything else as it is.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}
