package store

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Trace is what one provider has said to a question of an organization's that is
// still open.
type Trace struct {
	Question lookup.Question
	Provider string
	Ticket   string        // of the job that an asynchronous provider works on; "": none
	Missed   bool          // the provider definitely has nothing
	Lost     int           // answers of the provider that never came
	Spent    int64         // on the provider, millionths of the operator's unit
	Took     time.Duration // its calls, in whole milliseconds
	At       time.Time     // of the ticket, or of the last answer that was lost
}

// ReplaceTrails makes the given traces the only ones of each question; none
// forgets the question's. Rows are inserted in sorted order, so that two writers
// cannot deadlock there.
func ReplaceTrails(ctx context.Context, tx *Tx, org string, trails map[lookup.Question][]Trace) error {
	sorted := make([]lookup.Question, 0, len(trails))
	for question := range trails {
		sorted = append(sorted, question)
	}
	slices.SortFunc(sorted, func(a, b lookup.Question) int { return bytes.Compare(a[:], b[:]) })
	var kept []Trace
	for part := range slices.Chunk(sorted, rowsAStatement) {
		args := []any{org}
		for _, question := range part {
			args = append(args, question.String())
			kept = append(kept, trails[question]...)
		}
		if err := exec(ctx, tx, -1, `DELETE FROM trails WHERE org = ? AND question IN `+values(1, len(part)), args...); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(kept, rowsAStatement) {
		var args []any
		for _, t := range part {
			args = append(args, org, t.Question.String(), t.Provider, t.Ticket, t.Missed, t.Lost, t.Spent, t.Took.Milliseconds(), millis(t.At))
		}
		err := exec(ctx, tx, -1, `INSERT INTO trails (org, question, provider, ticket, missed, lost, spent, took, asked_at)
			VALUES `+values(len(part), 9)+` ON CONFLICT (org, question, provider) DO UPDATE SET ticket = excluded.ticket,
			missed = excluded.missed, lost = excluded.lost, spent = excluded.spent, took = excluded.took, asked_at = excluded.asked_at`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}
