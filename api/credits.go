package api

import (
	"context"
	"net/http"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// creditsBody is an organization's account.
type creditsBody struct {
	Credits             lookup.Credits  `doc:"The same as available."                           json:"credits"`
	Available           lookup.Credits  `json:"available"`
	Held                lookup.Credits  `doc:"Set aside for lookups under way."                 json:"held"`
	Grants              []lotBody       `doc:"Oldest first. Used first is what expires first."  json:"grants"                nullable:"false"`
	LowBalanceThreshold *lookup.Credits `doc:"Below it the balance counts as low; null: never." json:"low_balance_threshold" nullable:"true"`
}

type lotBody struct {
	ID        string         `json:"id"`
	Source    string         `json:"source"`
	Granted   lookup.Credits `json:"granted"`
	Remaining lookup.Credits `json:"remaining"`
	ExpiresAt *time.Time     `doc:"null: never." json:"expires_at"`
}

// thresholdRequest sets when a balance is low.
type thresholdRequest struct {
	LowBalanceThreshold lookup.Credits `doc:"Credits, available and held. 0: never." json:"low_balance_threshold" minimum:"0"`
}

type thresholdInput struct {
	Payload payload[thresholdRequest]
}

type orgThresholdInput struct {
	ID      string `doc:"Of the organization." path:"id"`
	Payload payload[thresholdRequest]
}

const (
	creditsPath    = "/v1/credits"
	orgCreditsPath = orgsPath + "/{id}/credits"
)

func (a *api) registerCredits() {
	register(a, operation(http.MethodGet, creditsPath, "get-credits", "Get the organization's credits", customerScheme),
		func(ctx context.Context, _ *struct{}) (*output[creditsBody], error) {
			return a.credits(ctx, orgOf(ctx))
		})
	register(a, operation(http.MethodPatch, creditsPath, "set-credits", "Set when the balance is low", customerScheme),
		func(ctx context.Context, in *thresholdInput) (*output[creditsBody], error) {
			return a.setThreshold(ctx, orgOf(ctx), in.Payload.value)
		})
	register(a, operation(http.MethodGet, orgCreditsPath, "get-org-credits", "Get an organization's credits", adminScheme),
		func(ctx context.Context, in *orgInput) (*output[creditsBody], error) { return a.credits(ctx, in.ID) })
	register(a, operation(http.MethodPatch, orgCreditsPath, "set-org-credits", "Set when an organization's balance is low", adminScheme),
		func(ctx context.Context, in *orgThresholdInput) (*output[creditsBody], error) {
			return a.setThreshold(ctx, in.ID, in.Payload.value)
		})
	for _, path := range []string{creditsPath, orgCreditsPath} {
		a.huma.OpenAPI().Paths[path].Patch.RequestBody = jsonBody(strictSchemaOf[thresholdRequest](a))
	}
	a.registerEntries()
}

func (a *api) setThreshold(ctx context.Context, org string, want thresholdRequest) (*output[creditsBody], error) {
	if want.LowBalanceThreshold < 0 {
		return nil, invalid("low_balance_threshold", "want credits from 0; 0 for never")
	}
	if err := a.Books.SetThreshold(ctx, org, want.LowBalanceThreshold); err != nil {
		return nil, err
	}
	return a.credits(ctx, org)
}

func (a *api) credits(ctx context.Context, org string) (*output[creditsBody], error) {
	grants, err := a.Books.Grants(ctx, org)
	if err != nil {
		return nil, err
	}
	balance, err := a.Books.Balance(ctx, org)
	if err != nil {
		return nil, err
	}
	body := creditsBody{
		Credits: lookup.Credits(balance.Available), Available: lookup.Credits(balance.Available),
		Held: lookup.Credits(balance.Held), Grants: []lotBody{},
	}
	if balance.Threshold > 0 {
		threshold := lookup.Credits(balance.Threshold)
		body.LowBalanceThreshold = &threshold
	}
	for _, g := range grants {
		body.Grants = append(body.Grants, lotBody{ID: g.ID, Source: g.Source, Granted: g.Amount, Remaining: g.Remaining, ExpiresAt: optional(g.ExpiresAt)})
	}
	return &output[creditsBody]{Body: body}, nil
}
