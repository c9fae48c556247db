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

// Known is what is known about questions.
type Known struct {
	Answers map[lookup.Question]Answer  // that were charged
	Trails  map[lookup.Question][]Trace // of those that are open
}

// Since is from when on what is known counts.
type Since struct{ Answers, Trails time.Time }

// Recall returns what is known about an organization's questions.
func (d *DB) Recall(ctx context.Context, org string, questions []lookup.Question, since Since) (Known, error) {
	known := Known{map[lookup.Question]Answer{}, map[lookup.Question][]Trace{}}
	for part := range slices.Chunk(questions, answersAStatement) {
		rows, err := d.dialect.recall(ctx, d, org, part, millis(since.Answers), millis(since.Trails))
		if err == nil {
			err = known.scan(rows)
		}
		if err != nil {
			return Known{}, fmt.Errorf("store: answers: %w", err)
		}
	}
	return known, nil
}

// scan reads what the dialects select: a row with a ticket, be it empty, is of a
// trail, one without of an answer.
func (k Known) scan(rows *sql.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var t Trace
		var at, took int64
		var question string
		var result []byte
		var ticket sql.NullString
		if err := rows.Scan(&question, &result, &t.Provider, &at, &ticket, &t.Missed, &t.Lost, &t.Spent, &took); err != nil {
			return err
		}
		var err error
		if t.Question, err = lookup.ParseQuestion(question); err != nil {
			return err
		}
		t.Ticket, t.At, t.Took = ticket.String, fromMillis(at), time.Duration(took)*time.Millisecond
		if ticket.Valid {
			k.Trails[t.Question] = append(k.Trails[t.Question], t)
			continue
		}
		k.Answers[t.Question] = Answer{Question: t.Question, Result: result, Provider: t.Provider, AnsweredAt: t.At}
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
