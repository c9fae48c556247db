package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// migrate brings the schema to the newest version that this program knows. It
// refuses a schema that is newer: an older program would misread it.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, files fs.FS, dir string, options ...goose.ProviderOption) error {
	files, err := fs.Sub(files, dir)
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, db, files, options...)
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("store: migrate: %w", err)
	}
	version, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("store: version of the schema: %w", err)
	}
	sources := provider.ListSources()
	if newest := sources[len(sources)-1].Version; version > newest {
		return fmt.Errorf("store: the schema is at version %d, this program knows %d: run the program that made it, or a newer one", version, newest)
	}
	return nil
}
