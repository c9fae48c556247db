package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
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

// FindAnswers returns what the organization was already charged for, among the
// questions, if answered at or after since.
func (d *DB) FindAnswers(ctx context.Context, org string, questions []lookup.Question, since time.Time) (map[lookup.Question]Answer, error) {
	found := map[lookup.Question]Answer{}
	for part := range slices.Chunk(questions, rowsAStatement) {
		byText := make(map[string]lookup.Question, len(part))
		for _, question := range part {
			byText[question.String()] = question
		}
		rows, err := d.dialect.findAnswers(ctx, d, org, slices.Collect(maps.Keys(byText)), millis(since))
		if err != nil {
			return nil, fmt.Errorf("store: answers: %w", err)
		}
		if err := scanAnswers(rows, byText, found); err != nil {
			return nil, fmt.Errorf("store: answers: %w", err)
		}
	}
	return found, nil
}

func scanAnswers(rows *sql.Rows, byText map[string]lookup.Question, into map[lookup.Question]Answer) error {
	defer rows.Close()
	for rows.Next() {
		var text string
		var a Answer
		var at int64
		var result []byte
		if err := rows.Scan(&text, &result, &a.Provider, &at); err != nil {
			return err
		}
		a.Question, a.Result, a.AnsweredAt = byText[text], result, fromMillis(at)
		into[a.Question] = a
	}
	return rows.Err()
}

// PutAnswers records charged answers and returns the questions that are new:
// only these may be charged. An answer from before since is replaced and counts
// as new. Rows are written in sorted order, so that two writers cannot deadlock.
func PutAnswers(ctx context.Context, tx *Tx, org string, answers []Answer, since, now time.Time) (map[lookup.Question]bool, error) {
	byText := make(map[string]Answer, len(answers))
	for _, a := range answers {
		byText[a.Question.String()] = a
	}
	fresh := make(map[lookup.Question]bool, len(byText))
	for part := range slices.Chunk(slices.Sorted(maps.Keys(byText)), rowsAStatement) {
		args := make([]any, 0, 5*len(part)+1)
		for _, text := range part {
			a := byText[text]
			args = append(args, org, text, []byte(a.Result), a.Provider, millis(now))
		}
		rows, err := tx.QueryContext(ctx, `INSERT INTO answers (org, question, result, provider, answered_at) VALUES `+values(len(part), 5)+`
			ON CONFLICT (org, question) DO UPDATE SET result = excluded.result, provider = excluded.provider, answered_at = excluded.answered_at
			WHERE answers.answered_at < ? RETURNING question`, append(args, millis(since))...)
		if err != nil {
			return nil, err
		}
		if err := scanFresh(rows, byText, fresh); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

func scanFresh(rows *sql.Rows, byText map[string]Answer, fresh map[lookup.Question]bool) error {
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		fresh[byText[text].Question] = true
	}
	return rows.Err()
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
