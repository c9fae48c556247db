package app

import (
	"context"
	"log/slog"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/store"
)

// lowBalances listens to the books: what runs low is a warning in the log.
type lowBalances struct{ log *slog.Logger }

// Fell logs an event.
func (l lowBalances) Fell(ctx context.Context, _ *store.Tx, e books.Event) error {
	l.log.WarnContext(ctx, "an organization runs out of credits", "org", e.Org, "event", e.Kind, "id", e.ID, "at", e.At)
	return nil
}
