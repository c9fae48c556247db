package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// spendCap is a cap in a body: credits, or null for none. Left out, it changes
// nothing. 0 is refused: who means "no cap" and who means "spend nothing" cannot
// be told apart.
type spendCap struct {
	given   bool
	credits lookup.Credits // 0: no cap
}

// UnmarshalJSON is also called for null.
func (c *spendCap) UnmarshalJSON(raw []byte) error {
	c.given = true
	if bytes.Equal(raw, []byte("null")) {
		return nil
	}
	if err := json.Unmarshal(raw, &c.credits); err != nil {
		return err
	}
	if c.credits <= 0 {
		return errNoCap
	}
	return nil
}

var errNoCap = errors.New("want more than 0")

// Schema describes it to huma.
func (spendCap) Schema(huma.Registry) *huma.Schema {
	least := 0.001
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeNumber, Minimum: &least}, {Type: "null"}}}
}

// wantedCap says in words what a cap must be.
const wantedCap = "a number of credits above 0 with at most three decimals, such as 12.5, or null for no cap"

// parseCap reads a cap that came as text; "" is none.
func parseCap(name, text string) (lookup.Credits, error) {
	if text == "" {
		return 0, nil
	}
	credits, err := lookup.ParseCredits(text)
	if err != nil || credits <= 0 {
		return 0, invalid(name, "want a number of credits above 0 with at most three decimals, such as 12.5; leave it out for no cap")
	}
	return credits, nil
}

// batchChange is what of a batch can be changed.
type batchChange struct {
	Name       *string  `doc:"What to call the batch."                          json:"name,omitempty"       maxLength:"200"`
	MaxCredits spendCap `doc:"At most so much is charged for it; null: no cap." json:"max_credits,omitzero"`
}

type changeBatchInput struct {
	ID      string `doc:"Of the batch." path:"id"`
	Payload payload[batchChange]
}

func (a *api) changeBatch(ctx context.Context, in *changeBatchInput) (*output[batchBody], error) {
	want := in.Payload.value
	change := store.BatchChange{Name: want.Name}
	if want.Name != nil {
		if err := checkBatchName(*want.Name); err != nil {
			return nil, err
		}
	}
	if want.MaxCredits.given {
		change.MaxCredits = &want.MaxCredits.credits
	}
	if change == (store.BatchChange{}) {
		return nil, invalid("body", "there is nothing to change; want name or max_credits")
	}
	b, err := a.tenant(ctx).ChangeBatch(ctx, in.ID, change)
	if errors.Is(err, store.ErrConflict) {
		err = newProblem(http.StatusConflict, codeConflict, "the batch has ended; its cap cannot be changed any more", fieldError{"max_credits", codeConflict, "the batch has ended"})
	}
	if err == nil && b.Waits() {
		a.Dispatcher.Wake(context.WithoutCancel(ctx), b.Org)
	}
	return a.batchOutput(ctx, b, err)
}

// atCap refuses a lookup that its key's cap leaves no room for.
func (a *api) atCap(ctx context.Context, required lookup.Credits, few *ledger.InsufficientError) *problem {
	monthly, now := visitOf(ctx).caller.monthlyCap, a.Now().UTC()
	left, next := max(0, monthly-lookup.Credits(few.ScopeUsed)), time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	p := newProblem(http.StatusPaymentRequired, codeInsufficient, "the lookup can cost "+required.String()+" credits, the monthly cap of this API key ("+
		monthly.String()+" credits) leaves "+left.String()+"; ask the administrator to raise the key's cap, or wait until "+next.Format(time.DateOnly)+" UTC",
		fieldError{"X-API-Key", codeCap, "has reached its monthly cap"})
	p.CreditsRequired, p.CreditsAvailable = &required, &left
	return p
}
