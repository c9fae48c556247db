package tasks

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

var (
	//go:embed finish.lua
	finishSource string
	//go:embed admit.lua
	admitSource string

	finishScript = redis.NewScript(finishSource)
	admitScript  = redis.NewScript(admitSource)
)

// window keeps the outstanding chunks of one organization and service below a
// fixed number, taking its batches in turn.
type window struct {
	rdb     redis.UniversalClient
	org     string
	service lookup.Service
	size    int
}

func (w window) keys() []string {
	tag := "{magpie:window:" + w.org + ":" + string(w.service) + "}"
	return []string{tag + ":state", tag + ":rotation", tag + ":inflight", tag + ":returned"}
}

// fill hands out what fits. The window was idle if nothing was outstanding.
func (w window) fill(ctx context.Context) (handed []store.Round, err error) {
	return w.script(ctx, "", "", "done", "", 0, false)
}

// finish ends a round's stay and hands out what takes its place.
func (w window) finish(ctx context.Context, r store.Round, e enrich.Ending) ([]store.Round, error) {
	verdict, next := "done", ""
	switch {
	case e.Idle:
		verdict = "idle"
	case e.Next != nil:
		verdict, next = "again", e.Next.String()
	}
	return w.script(ctx, r.String(), r.Batch, verdict, next, e.After, e.BatchWaits)
}

func (w window) script(ctx context.Context, round, batch, verdict, next string, after time.Duration, batchWaits bool) ([]store.Round, error) {
	waits := ""
	if batchWaits {
		waits = "1"
	}
	members, err := finishScript.Run(ctx, w.rdb, w.keys(), round, batch, verdict, next, after.Milliseconds(), waits, w.size).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("tasks: window of %s, %s: %w", w.org, w.service, err)
	}
	return parseRounds(members)
}

func parseRounds(members []string) ([]store.Round, error) {
	rounds := make([]store.Round, len(members))
	for i, m := range members {
		r, err := store.ParseRound(m)
		if err != nil {
			return nil, err
		}
		rounds[i] = r
	}
	return rounds, nil
}

// admit puts a batch into the window as SQL has it, unless it is there or may
// not run any more.
func (w window) admit(ctx context.Context, q store.Queryer, b store.Batch) error {
	status, err := store.BatchStatus(ctx, q, b.ID)
	if err != nil || status != store.Accepted && status != store.Running {
		return err
	}
	progress, err := store.BatchProgress(ctx, q, b.ID)
	if err != nil {
		return err
	}
	args := []any{b.ID, progress.Next, b.Chunks}
	for _, r := range progress.Open {
		args = append(args, r.String())
	}
	if err := admitScript.Run(ctx, w.rdb, w.keys(), args...).Err(); err != nil {
		return fmt.Errorf("tasks: admit batch %s: %w", b.ID, err)
	}
	return nil
}

// view is what a window holds, as one look at it shows.
type view struct {
	next, total map[string]int64     // by batch
	inflight    map[string]time.Time // by round: since when
	returned    []string             // rounds
	now         time.Time            // by the server's clock
	batches     map[string]struct{}  // known to the window
}

func (w window) look(ctx context.Context) (view, error) {
	keys := w.keys()
	var state *redis.MapStringStringCmd
	var inflight *redis.ZSliceCmd
	var returned *redis.StringSliceCmd
	var clock *redis.TimeCmd
	_, err := w.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		clock = p.Time(ctx)
		state = p.HGetAll(ctx, keys[0])
		inflight = p.ZRangeWithScores(ctx, keys[2], 0, -1)
		returned = p.ZRange(ctx, keys[3], 0, -1)
		return nil
	})
	if err != nil {
		return view{}, fmt.Errorf("tasks: look at the window of %s, %s: %w", w.org, w.service, err)
	}
	v := view{
		next: map[string]int64{}, total: map[string]int64{}, batches: map[string]struct{}{},
		inflight: map[string]time.Time{}, returned: returned.Val(), now: clock.Val(),
	}
	for field, value := range state.Val() {
		batch, name, _ := strings.Cut(field, ":")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return view{}, fmt.Errorf("tasks: window of %s, %s: %s is no number", w.org, w.service, field)
		}
		switch name {
		case "next":
			v.next[batch] = n
		case "total":
			v.total[batch] = n
			v.batches[batch] = struct{}{}
		}
	}
	for _, z := range inflight.Val() {
		v.inflight[fmt.Sprint(z.Member)] = time.UnixMilli(int64(z.Score))
	}
	return v, nil
}

// exhausted reports whether the window has handed out all of a batch's chunks
// and waits for none of them.
func (v view) exhausted(batch string) bool {
	if v.next[batch] < v.total[batch] {
		return false
	}
	of := func(round string) bool { return strings.HasPrefix(round, batch+":") }
	for round := range v.inflight {
		if of(round) {
			return false
		}
	}
	return !slices.ContainsFunc(v.returned, of)
}

// forget drops a batch from the window; what is in flight ends by itself.
func (w window) forget(ctx context.Context, batch string) error {
	keys := w.keys()
	_, err := w.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HDel(ctx, keys[0], batch+":next", batch+":total", batch+":wait")
		p.LRem(ctx, keys[1], 0, batch)
		return nil
	})
	if err != nil {
		return fmt.Errorf("tasks: forget batch %s: %w", batch, err)
	}
	return nil
}
