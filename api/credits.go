package api

import (
	"context"
	"net/http"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// creditsBody is an organization's account.
type creditsBody struct {
	Credits             lookup.Credits  `doc:"The same as available."                  json:"credits"`
	Available           lookup.Credits  `json:"available"`
	Held                lookup.Credits  `doc:"Set aside for lookups under way."        json:"held"`
	Grants              []lotBody       `doc:"Oldest first; the oldest is used first." json:"grants"                nullable:"false"`
	LowBalanceThreshold *lookup.Credits `doc:"Not available yet: always null."         json:"low_balance_threshold" nullable:"true"`
}

type lotBody struct {
	ID        string         `json:"id"`
	Source    string         `json:"source"`
	Granted   lookup.Credits `json:"granted"`
	Remaining lookup.Credits `json:"remaining"`
	ExpiresAt *time.Time     `doc:"null: never." json:"expires_at"`
}

func (a *api) registerCredits() {
	register(a, operation(http.MethodGet, "/v1/credits", "get-credits", "Get the organization's credits", customerScheme), a.credits)
}

func (a *api) credits(ctx context.Context, _ *struct{}) (*output[creditsBody], error) {
	balance, err := a.Books.Balance(ctx, orgOf(ctx))
	if err != nil {
		return nil, err
	}
	grants, err := a.Books.Grants(ctx, orgOf(ctx))
	if err != nil {
		return nil, err
	}
	body := creditsBody{
		Credits: lookup.Credits(balance.Available), Available: lookup.Credits(balance.Available),
		Held: lookup.Credits(balance.Held), Grants: []lotBody{},
	}
	for _, g := range grants {
		body.Grants = append(body.Grants, lotBody{ID: g.ID, Source: g.Source, Granted: g.Amount, Remaining: g.Remaining})
	}
	return &output[creditsBody]{Body: body}, nil
}
