package books

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/magpie-hq/magpie/store"
)

// servers are the Redis servers that this process has met.
type servers struct {
	mu    sync.Mutex
	known map[string]bool
}

// Meet is called with the name of the Redis behind each new connection, before
// the connection is used. The name must be another after a restart and after a
// promotion. A server that SQL does not know may be a replica that
// lagged when it was promoted, or the same server without what it had written
// last: a hold and its settle may be lost together, and nobody would ask for
// them. So it ends the epoch: every account of before counts as missing.
func (b *Books) Meet(ctx context.Context, server string) error {
	b.met.mu.Lock()
	defer b.met.mu.Unlock() // connections made meanwhile wait for the epoch too
	if b.met.known[server] {
		return nil
	}
	var epoch int64
	fresh := false
	err := b.db.Write(ctx, func(tx *store.Tx) error {
		var one int
		err := tx.QueryRowContext(ctx, `INSERT INTO redis_servers (run_id, met_at) VALUES (?, ?) ON CONFLICT (run_id) DO NOTHING RETURNING 1`,
			server, b.now().UnixMilli()).Scan(&one)
		if fresh = err == nil; fresh {
			_, err = tx.ExecContext(ctx, `UPDATE fleet SET epoch = epoch + 1`)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT epoch FROM fleet`).Scan(&epoch)
	})
	if err != nil {
		return fmt.Errorf("books: meet a Redis: %w", err)
	}
	b.gate.SetEpoch(epoch)
	if b.met.known == nil {
		b.met.known = map[string]bool{}
	}
	b.met.known[server] = true
	if fresh {
		b.log.InfoContext(ctx, "a Redis that was not known: accounts are loaded anew", "epoch", epoch)
	}
	return nil
}
