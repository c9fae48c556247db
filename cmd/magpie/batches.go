package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

var batchesCommand = command{
	name:    "batches",
	summary: "lists batches, newest first",
	help: `Usage: magpie batches [flags]

Lists the organization's batches, newest first.

Flags:
  --status STATUS     only accepted, running, paused, completed or cancelled ones
  --service SERVICE   only those of a service
  --limit N           at most so many (1 to 200, default 20)
  --cursor CURSOR     go on after an earlier list
  --json              answer as JSON: {"data": […], "next_cursor": …}

Example:
  magpie batches --status paused
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		status := flags.String("status", "", "")
		service := flags.String("service", "", "")
		limit := flags.Int("limit", 20, "")
		cursor := flags.String("cursor", "", "")
		return func(ctx context.Context, args []string) error {
			if err := none(args, "magpie batches --limit 50"); err != nil {
				return err
			}
			o := client.BatchesOptions{Status: client.Status(*status)}
			o.Limit, o.Cursor = *limit, client.Cursor(*cursor)
			if err := checkStatus(*status); err != nil {
				return err
			}
			if *limit < 1 || *limit > 200 {
				return wrong("magpie batches --limit 50", "--limit is %d, want 1 to 200", *limit)
			}
			if *service != "" {
				var err error
				if o.Service, err = parseService(*service, func(known lookup.Service) string { return "magpie batches --service " + string(known) }); err != nil {
					return err
				}
			}
			return s.batches(ctx, o)
		}
	},
}

func checkStatus(status string) error {
	known := []string{"accepted", "running", "paused", "completed", "cancelled"}
	if status == "" || slices.Contains(known, status) {
		return nil
	}
	near := nearest(status, known)
	if near == "" {
		near = "running"
	}
	return wrong("magpie batches --status "+near, "--status is %q, want accepted, running, paused, completed or cancelled", status)
}

func (s *session) batches(ctx context.Context, o client.BatchesOptions) error {
	api, err := s.customer()
	if err != nil {
		return err
	}
	page, err := api.Batches(ctx, o)
	if err != nil {
		return err
	}
	return s.answer(page, func() {
		if len(page.Data) == 0 {
			s.say("hint", "there are none yet; try: "+submitExample)
			return
		}
		rows := [][]string{{"ID", "SERVICE", "STATUS", "DONE", "FOUND", "CHARGED", "CREATED", "NAME"}}
		for _, b := range page.Data {
			rows = append(rows, []string{
				b.ID, string(b.Service), string(b.Status), fmt.Sprintf("%d/%d", b.Rows.Done, b.Rows.Total),
				strconv.FormatInt(b.Rows.Found, 10), b.Credits.Charged.String(), b.CreatedAt.UTC().Format(time.RFC3339), b.Name,
			})
		}
		s.table(rows)
		if page.NextCursor != "" {
			s.say("hint", "there are more: magpie batches --cursor "+quoted(string(page.NextCursor)))
		}
	})
}

// The commands that change a batch.
var (
	pauseCommand = changeCommand("pause", "pauses a batch", (*client.Client).Pause,
		"Pauses a batch: rows being asked now are finished, and no others are begun\nuntil 'magpie resume'.")
	resumeCommand = changeCommand("resume", "goes on with a paused batch", (*client.Client).Resume,
		"Goes on with a paused batch. One that is paused for credits or at a cap\nalso goes on by itself, when credits arrive or the cap is raised.")
	cancelCommand = changeCommand("cancel", "ends a batch for good", (*client.Client).Cancel,
		"Ends a batch for good. What was found stays and can be downloaded; the other\nrows are not asked.")
)

func changeCommand(verb, summary string, change func(*client.Client, context.Context, string) (client.Batch, error), says string) command {
	return command{
		name:    verb,
		summary: summary,
		help: "Usage: magpie " + verb + " ID [--json]\n\n" + says + `

Flags:
  --json   answer with the batch as JSON

Example:
  magpie ` + verb + " bat_01jd2k7c4k9w3qv5x8m0n6p2rt\n",
		prepare: func(s *session, _ *flag.FlagSet) action {
			return func(ctx context.Context, args []string) error {
				id, err := one(args, "the batch's id", "magpie "+verb+" ID (magpie batches lists them)")
				if err != nil {
					return err
				}
				api, err := s.customer()
				if err != nil {
					return err
				}
				b, err := change(api, ctx, id)
				if err != nil {
					return err
				}
				return s.answer(b, func() { s.table([][]string{{b.ID, string(b.Status)}}) })
			}
		},
	}
}
