package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Snapshot runs fn on the database as it is at one moment: what others commit
// meanwhile is not seen. It reads only.
func (d *DB) Snapshot(ctx context.Context, fn func(q Queryer) error) error {
	// In SQLite a transaction is one anyway, and the driver knows no levels.
	options := &sql.TxOptions{ReadOnly: true}
	if d.dialect.forUpdate != "" {
		options.Isolation = sql.LevelRepeatableRead
	}
	pool, ok := d.read.(*sql.DB)
	if !ok {
		return errors.New("store: a tenant's reads are a transaction already")
	}
	tx, err := pool.BeginTx(ctx, options)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	defer tx.Rollback()
	return fn(&Tx{tx, d.dialect})
}
