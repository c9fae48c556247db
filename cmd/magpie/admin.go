package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

const adminHelp = `Usage: magpie admin COMMAND

Commands of operators. They use the key in MAGPIE_ADMIN_KEY.
  org create NAME       makes an organization
  org list              lists organizations
  key create ORG        makes an API key, which is shown once
  key list ORG          lists an organization's API keys
  key cap ORG KEY N     sets how many credits an API key may be charged a month
  key revoke ORG KEY    ends an API key for good
  grant ORG CREDITS     grants credits
  audit                 proves that every credit adds up
  providers             shows how the fleet stands with its vendors
'magpie help admin org' (or key, grant, audit, providers) says more.

Example:
  magpie admin org list
`

var adminOrgCommand = command{
	name:    "admin org",
	summary: "makes and lists organizations",
	help: `Usage: magpie admin org create NAME [--json]
       magpie admin org list [--limit N] [--cursor CURSOR] [--json]

Makes an organization, which owns credits and keys, or lists them all, oldest
first.

Flags:
  --limit N         list at most so many (1 to 200, default 50)
  --cursor CURSOR   go on after an earlier list
  --json            answer as JSON

Example:
  magpie admin org create "Acme Inc."
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		limit := flags.Int("limit", 50, "")
		cursor := flags.String("cursor", "", "")
		return verbs("admin org", map[string]action{
			"create": s.createOrg,
			"list": func(ctx context.Context, args []string) error {
				if *limit < 1 || *limit > 200 {
					return wrong("magpie admin org list --limit 50", "--limit is %d, want 1 to 200", *limit)
				}
				return s.listOrgs(ctx, args, client.ListOptions{Limit: *limit, Cursor: client.Cursor(*cursor)})
			},
		})
	},
}

// verbs chooses by the first argument.
func verbs(name string, actions map[string]action) action {
	var known []string
	for _, verb := range []string{"create", "list", "cap", "revoke"} {
		if actions[verb] != nil {
			known = append(known, verb)
		}
	}
	return func(ctx context.Context, args []string) error {
		if len(args) == 0 {
			return wrong("magpie help "+name, "%s needs to know what: %s", name, strings.Join(known, ", "))
		}
		act, ok := actions[args[0]]
		if !ok {
			return wrong(suggest(args[0], known, "magpie "+name+" "), "%s cannot %q; want %s", name, args[0], strings.Join(known, ", "))
		}
		return act(ctx, args[1:])
	}
}

func (s *session) createOrg(ctx context.Context, args []string) error {
	name, err := one(args, "the organization's name", `magpie admin org create "Acme Inc."`)
	if err != nil {
		return err
	}
	api, err := s.operator()
	if err != nil {
		return err
	}
	org, err := api.CreateOrg(ctx, name)
	if err != nil {
		return err
	}
	return s.answer(org, func() {
		s.table([][]string{{org.ID, org.Name}})
		s.say("hint", "give it a key with: magpie admin key create "+org.ID)
	})
}

func (s *session) listOrgs(ctx context.Context, args []string, o client.ListOptions) error {
	if err := none(args, "magpie admin org list"); err != nil {
		return err
	}
	api, err := s.operator()
	if err != nil {
		return err
	}
	orgs, err := api.Orgs(ctx, o)
	if err != nil {
		return err
	}
	return s.answer(orgs, func() {
		rows := [][]string{{"ID", "CREATED", "NAME"}}
		for _, org := range orgs.Data {
			rows = append(rows, []string{org.ID, org.CreatedAt.UTC().Format(time.RFC3339), org.Name})
		}
		s.table(rows)
		if orgs.NextCursor != "" {
			s.say("hint", "there are more: magpie admin org list --cursor "+quoted(string(orgs.NextCursor)))
		}
	})
}

var adminKeyCommand = command{
	name:    "admin key",
	summary: "makes, lists, caps and revokes API keys",
	help: `Usage: magpie admin key create ORG [--name NAME] [--monthly-cap CREDITS] [--json]
       magpie admin key list ORG [--json]
       magpie admin key cap ORG KEY CREDITS [--json]
       magpie admin key revoke ORG KEY [--json]

Makes an API key of an organization and shows it, once; lists its keys, sets how
many credits one may be charged in a calendar month (UTC; "none" takes the cap
away), or revokes one for good. KEY is the key's id (key_…), not the key itself.

Flags:
  --name NAME             what to call the key (default: "command line")
  --monthly-cap CREDITS   the most that its batches and lookups may be charged in
                          a calendar month (default: no cap)
  --json                  answer as JSON

Example:
  magpie admin key create org_developer --name "nightly import"
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		name := flags.String("name", "command line", "")
		monthly := flags.String("monthly-cap", noCap, "")
		return verbs("admin key", map[string]action{
			"create": func(ctx context.Context, args []string) error { return s.createKey(ctx, args, *name, *monthly) },
			"list":   s.listKeys,
			"cap":    s.capKey,
			"revoke": s.revokeKey,
		})
	},
}

