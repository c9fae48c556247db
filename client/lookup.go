package client

import (
	"context"
	"net/http"

	"github.com/magpie-hq/magpie/lookup"
)

// LookupRequest is one question.
type LookupRequest struct {
	Service lookup.Service
	// Fields of the query, see [lookup.Service.QueryFields].
	Fields map[string]string
	// RowID is the caller's own name for the question; it comes back.
	RowID string
	// AcceptCatchAll also charges for addresses at domains that accept every
	// address.
	AcceptCatchAll bool
	// IdempotencyKey names the question, so that it can be repeated by another
	// process too; "" for one of this call only.
	IdempotencyKey string
}

// Answer is what a lookup found and cost.
type Answer struct {
	lookup.Row

	Remaining *lookup.Credits `json:"-"` // available after it; nil: not said
	Replayed  bool            `json:"-"` // the first answer, given again
}

// Lookup asks one question. That nothing was found is an answer, not an error.
func (c *Client) Lookup(ctx context.Context, r LookupRequest) (Answer, error) {
	content := map[string]any{}
	for field, value := range r.Fields {
		content[field] = value
	}
	if r.RowID != "" {
		content["row_id"] = r.RowID
	}
	if r.AcceptCatchAll {
		content["accept_catch_all"] = true
	}
	q, err := post(path("v1", "lookups", string(r.Service)), r.IdempotencyKey, content)
	if err != nil {
		return Answer{}, err
	}
	var answer Answer
	header, err := c.ask(ctx, q, &answer)
	if err != nil {
		return Answer{}, err
	}
	answer.Remaining, answer.Replayed = creditsIn(header), header.Get("Idempotency-Replayed") == "true"
	return answer, nil
}

func creditsIn(header http.Header) *lookup.Credits {
	if credits, err := lookup.ParseCredits(header.Get("X-Credits-Remaining")); err == nil {
		return &credits
	}
	return nil
}
