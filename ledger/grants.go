package ledger

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Grant is credits that SQL has recorded. Grants, refreshes and refunds of an
// account are numbered together, from 1, and applied in that order.
type Grant struct {
	Org    string
	Number int64
	Amount int64 // millicredits
	Lot    Lot   // that they go into: its id, class and expiry
}

// Grant adds credits. Repeating it changes nothing. It returns the level that
// the account fell to meanwhile; [Plenty] if it did not fall. Errors:
// [ErrMissing], [ErrGap], [ErrCorrupt], or what Redis said.
func (g *Gate) Grant(ctx context.Context, r Grant) (Level, error) {
	return g.numbered(ctx, grantScript, "grant to", r.Org, r.Number, r.Amount, r.Lot.ID, int64(r.Lot.Class), r.Lot.Expires)
}

// Refresh adds credits and lets old lots expire in the same step: what is free
// of them now, what is held of them when it is released. Errors as of Grant.
func (g *Gate) Refresh(ctx context.Context, r Grant, old []int64, ends time.Time) (Level, error) {
	args := []any{r.Number, r.Amount, r.Lot.ID, int64(r.Lot.Class), r.Lot.Expires, ends.UnixMilli()}
	for _, lot := range old {
		args = append(args, lot)
	}
	return g.numbered(ctx, refreshScript, "refresh", r.Org, args...)
}

// Refund gives back what was captured: each lot's Free, to that lot. Errors as
// of Grant.
func (g *Gate) Refund(ctx context.Context, org string, number int64, lots []Lot) (Level, error) {
	args := []any{number}
	for _, lot := range lots {
		args = append(args, lot.ID, int64(lot.Class), lot.Expires, lot.Free)
	}
	return g.numbered(ctx, refundScript, "refund", org, args...)
}

func (g *Gate) numbered(ctx context.Context, s *redis.Script, operation, org string, args ...any) (Level, error) {
	words, err := g.run(ctx, s, []string{accountKey(org)}, args...)
	if err != nil {
		return Plenty, named(err, operation, org)
	}
	switch words[0] {
	case "gap":
		return Plenty, ErrGap
	case "repeated":
		return Plenty, nil
	}
	n, err := numbers(words, 1)
	if err != nil {
		return Plenty, named(err, operation, org)
	}
	return Level(n[0]), nil
}

// SetThreshold sets below how many millicredits, available and held, an account
// is low. It returns the level that the account fell to by that. An account that
// the gate does not have is no error: a load brings the threshold.
func (g *Gate) SetThreshold(ctx context.Context, org string, threshold int64) (Level, error) {
	fell, err := g.numbered(ctx, thresholdScript, "threshold of", org, threshold)
	if err == ErrMissing { //nolint:errorlint // run returns it as it is
		err = nil
	}
	return fell, err
}

// Snapshot is an account as SQL has it. Amounts are millicredits.
type Snapshot struct {
	Org                                 string
	Epoch, Generation, Grant            int64
	Granted, Captured, Expired, Revoked int64
	Threshold                           int64
	Level                               Level // that SQL last knew
	// Lots are what is left, each with its Free. One that has expired is closing:
	// only holds opened before it expired may use it.
	Lots   []Lot
	Scopes map[string]int64 // charged to each scope that may still be charged
}

// Load puts the account into the gate, unless the gate has this generation or
// a later one. All holds of older generations cease to count. It returns the
// level that the account fell to by that.
func (g *Gate) Load(ctx context.Context, s Snapshot) (Level, error) {
	args := []any{s.Generation, s.Grant, s.Granted, s.Captured, s.Expired, s.Revoked, s.Threshold, int64(s.Level), len(s.Lots)}
	for _, lot := range s.Lots {
		args = append(args, lot.ID, int64(lot.Class), lot.Expires, lot.Free)
	}
	for name, charged := range s.Scopes {
		args = append(args, name, charged)
	}
	g.SetEpoch(s.Epoch)
	// Not the gate's epoch, which may have moved on since SQL was read.
	words, err := g.answer(ctx, &call{script: loadScript, keys: []string{accountKey(s.Org), scopesKey(s.Org)}, args: append(g.common(s.Epoch), args...)})
	if err != nil {
		return Plenty, named(err, "load", s.Org)
	}
	if words[0] == "newer" {
		return Plenty, nil
	}
	n, err := numbers(words, 1)
	if err != nil {
		return Plenty, named(err, "load", s.Org)
	}
	return Level(n[0]), nil
}
