package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Ticket is a question that an asynchronous provider has taken on for an
// organization, and what the provider calls it.
type Ticket struct {
	Question lookup.Question
	Provider string
	ID       string
	At       time.Time
}

// FindTickets returns the tickets of the questions that were given out at or
// after since.
func (d *DB) FindTickets(ctx context.Context, org string, questions []lookup.Question, since time.Time) (map[lookup.Question][]Ticket, error) {
	found := map[lookup.Question][]Ticket{}
	for part := range slices.Chunk(questions, rowsAStatement) {
		if err := d.findTickets(ctx, org, part, since, found); err != nil {
			return nil, fmt.Errorf("store: tickets: %w", err)
		}
	}
	return found, nil
}

func (d *DB) findTickets(ctx context.Context, org string, questions []lookup.Question, since time.Time, into map[lookup.Question][]Ticket) error {
	args := []any{org, millis(since)}
	for _, question := range questions {
		args = append(args, question.String())
	}
	rows, err := d.QueryContext(ctx, `SELECT question, provider, ticket, asked_at FROM tickets
		WHERE org = ? AND asked_at >= ? AND question IN `+values(1, len(questions)), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var t Ticket
		var question string
		var at int64
		if err := rows.Scan(&question, &t.Provider, &t.ID, &at); err != nil {
			return err
		}
		if t.Question, err = lookup.ParseQuestion(question); err != nil {
			return err
		}
		t.At = fromMillis(at)
		into[t.Question] = append(into[t.Question], t)
	}
	return rows.Err()
}

// FindTickets is [DB.FindTickets].
func (t *Tenant) FindTickets(ctx context.Context, questions []lookup.Question, since time.Time) (found map[lookup.Question][]Ticket, err error) {
	err = t.read(ctx, func(d *DB) error {
		found, err = d.FindTickets(ctx, t.org, questions, since)
		return err
	})
	return found, err
}

// ReplaceTickets makes the given tickets the only ones of each question; none
// forgets the question's. Rows are written in sorted order, so that two writers
// cannot deadlock.
func ReplaceTickets(ctx context.Context, tx *Tx, org string, tickets map[lookup.Question][]Ticket) error {
	sorted := make([]lookup.Question, 0, len(tickets))
	for question := range tickets {
		sorted = append(sorted, question)
	}
	slices.SortFunc(sorted, func(a, b lookup.Question) int { return bytes.Compare(a[:], b[:]) })
	for _, question := range sorted {
		if err := exec(ctx, tx, -1, `DELETE FROM tickets WHERE org = ? AND question = ?`, org, question.String()); err != nil {
			return err
		}
		for _, t := range tickets[question] {
			err := exec(ctx, tx, -1, `INSERT INTO tickets (org, question, provider, ticket, asked_at) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (org, question, provider) DO UPDATE SET ticket = excluded.ticket, asked_at = excluded.asked_at`,
				org, question.String(), t.Provider, t.ID, millis(t.At))
			if err != nil {
				return err
			}
		}
	}
	return nil
}
