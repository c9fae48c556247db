package app

import (
	"context"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/lookup"
)

// Audit adds up an organization's books and compares them with the gate. It
// returns the balance and, in words, whatever disagrees. Nothing of the
// organization may be in flight.
func (a *App) Audit(ctx context.Context, org string) (balance lookup.Credits, differences []string, err error) {
	sums, err := books.Sums(ctx, a.db, org)
	if err != nil {
		return 0, nil, err
	}
	lapsed, err := books.Lapsed(ctx, a.db, org, time.Now())
	if err != nil {
		return 0, nil, err
	}
	gate, err := a.books.Balance(ctx, org)
	if err != nil {
		return 0, nil, err
	}
	differences = sums.Differences()
	if gate.Held != 0 || gate.Available != int64(sums.Available-lapsed) || gate.Captured != int64(sums.Charged) {
		differences = append(differences, fmt.Sprintf("the gate has %s available, %s held and %s captured; SQL has %s available and %s charged",
			lookup.Credits(gate.Available), lookup.Credits(gate.Held), lookup.Credits(gate.Captured), sums.Available, sums.Charged))
	}
	return sums.Available, differences, nil
}
