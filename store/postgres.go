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

	"github.com/magpie-hq/magpie/lookup"
)

//go:embed migrations/postgres/*.sql
var postgresMigrations embed.FS

// How many connections a process has at most: for itself, where more would not
// commit faster, and for what organizations ask of it. A fleet shares the
// server's limit.
const (
	systemConnections = 16
	tenantConnections = 8
)

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
	system, tenants := openPool(config, everybody, systemConnections), openPool(config, nobody, tenantConnections)
	db := &DB{read: system, write: system, tenants: tenants, pools: []*sql.DB{system, tenants}, groups: &groups{}, dialect: &dialect{
		bind:       numberParameters(),
		unique:     uniqueInPostgres,
		retry:      retryInPostgres,
		forUpdate:  " FOR UPDATE",
		recall:     recallInPostgres,
		putAnswers: putAnswersInPostgres,
	}}
	if err := db.migratePostgres(ctx, system); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// recallInPostgres looks once into each index a question, and into that of trails
// only if the organization has any: they are of open rows, and most have none. With
// IN, a table that was not analysed yet is read from end to end for every chunk.
func recallInPostgres(ctx context.Context, q Queryer, org string, questions []lookup.Question, answered, asked int64) (*sql.Rows, error) {
	wanted := make([][16]byte, len(questions))
	for i, question := range questions {
		wanted[i] = question
	}
	return q.QueryContext(ctx, `SELECT k.question, k.result, k.provider, k.at, k.ticket, k.missed, k.lost, k.spent, k.took
		FROM unnest(?::uuid[]) AS q (question) CROSS JOIN LATERAL (
		(SELECT question, result, provider, answered_at, NULL::text, FALSE, 0, 0::bigint, 0::bigint FROM answers
			WHERE org = ? AND question = q.question AND answered_at >= ? LIMIT 1)
		UNION ALL
		SELECT question, NULL, provider, asked_at, ticket, missed, lost, spent, took FROM trails
			WHERE org = ? AND question = q.question AND asked_at >= ? AND (SELECT EXISTS (SELECT FROM trails WHERE org = ? AND asked_at >= ?))
		) k (question, result, provider, at, ticket, missed, lost, spent, took)`, wanted, org, answered, org, asked, org, asked)
}

// putAnswersInPostgres sends columns rather than rows: thousands of parameters
// cost more to read and to plan than the rows to insert.
func putAnswersInPostgres(ctx context.Context, tx *Tx, org string, answers []Answer, since, at int64) ([]lookup.Question, error) {
	asked, results, providers := make([][16]byte, len(answers)), make([][]byte, len(answers)), make([]string, len(answers))
	for i, a := range answers {
		asked[i], results[i], providers[i] = a.Question, a.Result, a.Provider
	}
	return questions(tx.QueryContext(ctx, `WITH given AS MATERIALIZED (SELECT question, result, provider FROM unnest(?::uuid[], ?::bytea[], ?::text[]) AS g (question, result, provider)),
		written AS (INSERT INTO answers (org, question, result, provider, answered_at) SELECT ?, question, result, provider, ? FROM given
			ON CONFLICT (org, question) DO UPDATE SET result = excluded.result, provider = excluded.provider, answered_at = excluded.answered_at
			WHERE answers.answered_at < ? RETURNING question)
		SELECT question FROM given WHERE question NOT IN (SELECT question FROM written)`, asked, results, providers, org, at, since))
}

// openPool opens connections that begin by saying whose they are. They say it in
// a statement: a pooler in between would not pass on an unknown parameter.
func openPool(config *pgx.ConnConfig, org string, connections int) *sql.DB {
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT set_config('magpie.org', $1, false)`, pgx.QueryExecModeExec, org)
		return err
	}))
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool
}

func (d *DB) migratePostgres(ctx context.Context, pool *sql.DB) error {
	const again, tries = 1, 300 // seconds: a process that waits for another's migration is not long behind it
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(again, tries))
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
