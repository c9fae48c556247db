package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/store"
)

const (
	keptFor    = 30 * 24 * time.Hour // an answer is remembered
	staleAfter = time.Minute         // a silent first request is taken over
	renewEvery = 20 * time.Second    // a request at work says that it is
)

// created is the answer of an operation that may be repeated under an
// Idempotency-Key.
type created[T any] struct {
	Status   int
	Location string `doc:"Where the object is."                           header:"Location"`
	Replayed string `doc:"true if this is the first answer, given again." header:"Idempotency-Replayed"`
	Body     T
}

// once is work that is done once under an Idempotency-Key.
type once[T any] struct {
	prefix string // of the id of what is made
	hash   []byte // of the request's content
	// do makes the object of the given id. Where the first request died at it,
	// it is called again with the same id.
	do func(ctx context.Context, id string) (status int, body T, err error)
	// redact, if set, takes out of the body what must not be kept.
	redact func(T) T
}

// run does the work, or answers what it answered first. A request without a
// key is done every time.
func (o once[T]) run(ctx context.Context, a *api) (*created[T], error) {
	now := a.Now()
	claim, err := claimOf(ctx, o.hash)
	if err != nil {
		return nil, err
	}
	claim.Object = store.NewID(o.prefix, now)
	if claim.Key == "" {
		status, body, err := o.do(ctx, claim.Object)
		return &created[T]{Status: status, Body: body}, err
	}
	standing, claimed, err := a.DB.As(claim.Org).ClaimKey(ctx, claim, now, now.Add(-staleAfter), now.Add(-keptFor))
	if err != nil {
		return nil, err
	}
	if standing.Route != claim.Route || !bytes.Equal(standing.BodyHash, claim.BodyHash) {
		return nil, newProblem(http.StatusUnprocessableEntity, codeMismatch, "the Idempotency-Key was used with another request; use a new key for this one",
			fieldError{"Idempotency-Key", codeMismatch, "belongs to another request"})
	}
	switch {
	case claimed:
		return o.finish(ctx, a, standing, standing.Object != claim.Object)
	case standing.Status == 0:
		return nil, newProblem(http.StatusConflict, codeConflict, "the first request with this Idempotency-Key is still at work; try again").with("Retry-After", "5")
	}
	replay := &created[T]{Status: standing.Status, Replayed: "true"}
	if err := json.Unmarshal(standing.Answer, &replay.Body); err != nil {
		return nil, fmt.Errorf("api: replay an answer: %w", err)
	}
	return replay, nil
}

// finish does the work under a claim and remembers the answer. A refusal gives
// the key back; after an internal error the work may have been done, so the
// claim stays and the next request takes it over.
func (o once[T]) finish(ctx context.Context, a *api, claim store.Claim, takenOver bool) (*created[T], error) {
	stop := a.renew(ctx, claim)
	status, body, err := o.do(ctx, claim.Object)
	claim = stop()
	keep := context.WithoutCancel(ctx)
	if err != nil {
		if refused(err, takenOver) {
			a.later(ctx, a.DB.As(claim.Org).ReleaseKey(keep, claim))
		}
		return nil, err
	}
	kept := body
	if o.redact != nil {
		kept = o.redact(body)
	}
	claim.Status = status
	if claim.Answer, err = json.Marshal(kept); err != nil {
		return nil, fmt.Errorf("api: remember an answer: %w", err)
	}
	a.later(ctx, a.DB.As(claim.Org).FinishKey(keep, claim))
	return &created[T]{Status: status, Body: body}, nil
}

// refused reports whether an error means that nothing was made under the claim. Of
// one that was taken over, a request that got nowhere cannot tell: the work may
// have been done before.
func refused(err error, takenOver bool) bool {
	if takenOver && (errors.Is(err, context.Canceled) || store.Unreachable(err)) {
		return false
	}
	return problemOf(err).Status != http.StatusInternalServerError
}

// later logs that a claim could not be changed: a repeat takes it over.
func (a *api) later(ctx context.Context, err error) {
	if err != nil {
		a.Log.WarnContext(ctx, "an idempotency key stays claimed", "err", err)
	}
}

// renew keeps a claim from being taken over while its request is at work, until
// stop is called, which returns the claim as it was last renewed: a large upload
// takes longer than a claim may be silent. One that was taken over all the same
// is not taken back.
func (a *api) renew(ctx context.Context, claim store.Claim) (stop func() store.Claim) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				renewed, err := a.DB.As(claim.Org).RenewKey(ctx, claim, a.Now())
				switch {
				case err == nil:
					claim = renewed
				case errors.Is(err, store.ErrConflict):
					return
				case ctx.Err() == nil:
					a.later(ctx, err)
				}
			}
		}
	})
	return func() store.Claim { cancel(); done.Wait(); return claim }
}

// claimOf is what the request wants to claim; its key is "" if it has none.
func claimOf(ctx context.Context, hash []byte) (store.Claim, error) {
	v := visitOf(ctx)
	claim := store.Claim{Org: v.caller.org, Route: v.request.Method + " " + v.request.URL.Path, BodyHash: hash}
	if v.caller.admin {
		claim.Org = "admin"
	}
	values, given := v.request.Header[http.CanonicalHeaderKey("Idempotency-Key")]
	if !given {
		return claim, nil
	}
	if len(values) != 1 || !visible(values[0]) {
		return claim, invalid("Idempotency-Key", "want one text of 1 to 255 visible ASCII characters")
	}
	claim.Key = values[0]
	return claim, nil
}

func visible(key string) bool {
	if len(key) < 1 || len(key) > 255 {
		return false
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}

// repeatable documents the header on an operation.
func repeatable(op huma.Operation) huma.Operation {
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "Idempotency-Key", In: "header",
		Description: "Makes repeating the request harmless for 30 days: the same key with the same content answers what was answered first, and charges nothing twice.",
		Schema:      &huma.Schema{Type: huma.TypeString},
	})
	return op
}
