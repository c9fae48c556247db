package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
func FindAnswers(ctx context.Context, q Queryer, org string, questions []lookup.Question, since time.Time) (map[lookup.Question]Answer, error) {
	found := map[lookup.Question]Answer{}
	const most = 500 // parameters a statement
	for part := range slices.Chunk(questions, most) {
		byText := make(map[string]lookup.Question, len(part))
		args := []any{org, millis(since)}
		for _, question := range part {
			byText[question.String()] = question
			args = append(args, question.String())
		}
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(part)), ", ")
		rows, err := q.QueryContext(ctx, `SELECT question, result, provider, answered_at FROM answers
			WHERE org = ? AND answered_at >= ? AND question IN (`+marks+`)`, args...)
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
	slices.SortFunc(answers, func(a, b Answer) int { return cmp.Compare(a.Question.String(), b.Question.String()) })
	fresh := make(map[lookup.Question]bool, len(answers))
	for _, a := range answers {
		var one int
		err := tx.QueryRowContext(ctx, `INSERT INTO answers (org, question, result, provider, answered_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, question) DO UPDATE SET result = excluded.result, provider = excluded.provider, answered_at = excluded.answered_at
			WHERE answers.answered_at < ? RETURNING 1`,
			org, a.Question.String(), []byte(a.Result), a.Provider, millis(now), millis(since)).Scan(&one)
		switch {
		case err == nil:
			fresh[a.Question] = true
		case !errors.Is(err, sql.ErrNoRows):
			return nil, err
		}
	}
	return fresh, nil
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
