package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/postgres/*.sql
var postgresMigrations embed.FS

// postgresConnections bounds a process's connections. More would not commit
// faster, and a fleet shares the server's limit.
const postgresConnections = 16

// OpenPostgres opens the database at a URL such as
// postgres://magpie:secret@host/magpie and migrates it; of several processes
// that start together one migrates and the others wait. Errors never contain
// the password.
func OpenPostgres(ctx context.Context, url string) (*DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// pgx's own text repeats what it could not read.
		return nil, errors.New("store: the database's URL cannot be read; want postgres://user:password@host:5432/name")
	}
	// A process that vanishes in mid-transaction must not keep its rows locked,
	// and nobody waits for a lock for ever.
	maps.Copy(config.RuntimeParams, map[string]string{
		"idle_in_transaction_session_timeout": "10s", "lock_timeout": "10s", "statement_timeout": "60s",
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	})
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(postgresConnections)
	pool.SetMaxIdleConns(postgresConnections)
	db := &DB{read: pool, write: pool, dialect: &dialect{
		bind:      numberParameters(),
		unique:    uniqueInPostgres,
		retry:     retryInPostgres,
		forUpdate: " FOR UPDATE",
		// One look into the index a question. With IN, a table that was not
		// analysed yet is read from end to end for every chunk.
		findAnswers: func(ctx context.Context, q Queryer, org string, questions []string, since int64) (*sql.Rows, error) {
			return q.QueryContext(ctx, `SELECT a.question, a.result, a.provider, a.answered_at FROM (VALUES `+values(len(questions), 1)+`) AS q (question)
				CROSS JOIN LATERAL (SELECT question, result, provider, answered_at FROM answers
					WHERE org = ? AND question = q.question::uuid AND answered_at >= ? LIMIT 1) a`, append(anys(questions), org, since)...)
		},
	}}
	if err := db.migratePostgres(ctx, pool); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (d *DB) migratePostgres(ctx context.Context, pool *sql.DB) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	return migrate(ctx, pool, goose.DialectPostgres, postgresMigrations, "migrations/postgres", goose.WithSessionLocker(locker))
}

// retryInPostgres: a deadlock, a serialization failure, a lock not got in time.
func retryInPostgres(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"40P01", "40001", "55P03"}, e.Code)
}

func uniqueInPostgres(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505"
}

// numberParameters returns a function that writes the parameters of a query as
// $1, $2, ... and remembers the queries it has seen. No query of ours has a
// question mark elsewhere.
func numberParameters() func(query string) string {
	var seen sync.Map
	return func(query string) string {
		if known, ok := seen.Load(query); ok {
			return known.(string) //nolint:forcetypeassert // only strings are stored
		}
		var b strings.Builder
		parts := strings.Split(query, "?")
		for i, part := range parts[:len(parts)-1] {
			b.WriteString(part + "$" + strconv.Itoa(i+1))
		}
		b.WriteString(parts[len(parts)-1])
		seen.Store(query, b.String())
		return b.String()
	}
}