const orgMissing = "the organization's id"

func (s *session) createKey(ctx context.Context, args []string, name, monthly string) error {
	org, err := one(args, orgMissing, "magpie admin key create ORG (magpie admin org list shows ORG)")
	if err != nil {
		return err
	}
	most, err := parseCap(monthly, "--monthly-cap", "magpie admin key create ORG --monthly-cap 500")
	if err != nil {
		return err
	}
	api, err := s.operator()
	if err != nil {
		return err
	}
	key, err := api.CreateCappedKey(ctx, org, name, most)
	if err != nil {
		return err
	}
	return s.answer(key, func() {
		s.table([][]string{{"id", key.ID}, {"name", key.Name}, {"key", key.Secret}, {"a month", capText(key.MonthlyCap)}})
		s.say("warning", "the key is shown this once; keep it in a safe place")
	})
}

func (s *session) listKeys(ctx context.Context, args []string) error {
	org, err := one(args, orgMissing, "magpie admin key list ORG (magpie admin org list shows ORG)")
	if err != nil {
		return err
	}
	api, err := s.operator()
	if err != nil {
		return err
	}
	keys, err := api.Keys(ctx, org)
	if err != nil {
		return err
	}
	return s.answer(keys, func() {
		rows := [][]string{{"ID", "ENDS IN", "CREATED", "REVOKED", "A MONTH", "NAME"}}
		for _, key := range keys.Data {
			revoked := "no"
			if key.RevokedAt != nil {
				revoked = key.RevokedAt.UTC().Format(time.RFC3339)
			}
			rows = append(rows, []string{key.ID, key.Hint, key.CreatedAt.UTC().Format(time.RFC3339), revoked, capText(key.MonthlyCap), key.Name})
		}
		s.table(rows)
	})
}

// checkKeyID refuses a key where its id is wanted: it would become part of an
// address, which proxies log.
func checkKeyID(id, try string) error {
	if strings.HasPrefix(id, "mgp_") {
		return wrong(try, "this is a key itself; its id is needed, which begins with key_")
	}
	return nil
}

func (s *session) capKey(ctx context.Context, args []string) error {
	const try = "magpie admin key cap ORG KEY 500 (magpie admin key list ORG shows KEY)"
	if len(args) < 3 {
		return wrong(try, "the organization's id, the key's id or the number of credits is missing")
	}
	if err := none(args[3:], try); err != nil {
		return err
	}
	if err := checkKeyID(args[1], try); err != nil {
		return err
	}
	most, err := parseCap(args[2], "CREDITS", try)
	if err != nil {
		return err
	}
	api, err := s.operator()
	if err != nil {
		return err
	}
	key, err := api.SetKeyCap(ctx, args[0], args[1], most)
	if err != nil {
		return err
	}
	return s.answer(key, func() { s.table([][]string{{key.ID, key.Name, capText(key.MonthlyCap)}}) })
}

