package client

import (
	"context"
	"net/http"
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

// SetLowBalance sets below how many credits, available and held, the balance
// counts as low; 0 for never.
func (c *Client) SetLowBalance(ctx context.Context, threshold lookup.Credits) (Account, error) {
	q, err := post("/v1/credits", "", struct {
		LowBalanceThreshold lookup.Credits `json:"low_balance_threshold"`
	}{threshold})
	if err != nil {
		return Account{}, err
	}
	q.method, q.repeatable = http.MethodPatch, true
	var a Account
	_, err = c.ask(ctx, q, &a)
	return a, err
}

// Entry is one change of the balance.
type Entry struct {
	ID        string          `json:"id"`
	CreatedAt time.Time       `json:"created_at"`
	Kind      string          `json:"kind"`    // grant, charge, expiry, refund, revoke or merge
	Credits   lookup.Credits  `json:"credits"` // below 0: they went out
	Balance   lookup.Credits  `json:"balance"` // after it
	Source    *Source         `json:"source"`  // of a grant
	Service   *lookup.Service `json:"service"` // of a charge
	Grant     *string         `json:"grant"`   // what is behind it, where there is such a thing
	Batch     *string         `json:"batch"`
	Chunk     *int64          `json:"chunk"`
	Lookup    *string         `json:"lookup"`
}

// Entries lists what changed the balance, newest first.
func (c *Client) Entries(ctx context.Context, o ListOptions) (Page[Entry], error) {
	var entries Page[Entry]
	_, err := c.ask(ctx, get("/v1/credits/entries", o.query()), &entries)
	return entries, err
}
