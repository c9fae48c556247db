package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// batchBody is a batch as customers see it.
type batchBody struct {
	ID            string          `json:"id"`
	Name          string          `json:"name"`
	Service       lookup.Service  `json:"service"`
	Status        store.Status    `enum:"accepted,running,paused,completed,cancelled"                                          json:"status"`
	PauseReason   *string         `doc:"Set while paused: insufficient_credits, spend_cap (its own cap or its key's) or user." json:"pause_reason"`
	Rows          rowsBody        `json:"rows"`
	Credits       spendBody       `json:"credits"`
	MaxCredits    *lookup.Credits `doc:"The batch's cap: at most so much is charged; null: no cap."                            json:"max_credits"`
	CreatedAt     time.Time       `json:"created_at"`
	StartedAt     *time.Time      `json:"started_at"`
	FinishedAt    *time.Time      `json:"finished_at"`
	RowsPerSecond *float64        `doc:"Since it was started; set while it runs."                                              json:"rows_per_second"`
	ETASeconds    *float64        `doc:"At that speed; set while it runs."                                                     json:"eta_seconds"`
}

type rowsBody struct {
	Total     int64 `json:"total"`
	Done      int64 `doc:"found + not_found + invalid + failed"                                       json:"done"`
	Found     int64 `json:"found"`
	NotFound  int64 `json:"not_found"`
	Invalid   int64 `json:"invalid"`
	Failed    int64 `json:"failed"`
	Duplicate int64 `doc:"Rows that repeat an earlier one; each counts in its outcome too."           json:"duplicate"`
	Reused    int64 `doc:"Rows answered by what was paid for before; each counts in its outcome too." json:"reused"`
}

type spendBody struct {
	Charged lookup.Credits `json:"charged"`
	Held    lookup.Credits `doc:"Set aside for rows being asked now."                                                       json:"held"`
	Max     lookup.Credits `doc:"The most the batch can cost, under its cap."                                               json:"max"`
	Needed  lookup.Credits `doc:"What is missing for all its rows, while it is paused: of credits, or of room under a cap." json:"needed"`
}

// page is a part of a list.
type page[T any] struct {
	Data       []T     `json:"data"                                                nullable:"false"`
	NextCursor *string `doc:"Give it as cursor for what follows; null at the end." json:"next_cursor"`
}

// pageOf cuts a list that was read one longer than asked for.
func pageOf[S, T any](list []S, limit int, body func(S) (T, error), id func(S) string) (*output[page[T]], error) {
	out := &output[page[T]]{Body: page[T]{Data: []T{}}}
	if len(list) > limit {
		list = list[:limit]
		cursor := id(list[limit-1])
		out.Body.NextCursor = &cursor
	}
	for _, item := range list {
		b, err := body(item)
		if err != nil {
			return nil, err
		}
		out.Body.Data = append(out.Body.Data, b)
	}
	return out, nil
}

type batchInput struct {
	ID string `doc:"Of the batch." path:"id"`
}

type listBatchesInput struct {
	Limit   int    `default:"50"                                       maximum:"200"  minimum:"1" query:"limit"`
	Cursor  string `doc:"The next_cursor of the page before."          query:"cursor"`
	Status  string `enum:"accepted,running,paused,completed,cancelled" query:"status"`
	Service string `query:"service"`
}

const batchPath = "/v1/batches/{id}"

func (a *api) registerBatches() {
	register(a, operation(http.MethodGet, "/v1/batches", "list-batches", "List batches, newest first", customerScheme), a.listBatches)
	register(a, operation(http.MethodGet, batchPath, "get-batch", "Get a batch", customerScheme),
		func(ctx context.Context, in *batchInput) (*output[batchBody], error) {
			b, err := a.tenant(ctx).GetBatch(ctx, in.ID)
			return a.batchOutput(ctx, b, err)
		})
	change := func(verb, summary string, do func(ctx context.Context, id string) (store.Batch, error)) {
		register(a, operation(http.MethodPost, "/v1/batches/{id}/"+verb, verb+"-batch", summary, customerScheme),
			func(ctx context.Context, in *batchInput) (*output[batchBody], error) {
				b, err := do(ctx, in.ID)
				if errors.Is(err, store.ErrConflict) {
					err = newProblem(http.StatusConflict, codeConflict, "the batch has ended; there is nothing to "+verb)
				}
				return a.batchOutput(ctx, b, err)
			})
	}
	change("pause", "Pause a batch; rows being asked are finished", func(ctx context.Context, id string) (store.Batch, error) {
		return a.tenant(ctx).PauseBatch(ctx, id, a.Now())
	})
	change("resume", "Resume a paused batch", func(ctx context.Context, id string) (store.Batch, error) {
		b, err := a.tenant(ctx).ResumeBatch(ctx, id)
		if err == nil {
			a.Dispatcher.Start(context.WithoutCancel(ctx), b)
		}
		return b, err
	})
	op := operation(http.MethodPatch, batchPath, "change-batch", "Change a batch, also while it runs", customerScheme)
	op.Description = "A cap lowered below what is spent pauses the batch; one that is raised lets it go on by itself."
	register(a, op, a.changeBatch)
	a.huma.OpenAPI().Paths[batchPath].Patch.RequestBody = jsonBody(strictSchemaOf[batchChange](a))
	change("cancel", "Cancel a batch; what was found stays", func(ctx context.Context, id string) (store.Batch, error) {
		return a.tenant(ctx).CancelBatch(ctx, id, a.Now())
	})
}

