package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/magpie-hq/magpie/lookup"
)

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

// OpenSQLite opens the database in the file, creating and migrating it as
// needed. Every commit is on disk when it returns.
func OpenSQLite(ctx context.Context, file string) (*DB, error) {
	pragmas := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)",
	}}
	open := func(connections int, options url.Values) (*sql.DB, error) {
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+options.Encode())
		if err != nil {
			return nil, fmt.Errorf("store: open %s: %w", file, err)
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		return db, nil
	}
	read, err := open(4, pragmas)
	if err != nil {
		return nil, err
	}
	// SQLite has one writer at a time: one connection queues them in turn, and
	// taking the lock at the start leaves no upgrade that could deadlock.
	pragmas.Set("_txlock", "immediate")
	write, err := open(1, pragmas)
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	db := &DB{read: read, write: write, pools: []*sql.DB{write, read}, groups: &groups{}, dialect: &dialect{
		bind:       func(query string) string { return query },
		unique:     uniqueInSQLite,
		retry:      func(error) bool { return false }, // one writer, who waits for the lock
		recall:     recallInSQLite,
		putAnswers: putAnswersInSQLite,
	}}
	if err := migrate(ctx, write, goose.DialectSQLite3, sqliteMigrations, "migrations/sqlite"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func recallInSQLite(ctx context.Context, q Queryer, org string, questions []lookup.Question, answered, asked int64) (*sql.Rows, error) {
	wanted := make([]any, len(questions))
	for i, question := range questions {
		wanted[i] = question.String()
	}
	args := slices.Concat([]any{org, answered}, wanted, []any{org, asked}, wanted)
	return q.QueryContext(ctx, `SELECT question, result, provider, answered_at, NULL, FALSE, 0, 0, 0 FROM answers
			WHERE org = ? AND answered_at >= ? AND question IN `+values(1, len(questions))+`
		UNION ALL
		SELECT question, NULL, provider, asked_at, ticket, missed, lost, spent, took FROM trails
			WHERE org = ? AND asked_at >= ? AND question IN `+values(1, len(questions)), args...)
}

func putAnswersInSQLite(ctx context.Context, tx *Tx, org string, answers []Answer, since, at int64) ([]lookup.Question, error) {
	args := make([]any, 0, 5*len(answers)+1)
	for _, a := range answers {
		args = append(args, org, a.Question.String(), []byte(a.Result), a.Provider, at)
	}
	written, err := questions(tx.QueryContext(ctx, `INSERT INTO answers (org, question, result, provider, answered_at) VALUES `+values(len(answers), 5)+`
		ON CONFLICT (org, question) DO UPDATE SET result = excluded.result, provider = excluded.provider, answered_at = excluded.answered_at
		WHERE answers.answered_at < ? RETURNING question`, append(args, since)...))
	var standing []lookup.Question
	if len(written) < len(answers) {
		for _, a := range answers {
			if !slices.Contains(written, a.Question) {
				standing = append(standing, a.Question)
			}
		}
	}
	return standing, err
}

func uniqueInSQLite(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY)
}
