package books

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// Event is that an account fell to a level.
type Event struct {
	ID, Org string
	Kind    string // [CreditsLow] or [CreditsExhausted]
	At      time.Time
}

// Kinds of events.
const (
	CreditsLow       = "credits.low"       // available and held are below the threshold
	CreditsExhausted = "credits.exhausted" // and are not enough for one more unit
)

var kinds = map[ledger.Level]string{ledger.Low: CreditsLow, ledger.Exhausted: CreditsExhausted}

// Watcher is told of accounts that run low, once a crossing. The event is
// written with the level that SQL remembers, so that no process that dies, and
// nothing that Redis loses, takes it along: the sweeper tells what was not told.
type Watcher interface {
	// Fell is called inside the transaction that notes that the event was told.
	// What it writes there is written once; what else it does may be done again,
	// if that transaction is lost. It must not block.
	Fell(ctx context.Context, tx *store.Tx, e Event) error
}

type silent struct{}

func (silent) Fell(context.Context, *store.Tx, Event) error { return nil }

// fell records that an account fell to a level and tells of each it passed.
func (b *Books) fell(ctx context.Context, org string, to ledger.Level) {
	for level := ledger.Low; level <= to; level++ {
		id, err := b.mark(ctx, org, level)
		if err == nil && id != "" {
			err = b.tell(ctx, id)
		}
		if err != nil { // the sweeper sees the difference, or the event
			b.log.WarnContext(ctx, "an account runs low; that is told later", "org", org, "err", err)
			return
		}
	}
}

// mark records that an account fell to a level, with the event's id; "" if it was
// as low before.
func (b *Books) mark(ctx context.Context, org string, level ledger.Level) (id string, err error) {
	query := `UPDATE accounts SET level = ? WHERE org = ? AND level < ?`
	if level == ledger.Low {
		query += ` AND threshold > 0`
	}
	now := b.now()
	err = b.db.Write(ctx, func(tx *store.Tx) error {
		id = ""
		n, err := affected(tx.ExecContext(ctx, query, level, org, level))
		if err != nil || n == 0 {
			return err
		}
		id = store.NewID("evt", now)
		_, err = tx.ExecContext(ctx, `INSERT INTO events (id, org, kind, created_at, told_at) VALUES (?, ?, ?, ?, 0)`, id, org, kinds[level], now.UnixMilli())
		return err
	})
	return id, err
}

// tell tells of an event, unless another process has told of it.
func (b *Books) tell(ctx context.Context, id string) error {
	e := Event{ID: id}
	told := false
	err := b.db.Write(ctx, func(tx *store.Tx) error {
		var at int64
		err := tx.QueryRowContext(ctx, `UPDATE events SET told_at = ? WHERE id = ? AND told_at = 0 RETURNING org, kind, created_at`,
			b.now().UnixMilli(), id).Scan(&e.Org, &e.Kind, &at)
		if told = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		e.At = time.UnixMilli(at).UTC()
		return b.watcher.Fell(ctx, tx, e)
	})
	if err != nil {
		return fmt.Errorf("books: tell of an event: %w", err)
	}
	if told {
		b.metrics.events.WithLabelValues(e.Kind).Inc()
	}
	return nil
}

// tellAll tells of the events that a process marked and did not tell.
func (b *Books) tellAll(ctx context.Context) error {
	ids, err := b.texts(ctx, `SELECT id FROM events WHERE told_at = 0 ORDER BY id LIMIT 100`)
	if err != nil {
		return fmt.Errorf("books: tell of events: %w", err)
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, b.tell(ctx, id))
	}
	return errors.Join(errs...)
}

// rose records that an account is no longer as low as SQL says.
func (b *Books) rose(ctx context.Context, org string, to ledger.Level) error {
	return b.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE accounts SET level = ? WHERE org = ? AND level > ?`, to, org, to)
		return err
	})
}

// SetThreshold sets below how many credits, available and held, an organization
// is low; 0 for never. Errors: [store.ErrNotFound].
func (b *Books) SetThreshold(ctx context.Context, org string, threshold lookup.Credits) error {
	if threshold < 0 || threshold > lookup.MaxCredits {
		return errors.New("books: threshold: want from 0 to " + lookup.MaxCredits.String() + " credits")
	}
	err := b.db.As(org).Write(ctx, func(tx *store.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `UPDATE accounts SET threshold = ?,
			level = CASE WHEN level = 1 AND available * 10 >= ? * 11 THEN 0 ELSE level END WHERE org = ?`, threshold, int64(threshold), org))
		return errors.Join(err, missing(n))
	})
	if err != nil {
		return fmt.Errorf("books: threshold: %w", err)
	}
	fell, err := b.gate.SetThreshold(ctx, org, int64(threshold))
	b.told(ctx, org, fell, err)
	return nil
}
