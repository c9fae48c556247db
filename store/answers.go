package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Answer is a charged answer that may be reused.
type Answer struct {
	Question   lookup.Question
	Result     json.RawMessage
	Provider   string
	AnsweredAt time.Time
}

// answersAStatement is how many answers one statement finds or writes: those of
// a chunk, as a rule.
const answersAStatement = 2000

// FindAnswers returns what the organization was already charged for, among the
// questions, if answered at or after since.
func (d *DB) FindAnswers(ctx context.Context, org string, questions []lookup.Question, since time.Time) (map[lookup.Question]Answer, error) {
	found := map[lookup.Question]Answer{}
	for part := range slices.Chunk(questions, answersAStatement) {
		rows, err := d.dialect.findAnswers(ctx, d, org, part, millis(since))
		if err == nil {
			err = scanAnswers(rows, found)
		}
		if err != nil {
			return nil, fmt.Errorf("store: answers: %w", err)
		}
	}
	return found, nil
}

func scanAnswers(rows *sql.Rows, into map[lookup.Question]Answer) error {
	defer rows.Close()
	for rows.Next() {
		var a Answer
		var at int64
		var question string
		var result []byte
		if err := rows.Scan(&question, &result, &a.Provider, &at); err != nil {
			return err
		}
		var err error
		if a.Question, err = lookup.ParseQuestion(question); err != nil {
			return err
		}
		a.Result, a.AnsweredAt = result, fromMillis(at)
		into[a.Question] = a
	}
	return rows.Err()
}

// PutAnswers records charged answers and returns the questions that are new:
// only these may be charged. An answer from before since is replaced and counts
// as new. Rows are written in sorted order, so that two writers cannot deadlock.
func PutAnswers(ctx context.Context, tx *Tx, org string, answers []Answer, since, now time.Time) (map[lookup.Question]bool, error) {
	sorted := slices.SortedStableFunc(slices.Values(answers), func(a, b Answer) int { return bytes.Compare(a.Question[:], b.Question[:]) })
	sorted = slices.CompactFunc(sorted, func(a, b Answer) bool { return a.Question == b.Question })
	fresh := make(map[lookup.Question]bool, len(sorted))
	for part := range slices.Chunk(sorted, answersAStatement) {
		for _, a := range part {
			fresh[a.Question] = true
		}
		standing, err := tx.dialect.putAnswers(ctx, tx, org, part, millis(since), millis(now))
		if err != nil {
			return nil, err
		}
		for _, question := range standing {
			delete(fresh, question)
		}
	}
	return fresh, nil
}

// questions reads a query's only column.
func questions(rows *sql.Rows, err error) ([]lookup.Question, error) {
	list, err := texts(rows, err)
	if err != nil {
		return nil, err
	}
	read := make([]lookup.Question, len(list))
	for i, text := range list {
		if read[i], err = lookup.ParseQuestion(text); err != nil {
			return nil, err
		}
	}
	return read, nil
}

// PutLookup stores the answer to a single lookup.
func PutLookup(ctx context.Context, tx *Tx, id, org string, service lookup.Service, row lookup.Row, now time.Time) error {
	body, err := json.Marshal(row)
	if err != nil {
		return err
	}
	return exec(ctx, tx, 1, `INSERT INTO lookups (id, org, service, body, created_at) VALUES (?, ?, ?, ?, ?)`, id, org, service, body, millis(now))
}

// GetLookup returns the answer to a single lookup, or [ErrNotFound] if it has
// none yet.
func GetLookup(ctx context.Context, q Queryer, org, id string) (lookup.Row, error) {
	var body []byte
	if err := q.QueryRowContext(ctx, `SELECT body FROM lookups WHERE id = ? AND org = ?`, id, org).Scan(&body); err != nil {
		return lookup.Row{}, fmt.Errorf("store: lookup: %w", notFound(err))
	}
	var row lookup.Row
	if err := json.Unmarshal(body, &row); err != nil {
		return lookup.Row{}, fmt.Errorf("store: lookup: %w", err)
	}
	return row, nil
}