func (s *session) revokeKey(ctx context.Context, args []string) error {
	const try = "magpie admin key revoke ORG KEY (magpie admin key list ORG shows KEY)"
	if len(args) < 2 {
		return wrong(try, "the organization's id or the key's id is missing")
	}
	if err := none(args[2:], try); err != nil {
		return err
	}
	if err := checkKeyID(args[1], try); err != nil {
		return err
	}
	api, err := s.operator()
	if err != nil {
		return err
	}
	if err := api.RevokeKey(ctx, args[0], args[1]); err != nil {
		return err
	}
	revoked := struct {
		ID      string `json:"id"`
		Revoked bool   `json:"revoked"`
	}{args[1], true}
	return s.answer(revoked, func() { fmt.Fprintf(s.stdout, "%s revoked\n", clean(args[1])) })
}

const grantExample = "magpie admin grant ORG 500 --source purchase (magpie admin org list shows ORG)"

var adminGrantCommand = command{
	name:    "admin grant",
	summary: "grants credits to an organization",
	help: `Usage: magpie admin grant ORG CREDITS [flags]

Grants credits to an organization. Batches that wait for credits go on by
themselves.

Flags:
  --source SOURCE         purchase (default), adjustment or subscription
  --expires-at TIME       the end of a subscription's billing cycle, such as
                          2026-12-31T23:59:59Z; an adjustment may have one too
  --reference REFERENCE   the payment's own name: granting again under the same
                          one grants nothing more
  --json                  answer with the grant as JSON

Example:
  magpie admin grant org_developer 500 --reference invoice-2026-117
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		source := flags.String("source", string(client.Purchase), "")
		reference := flags.String("reference", "", "")
		expires := flags.String("expires-at", "", "")
		return func(ctx context.Context, args []string) error {
			r := client.GrantRequest{Source: client.Source(*source), Reference: *reference}
			if *expires != "" {
				at, err := time.Parse(time.RFC3339, *expires)
				if err != nil {
					return wrong(grantExample, "--expires-at is %q, want a time such as 2026-12-31T23:59:59Z", *expires)
				}
				r.ExpiresAt = &at
			}
			return s.grant(ctx, r, args)
		}
	},
}

func (s *session) grant(ctx context.Context, r client.GrantRequest, args []string) error {
	if len(args) < 2 {
		return wrong(grantExample, "the organization's id or the number of credits is missing")
	}
	if err := none(args[2:], grantExample); err != nil {
		return err
	}
	var err error
	if r.Credits, err = lookup.ParseCredits(args[1]); err != nil {
		return wrong(grantExample, "CREDITS is %q: %w", args[1], err)
	}
	if r.Credits <= 0 {
		return wrong(grantExample, "CREDITS is %s, want more than 0", r.Credits)
	}
	if !slices.Contains([]client.Source{client.Purchase, client.Adjustment, client.Subscription}, r.Source) {
		return wrong(grantExample, "--source is %q, want purchase, adjustment or subscription", string(r.Source))
	}
	if err := checkEnd(r); err != nil {
		return err
	}
	api, err := s.operator()
	if err != nil {
		return err
	}
	grant, err := api.Grant(ctx, args[0], r)
	if err != nil {
		return err
	}
	return s.answer(grant, func() {
		row := []string{grant.ID, string(grant.Source), grant.Granted.String() + " credits", grant.Reference}
		if grant.ExpiresAt != nil {
			row = append(row, "until "+grant.ExpiresAt.UTC().Format(time.RFC3339))
		}
		s.table([][]string{row})
	})
}

// checkEnd refuses a grant whose end does not fit its source.
func checkEnd(r client.GrantRequest) error {
	const subscription = "magpie admin grant ORG 500 --source subscription --expires-at 2026-12-31T23:59:59Z"
	switch {
	case r.Source == client.Subscription && r.ExpiresAt == nil:
		return wrong(subscription, "--expires-at is missing, want the end of the subscription's billing cycle")
	case r.Source == client.Purchase && r.ExpiresAt != nil:
		return wrong(subscription, "--expires-at does not go with --source purchase, which never expires; it goes with subscription and adjustment")
	}
	return nil
}
