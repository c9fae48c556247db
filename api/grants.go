package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/lookup"
)

// grantBody is credits that came in.
type grantBody struct {
	ID        string         `json:"id"`
	Source    string         `json:"source"`
	Granted   lookup.Credits `json:"granted"`
	Remaining lookup.Credits `json:"remaining"`
	Reference string         `json:"reference"`
	ExpiresAt *time.Time     `doc:"null: never." json:"expires_at"`
	CreatedAt time.Time      `json:"created_at"`
}

func grantOut(g books.Grant) (grantBody, error) {
	return grantBody{
		ID: g.ID, Source: g.Source, Granted: g.Amount, Remaining: g.Remaining, Reference: g.Reference,
		ExpiresAt: optional(g.ExpiresAt), CreatedAt: g.CreatedAt.UTC(),
	}, nil
}

type grantRequest struct {
	Source    string         `doc:"Of a billing cycle, paid for, or given by hand."                        enum:"subscription,purchase,adjustment" json:"source"`
	Credits   lookup.Credits `doc:"More than 0."                                                           json:"credits"                          minimum:"0.001"`
	Reference string         `doc:"The payer's own: repeating one returns the first grant."                json:"reference,omitempty"              maxLength:"200"`
	ExpiresAt *time.Time     `doc:"When the billing cycle of a subscription ends; purchases never expire." json:"expires_at,omitempty"`
}

func (g grantRequest) check() error {
	var faults []fieldError
	if g.Credits <= 0 {
		faults = append(faults, fieldError{"credits", codeValidation, "want more than 0"})
	}
	if len(g.Reference) > 200 {
		faults = append(faults, fieldError{"reference", codeValidation, "want at most 200 bytes"})
	}
	switch g.Source {
	case books.Subscription:
		if g.ExpiresAt == nil {
			faults = append(faults, fieldError{"expires_at", codeValidation, "is missing; want the end of the billing cycle"})
		}
	case books.Purchase:
		if g.ExpiresAt != nil {
			faults = append(faults, fieldError{"expires_at", codeValidation, "purchases never expire; leave it out"})
		}
	case books.Adjustment:
	default:
		faults = append(faults, fieldError{"source", codeValidation, "want subscription, purchase or adjustment"})
	}
	if len(faults) > 0 {
		return invalidFields(faults...)
	}
	return nil
}

type grantInput struct {
	ID      string `doc:"Of the organization." path:"id"`
	Payload payload[grantRequest]
}

const grantsPath = orgsPath + "/{id}/grants"

func (a *api) registerGrants() {
	op := operation(http.MethodPost, grantsPath, "grant", "Grant credits", adminScheme)
	op.Description = "Batches that wait for credits go on by themselves. A subscription's grant ends what is unused of cycles that end earlier."
	op.DefaultStatus = http.StatusCreated
	register(a, repeatable(op), a.grant)
	a.describeBody(grantsPath, map[string]*huma.Schema{"application/json": strictSchemaOf[grantRequest](a)})
	register(a, operation(http.MethodGet, grantsPath, "list-grants", "List an organization's grants, oldest first", adminScheme),
		func(ctx context.Context, in *orgInput) (*output[page[grantBody]], error) {
			grants, err := a.Books.Grants(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return pageOf(grants, len(grants), grantOut, nil)
		})
}

func (a *api) grant(ctx context.Context, in *grantInput) (*created[grantBody], error) {
	want := in.Payload.value
	if err := want.check(); err != nil {
		return nil, err
	}
	return once[grantBody]{prefix: "ref", hash: in.Payload.hash, do: func(ctx context.Context, id string) (int, grantBody, error) {
		if want.Reference == "" {
			want.Reference = id // the same when the request is repeated
		}
		grant := books.Grant{Org: in.ID, Source: want.Source, Amount: want.Credits, Reference: want.Reference}
		if want.ExpiresAt != nil {
			grant.ExpiresAt = *want.ExpiresAt
		}
		g, repeated, err := a.Books.Grant(ctx, grant)
		if err != nil {
			return 0, grantBody{}, err
		}
		a.Dispatcher.Wake(context.WithoutCancel(ctx), in.ID)
		status := http.StatusCreated
		if repeated {
			status = http.StatusOK
		}
		body, err := grantOut(g)
		return status, body, err
	}}.run(ctx, a)
}
