package teststore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/store"
)

// SQLite returns an empty database in a file, closed with the test.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	return opened(t, db, err)
}

// Postgres returns an empty database of a PostgreSQL server, closed with the
// test. Where no PostgreSQL is installed the test is skipped, or fails if the
// environment has REQUIRE_SERVICES=1.
func Postgres(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.OpenPostgres(t.Context(), PostgresURL(t))
	return opened(t, db, err)
}

func opened(t testing.TB, db *store.DB, err error) *store.DB {
	t.Helper()
	if err != nil {
		t.Fatalf("teststore: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("teststore: close the database: %v", err)
		}
	})
	return db
}

// Each runs test twice, in parallel: as the subtest "sqlite" and as "postgres".
func Each(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, SQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, Postgres(t))
	})
}

// Both runs test twice, in parallel: as the subtest "embedded" on miniredis and
// SQLite, and as "servers" on a real Redis and PostgreSQL.
func Both(t *testing.T, test func(t *testing.T, rdb *redis.Client, db *store.DB)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, testredis.Mini(t), SQLite(t))
	})
	t.Run("servers", func(t *testing.T) {
		t.Parallel()
		test(t, testredis.Real(t), Postgres(t))
	})
}

// missing skips a test that needs PostgreSQL, or fails it where everything has
// to run.
func missing(t testing.TB) {
	t.Helper()
	const remedy = "there are no PostgreSQL server programs; install them (Debian: apt-get install postgresql)"
	if os.Getenv("REQUIRE_SERVICES") == "1" {
		t.Fatal("teststore: REQUIRE_SERVICES=1, but " + remedy)
	}
	t.Skip("teststore: " + remedy)
}
