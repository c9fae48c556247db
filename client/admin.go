package client

import (
	"context"
	"net/http"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Org is an organization, which owns credits.
type Org struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

// Key is an API key of an organization.
type Key struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Secret string `json:"key,omitempty"` // the key itself, once: in the answer that makes it
	Hint   string `json:"hint"`          // its last four characters
	// MonthlyCap is the most that its batches and lookups may be charged in a
	// calendar month, UTC; nil: no cap.
	MonthlyCap *lookup.Credits `json:"monthly_cap"`
	CreatedAt  time.Time       `json:"created_at"`
	RevokedAt  *time.Time      `json:"revoked_at"` // nil: it is valid
}

// Source is where credits came from.
type Source string

// The sources.
const (
	Subscription Source = "subscription" // of a billing cycle; expires with it
	Purchase     Source = "purchase"     // never expires
	Adjustment   Source = "adjustment"   // given by hand
)

// GrantRequest is credits to be granted.
type GrantRequest struct {
	Source  Source         `json:"source"`
	Credits lookup.Credits `json:"credits"`
	// Reference is the payer's own name of the payment. Repeating one returns
	// the first grant. "": none.
	Reference string `json:"reference,omitempty"`
	// ExpiresAt is when the billing cycle of a subscription ends.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Grant is credits that came in.
type Grant struct {
	Lot

	Reference string    `json:"reference"`
	CreatedAt time.Time `json:"created_at"`
}

// CreateOrg makes an organization. For administrators, like all calls below.
func (c *Client) CreateOrg(ctx context.Context, name string) (Org, error) {
	var org Org
	err := c.create(ctx, path("admin", "v1", "orgs"), nameRequest{name}, &org)
	return org, err
}

// Orgs lists organizations, oldest first.
func (c *Client) Orgs(ctx context.Context, o ListOptions) (Page[Org], error) {
	var orgs Page[Org]
	_, err := c.ask(ctx, get(path("admin", "v1", "orgs"), o.query()), &orgs)
	return orgs, err
}

// CreateKey makes an API key. The answer is the only one with the key itself; if
// it is lost, the error is a conflict that names the key to revoke.
func (c *Client) CreateKey(ctx context.Context, org, name string) (Key, error) {
	return c.CreateCappedKey(ctx, org, name, 0)
}

// CreateCappedKey is [Client.CreateKey] for a key that may be charged at most so
// much in a calendar month, UTC; 0: no cap.
func (c *Client) CreateCappedKey(ctx context.Context, org, name string, monthlyCap lookup.Credits) (Key, error) {
	var key Key
	err := c.create(ctx, path("admin", "v1", "orgs", org, "keys"), keyRequest{name, capOrNil(monthlyCap)}, &key)
	return key, err
}

// SetKeyCap sets the most that a key, named by its id, may be charged in a
// calendar month, UTC; 0 takes the cap away. Batches that wait for room under it
// go on by themselves.
func (c *Client) SetKeyCap(ctx context.Context, org, key string, monthlyCap lookup.Credits) (Key, error) {
	q, err := post(path("admin", "v1", "orgs", org, "keys", key), "", struct {
		MonthlyCap *lookup.Credits `json:"monthly_cap"`
	}{capOrNil(monthlyCap)})
	if err != nil {
		return Key{}, err
	}
	q.method, q.repeatable = http.MethodPatch, true
	var k Key
	_, err = c.ask(ctx, q, &k)
	return k, err
}

// Keys lists an organization's API keys, revoked ones too.
func (c *Client) Keys(ctx context.Context, org string) (Page[Key], error) {
	var keys Page[Key]
	_, err := c.ask(ctx, get(path("admin", "v1", "orgs", org, "keys"), nil), &keys)
	return keys, err
}

// RevokeKey ends an API key, named by its id, for good.
func (c *Client) RevokeKey(ctx context.Context, org, key string) error {
	_, err := c.ask(ctx, call{method: http.MethodDelete, path: path("admin", "v1", "orgs", org, "keys", key), repeatable: true}, nil)
	return err
}

// Grant grants credits. Batches that wait for credits go on by themselves.
func (c *Client) Grant(ctx context.Context, org string, r GrantRequest) (Grant, error) {
	var grant Grant
	err := c.create(ctx, path("admin", "v1", "orgs", org, "grants"), r, &grant)
	return grant, err
}

// Grants lists an organization's grants, oldest first.
func (c *Client) Grants(ctx context.Context, org string) (Page[Grant], error) {
	var grants Page[Grant]
	_, err := c.ask(ctx, get(path("admin", "v1", "orgs", org, "grants"), nil), &grants)
	return grants, err
}

// Proof is what an audit says of one organization.
type Proof struct {
	Org         string         `json:"org"`
	Entries     int64          `json:"entries"` // that were looked at
	Available   lookup.Credits `json:"available"`
	Busy        bool           `json:"busy"`        // lookups were under way: the live balance was not compared
	Differences []string       `json:"differences"` // none: it all adds up
}

// Audit proves the books of organizations, page by page: what is new since the
// last audit, or everything.
func (c *Client) Audit(ctx context.Context, full bool, o ListOptions) (Page[Proof], error) {
	query := o.query()
	if full {
		query.Set("full", "true")
	}
	var proofs Page[Proof]
	_, err := c.ask(ctx, get(path("admin", "v1", "audit"), query), &proofs)
	return proofs, err
}

// Provider is how the whole fleet stands with one vendor.
type Provider struct {
	Provider   string           `json:"provider"`
	Services   []lookup.Service `json:"services"`
	Condition  string           `json:"condition"`   // closed (all is well), half-open, open or parked
	Until      *time.Time       `json:"until"`       // with open and parked: when it is tried again
	NotBefore  *time.Time       `json:"not_before"`  // the end of a pause that the vendor asked for
	Processes  int              `json:"processes"`   // that reported in the last seconds
	InFlight   int              `json:"in_flight"`   // calls under way
	PerSecond  *float64         `json:"per_second"`  // calls allowed now; nil: no limit
	Quotas     []Quota          `json:"quotas"`      //
	Calls      map[string]int64 `json:"calls"`       // by outcome, since the processes began
	HeldBack   map[string]int64 `json:"held_back"`   // questions not let through, by why
	P50Seconds *float64         `json:"p50_seconds"` // of the last five minutes; nil: no calls
	P95Seconds *float64         `json:"p95_seconds"`
	Cost       float64          `json:"cost"` // in the unit of the waterfall file
}

// Quota is how much of one window of a vendor's quota is used.
type Quota struct {
	Window string `json:"window"` // second, minute or day
	Used   int64  `json:"used"`
	Quota  int64  `json:"quota"`
}

// Providers lists the vendors and how the fleet stands with them.
func (c *Client) Providers(ctx context.Context) (Page[Provider], error) {
	var all Page[Provider]
	_, err := c.ask(ctx, get(path("admin", "v1", "providers"), nil), &all)
	return all, err
}

type nameRequest struct {
	Name string `json:"name"`
}

type keyRequest struct {
	Name       string          `json:"name"`
	MonthlyCap *lookup.Credits `json:"monthly_cap"`
}

func (c *Client) create(ctx context.Context, path string, content, made any) error {
	q, err := post(path, "", content)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, q, made)
	return err
}
