package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"

	"github.com/magpie-hq/magpie/client"
)

const watchExample = "magpie watch ID (magpie batches lists them)"

var watchCommand = command{
	name:    "watch",
	summary: "follows a batch until it ends or pauses",
	help: `Usage: magpie watch ID [flags]

Follows a batch and shows its progress on stderr. Exits with 0 when it has
completed, 1 when it was cancelled or paused by somebody, and 3 when it is
paused for credits or at a cap; then it says how many are needed. Stopping to
watch does not stop the batch.

Flags:
  --wait   keep waiting while the batch is paused
  --json   answer with the batch as JSON

Example:
  magpie watch bat_01jd2k7c4k9w3qv5x8m0n6p2rt --wait
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		wait := flags.Bool("wait", false, "")
		return func(ctx context.Context, args []string) error {
			id, err := one(args, "the batch's id", watchExample)
			if err != nil {
				return err
			}
			api, err := s.customer()
			if err != nil {
				return err
			}
			return s.watch(ctx, api, id, *wait)
		}
	},
}

// mostMisses is how many looks in a row may fail for a moment (the server
// restarts) before watching ends.
const mostMisses = 20

// watch looks at a batch until it ends, or pauses and is not waited for.
func (s *session) watch(ctx context.Context, api *client.Client, id string, wait bool) error {
	p := newProgress(s.stderr, s.terminal)
	for misses := 0; ; {
		b, err := api.Batch(ctx, id)
		switch {
		case err == nil:
			misses = 0
			p.show(b)
			if ended, err := verdict(b, wait); ended {
				p.end()
				return errors.Join(s.answer(b, func() { s.summary(b) }), err)
			}
		case ctx.Err() == nil && passing(err) && misses < mostMisses:
			if misses++; misses == 1 {
				p.end()
				s.say("warning", "the server does not answer at the moment; trying again")
			}
		default:
			p.end()
			return s.unwatched(ctx, id, err)
		}
		if err := s.pause(ctx); err != nil {
			p.end()
			return s.unwatched(ctx, id, err)
		}
	}
}

// unwatched says that a batch goes on without being watched.
func (s *session) unwatched(ctx context.Context, id string, err error) error {
	if ctx.Err() != nil {
		return failed("see how it went with: magpie watch "+id, errors.New("stopped watching; the batch goes on"))
	}
	return err
}

// passing reports whether a failure may be over soon.
func passing(err error) bool {
	var refusal *client.Error
	return !errors.As(err, &refusal) || refusal.Temporary()
}

// verdict says whether watching has come to its end, and how.
func verdict(b client.Batch, wait bool) (ended bool, err error) {
	switch {
	case b.Status == client.Completed:
		return true, nil
	case b.Status == client.Cancelled:
		return true, failed("what was found stays: magpie results "+b.ID, errors.New("the batch was cancelled"))
	case b.Status != client.Paused || wait:
		return false, nil
	case b.PauseReason != client.PausedByUser && b.Credits.Needed == 0:
		return false, nil // credits or room have arrived; it goes on in a moment
	case b.PauseReason == client.PausedAtCap:
		return true, &failure{exitPaused, fmt.Errorf("the batch is paused at a spending cap: all its rows can cost %s credits more", b.Credits.Needed), raiseHint(b)}
	case b.PauseReason == client.PausedForCredits:
		return true, &failure{
			exitPaused, fmt.Errorf("the batch is paused: it needs %s credits more, then it goes on by itself", b.Credits.Needed),
			buyHint("", &b.Credits.Needed),
		}
	}
	return true, failed("try: magpie resume "+b.ID, errors.New("the batch was paused by somebody"))
}

// raiseHint says how a batch at its cap, or at its key's, gets on.
func raiseHint(b client.Batch) string {
	if b.MaxCredits == nil {
		return keyCapHint
	}
	return "raise its cap with: magpie cap " + b.ID + " " + (max(b.Credits.Charged, *b.MaxCredits) + b.Credits.Needed).String() + " (unless it is its key's that is reached)"
}

// summary writes what became of a batch.
func (s *session) summary(b client.Batch) {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	status := string(b.Status)
	if b.PauseReason != "" {
		status += " (" + string(b.PauseReason) + ")"
	}
	rows := [][]string{
		{"batch", b.ID}, {"name", b.Name}, {"service", string(b.Service)}, {"status", status},
		{"rows", number(b.Rows.Total)}, {"found", number(b.Rows.Found)}, {"not found", number(b.Rows.NotFound)},
		{"invalid", number(b.Rows.Invalid)}, {"failed", number(b.Rows.Failed)},
		{"duplicate", number(b.Rows.Duplicate)}, {"reused", number(b.Rows.Reused)},
		{"charged", b.Credits.Charged.String() + " credits"},
	}
	if b.MaxCredits != nil {
		rows = append(rows, []string{"cap", b.MaxCredits.String() + " credits"})
	}
	if b.Credits.Needed > 0 {
		rows = append(rows, []string{"needed", b.Credits.Needed.String() + " credits"})
	}
	s.table(rows)
	if b.Status == client.Completed {
		s.say("hint", "download the results with: magpie results "+b.ID+" -o results.csv")
	}
}
