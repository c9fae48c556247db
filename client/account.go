package client

import (
	"context"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Account is an organization's credits.
type Account struct {
	Credits             lookup.Credits  `json:"credits"` // the same as Available
	Available           lookup.Credits  `json:"available"`
	Held                lookup.Credits  `json:"held"` // set aside for lookups under way
	Grants              []Lot           `json:"grants"`
	LowBalanceThreshold *lookup.Credits `json:"low_balance_threshold"`
}

// Lot is what is left of credits that came in.
type Lot struct {
	ID        string         `json:"id"`
	Source    Source         `json:"source"`
	Granted   lookup.Credits `json:"granted"`
	Remaining lookup.Credits `json:"remaining"`
	ExpiresAt *time.Time     `json:"expires_at"` // nil: never
}

// Credits returns the account of the key's organization.
func (c *Client) Credits(ctx context.Context) (Account, error) {
	var a Account
	_, err := c.ask(ctx, get("/v1/credits", nil), &a)
	return a, err
}