func (a *api) listBatches(ctx context.Context, in *listBatchesInput) (*output[page[batchBody]], error) {
	filter := store.BatchFilter{Before: in.Cursor, Limit: in.Limit + 1}
	if in.Cursor != "" && !strings.HasPrefix(in.Cursor, "bat_") {
		return nil, invalid("cursor", "want the next_cursor of another answer")
	}
	if in.Status != "" {
		filter.Statuses = []store.Status{store.Status(in.Status)}
	}
	if in.Service != "" {
		service, err := lookup.ParseService(in.Service)
		if err != nil {
			return nil, unknownService()
		}
		filter.Service = service
	}
	batches, err := a.tenant(ctx).ListBatches(ctx, filter)
	if err != nil {
		return nil, err
	}
	return pageOf(batches, in.Limit, func(b store.Batch) (batchBody, error) { return a.batchBody(ctx, b) },
		func(b store.Batch) string { return b.ID })
}

func (a *api) batchOutput(ctx context.Context, b store.Batch, err error) (*output[batchBody], error) {
	if err != nil {
		return nil, err
	}
	body, err := a.batchBody(ctx, b)
	return &output[batchBody]{Body: body}, err
}

// describe is a batch without what only the gate and the clock know.
func describe(b store.Batch) batchBody {
	return batchBody{
		ID: b.ID, Name: b.Name, Service: b.Service, Status: b.Status, PauseReason: optional(b.PauseReason),
		Rows: rowsBody{
			Total: b.Rows.Total, Done: b.Rows.Done(), Found: b.Rows.Found, NotFound: b.Rows.NotFound,
			Invalid: b.Rows.Invalid, Failed: b.Rows.Failed, Duplicate: b.Rows.Duplicate, Reused: b.Rows.Reused,
		},
		Credits: spendBody{Charged: b.Charged, Max: b.Max()}, MaxCredits: optional(b.MaxCredits),
		CreatedAt: b.CreatedAt.UTC(), StartedAt: optional(b.StartedAt.UTC()), FinishedAt: optional(b.FinishedAt.UTC()),
	}
}

func (a *api) batchBody(ctx context.Context, b store.Batch) (batchBody, error) {
	body := describe(b)
	if b.Status == store.Running {
		body.RowsPerSecond, body.ETASeconds = speed(b, a.Now())
	}
	if b.Status.Ended() {
		return body, nil
	}
	used, err := a.Gate.Used(ctx, b.Org, b.Scope())
	if err != nil {
		return batchBody{}, err
	}
	body.Credits.Held = max(0, lookup.Credits(used)-b.Charged)
	body.Credits.Needed, err = a.needed(ctx, b)
	return body, err
}

// needed is what a batch that waits for credits, or for room under a cap, lacks.
func (a *api) needed(ctx context.Context, b store.Batch) (lookup.Credits, error) {
	var there lookup.Credits
	switch {
	case !b.Waits():
		return 0, nil
	case b.PauseReason == store.PauseCap:
		room, err := a.tenant(ctx).Room(ctx, b, a.Now())
		if err != nil {
			return 0, err
		}
		there = room
	default:
		balance, err := a.Books.Balance(ctx, b.Org)
		if err != nil {
			return 0, err
		}
		there = lookup.Credits(balance.Available)
	}
	return max(0, b.Remaining()-there), nil
}

// speed is how fast a running batch is asked, and when it will be done; nil
// until that can be told.
func speed(b store.Batch, now time.Time) (perSecond, eta *float64) {
	elapsed := now.Sub(b.StartedAt).Seconds()
	if elapsed <= 0 || b.Rows.Asked == 0 {
		return nil, nil
	}
	rate := float64(b.Rows.Asked) / elapsed
	left := math.Round(float64(b.Rows.Askable-b.Rows.Asked) / rate)
	rate = math.Round(rate*10) / 10
	return &rate, &left
}

// optional is nil for a zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func unknownService() *problem {
	names := make([]string, len(lookup.Services))
	for i, s := range lookup.Services {
		names[i] = string(s)
	}
	return invalid("service", "there is no such service; want one of "+strings.Join(names, ", "))
}

// serviceSchema documents a parameter or field that names a service.
func serviceSchema() *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, service := range lookup.Services {
		s.Enum = append(s.Enum, service)
	}
	return s
}
