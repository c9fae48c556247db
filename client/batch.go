package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Status is where a batch is in its life.
type Status string

// The statuses.
const (
	Accepted  Status = "accepted"
	Running   Status = "running"
	Paused    Status = "paused"
	Completed Status = "completed"
	Cancelled Status = "cancelled"
)

// Ended reports whether nothing will happen to the batch any more.
func (s Status) Ended() bool { return s == Completed || s == Cancelled }

// PauseReason says why a batch is paused; "" if it is not.
type PauseReason string

// The reasons.
const (
	PausedForCredits PauseReason = "insufficient_credits"
	PausedAtCap      PauseReason = "spend_cap" // the batch's own, or its key's for the month
	PausedByUser     PauseReason = "user"
)

// MarshalJSON writes null for "".
func (r PauseReason) MarshalJSON() ([]byte, error) { return orNull(string(r)) }

// Batch is a bulk submission.
type Batch struct {
	ID            string          `json:"id"`
	Name          string          `json:"name"`
	Service       lookup.Service  `json:"service"`
	Status        Status          `json:"status"`
	PauseReason   PauseReason     `json:"pause_reason"`
	Rows          Rows            `json:"rows"`
	Credits       Spend           `json:"credits"`
	MaxCredits    *lookup.Credits `json:"max_credits"` // its cap; nil: none
	CreatedAt     time.Time       `json:"created_at"`
	StartedAt     *time.Time      `json:"started_at"`  // nil: not yet
	FinishedAt    *time.Time      `json:"finished_at"` // nil: not yet
	RowsPerSecond *float64        `json:"rows_per_second"`
	ETASeconds    *float64        `json:"eta_seconds"` // nil: cannot be told
}

// Rows counts a batch's rows. Those that repeat an earlier row, or were paid for
// before, count in their outcome too.
type Rows struct {
	Total     int64 `json:"total"`
	Done      int64 `json:"done"` // Found + NotFound + Invalid + Failed
	Found     int64 `json:"found"`
	NotFound  int64 `json:"not_found"`
	Invalid   int64 `json:"invalid"`
	Failed    int64 `json:"failed"`
	Duplicate int64 `json:"duplicate"`
	Reused    int64 `json:"reused"`
}

// Spend is what a batch costs.
type Spend struct {
	Charged lookup.Credits `json:"charged"`
	Held    lookup.Credits `json:"held"`   // set aside for rows being asked now
	Max     lookup.Credits `json:"max"`    // the most it can cost, under its cap
	Needed  lookup.Credits `json:"needed"` // what is missing while it is paused: of credits, or of room under a cap
}

// Cursor is where the next page of a list begins; "" at its end.
type Cursor string

// MarshalJSON writes null for "".
func (c Cursor) MarshalJSON() ([]byte, error) { return orNull(string(c)) }

func orNull(s string) ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(s)
}

// Page is a part of a list.
type Page[T any] struct {
	Data       []T    `json:"data"`
	NextCursor Cursor `json:"next_cursor"`
}

// ListOptions choose a part of a list.
type ListOptions struct {
	Limit  int // 0: as the server likes
	Cursor Cursor
}

func (o ListOptions) query() url.Values {
	query := url.Values{}
	if o.Limit > 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Cursor != "" {
		query.Set("cursor", string(o.Cursor))
	}
	return query
}

// BatchesOptions choose batches; zero values choose all.
type BatchesOptions struct {
	ListOptions

	Status  Status
	Service lookup.Service
}

// Batches lists the organization's batches, newest first.
func (c *Client) Batches(ctx context.Context, o BatchesOptions) (Page[Batch], error) {
	query := o.query()
	if o.Status != "" {
		query.Set("status", string(o.Status))
	}
	if o.Service != "" {
		query.Set("service", string(o.Service))
	}
	var batches Page[Batch]
	_, err := c.ask(ctx, get("/v1/batches", query), &batches)
	return batches, err
}

// Batch returns a batch as it is now.
func (c *Client) Batch(ctx context.Context, id string) (Batch, error) {
	var b Batch
	_, err := c.ask(ctx, get(path("v1", "batches", id), nil), &b)
	return b, err
}

// Pause lets rows being asked end, and asks no more.
func (c *Client) Pause(ctx context.Context, id string) (Batch, error) {
	return c.change(ctx, id, "pause")
}

// Resume goes on with a paused batch.
func (c *Client) Resume(ctx context.Context, id string) (Batch, error) {
	return c.change(ctx, id, "resume")
}

// Cancel ends a batch; what was found stays.
func (c *Client) Cancel(ctx context.Context, id string) (Batch, error) {
	return c.change(ctx, id, "cancel")
}

// BatchChange is what to change of a batch; nil leaves a field as it is.
type BatchChange struct {
	Name *string
	// MaxCredits is the new cap; 0 takes it away.
	MaxCredits *lookup.Credits
}

// ChangeBatch changes a batch, also while it runs. A cap below what is spent
// pauses it; one that is raised lets it go on by itself.
func (c *Client) ChangeBatch(ctx context.Context, id string, change BatchChange) (Batch, error) {
	content := map[string]any{}
	if change.Name != nil {
		content["name"] = *change.Name
	}
	if change.MaxCredits != nil {
		content["max_credits"] = capOrNil(*change.MaxCredits)
	}
	q, err := post(path("v1", "batches", id), "", content)
	if err != nil {
		return Batch{}, err
	}
	q.method, q.repeatable = http.MethodPatch, true
	var b Batch
	_, err = c.ask(ctx, q, &b)
	return b, err
}

// capOrNil writes null for no cap.
func capOrNil(credits lookup.Credits) *lookup.Credits {
	if credits == 0 {
		return nil
	}
	return &credits
}

func (c *Client) change(ctx context.Context, id, verb string) (Batch, error) {
	var b Batch
	_, err := c.ask(ctx, call{method: http.MethodPost, path: path("v1", "batches", id, verb), repeatable: true}, &b)
	return b, err
}

// Format is how results are written.
type Format string

// The formats. NDJSON has one [lookup.Row] a line; CSV has the columns of the
// file that was submitted, and beside them what was found.
const (
	NDJSON Format = "ndjson"
	CSV    Format = "csv"
)

// ResultsOptions choose results and their form.
type ResultsOptions struct {
	Format  Format         // "": NDJSON
	Outcome lookup.Outcome // "": rows of every outcome
}

// Results downloads what is known of a batch, also while it runs. The caller
// closes it. An error while reading means that the rest is missing.
func (c *Client) Results(ctx context.Context, id string, o ResultsOptions) (io.ReadCloser, error) {
	query := url.Values{}
	if o.Format != "" {
		query.Set("format", string(o.Format))
	}
	if o.Outcome != "" {
		query.Set("outcome", string(o.Outcome))
	}
	q := get(path("v1", "batches", id, "results"), query)
	var answer *http.Response
	err := c.persist(ctx, q, func() (err error) {
		answer, err = c.send(ctx, q) //nolint:bodyclose // the caller's
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}
