package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/magpie-hq/magpie/lookup"
)

// ResultRow is one row of a batch as a download shows it.
type ResultRow struct {
	lookup.Row
	// Cells are the columns as given, aligned with Batch.Columns; nil where the
	// batch's rows are objects.
	Cells []string
}

// EachResult calls fn with the batch's rows in the order given, holding no more
// than a few chunks. Rows that are still open are left out while the batch may
// go on; in a cancelled one they have no outcome. An empty outcome chooses all.
func EachResult(ctx context.Context, q Queryer, b Batch, outcome lookup.Outcome, fn func(ResultRow) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	read := make(chan readChunk, 1) // the next is read while one is written
	reader.Go(func() {
		defer close(read)
		for number := range b.Chunks {
			next := readResults(ctx, q, b.ID, number)
			select {
			case read <- next:
			case <-ctx.Done():
			}
			if next.err != nil || ctx.Err() != nil {
				return
			}
		}
	})
	for next := range read {
		if next.err != nil {
			return next.err
		}
		if err := next.each(b, outcome, fn); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// readChunk is a chunk with the answers of its rows that repeat others.
type readChunk struct {
	chunk   Chunk
	repeats map[int64]RowAnswer
	err     error
}

func readResults(ctx context.Context, q Queryer, batch string, number int64) (r readChunk) {
	if r.chunk, r.err = GetChunk(ctx, q, batch, number); r.err == nil {
		r.repeats, r.err = duplicateAnswers(ctx, q, batch, r.chunk)
	}
	return r
}

func (r readChunk) each(b Batch, outcome lookup.Outcome, fn func(ResultRow) error) error {
	for i := range r.chunk.Input {
		row, answered := r.chunk.result(int64(i), r.repeats, b.Columns)
		if !answered && b.Status != Cancelled || outcome != "" && (row.Outcome == nil || *row.Outcome != outcome) {
			continue
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	return nil
}

// result puts input and answer of the chunk's row i together. repeats holds the
// answers of duplicate rows by the batch's row.
func (c Chunk) result(i int64, repeats map[int64]RowAnswer, columns []string) (row ResultRow, answered bool) {
	input, number := c.Input[i], c.First+i
	row.Row.Row, row.RowID, row.Input, row.Cells = &number, lookup.OptionalText(input.RowID), input.Object, input.Cells
	if columns != nil {
		row.Input = cellsAsObject(columns, input.Cells)
	}
	if input.Error != nil {
		row.Outcome, row.Error = new(lookup.InvalidInput), input.Error
		return row, true
	}
	answer, answered := c.Answers[i]
	if input.DuplicateOf > 0 {
		original := input.DuplicateOf - 1
		row.DuplicateOf = &original
		answer, answered = repeats[number]
	}
	if answered {
		row.Outcome, row.Result, row.Provider = new(answer.Outcome), answer.Result, lookup.OptionalText(answer.Provider)
		row.Credits, row.Reused, row.Error = answer.Credits, answer.Reused, answer.Error
	}
	return row, answered
}

func duplicateAnswers(ctx context.Context, q Queryer, batch string, c Chunk) (map[int64]RowAnswer, error) {
	answers := map[int64]RowAnswer{}
	rows, err := q.QueryContext(ctx, `SELECT row, body FROM duplicates WHERE batch = ? AND row BETWEEN ? AND ? AND body IS NOT NULL`,
		batch, c.First, c.First+int64(len(c.Input))-1)
	if err != nil {
		return nil, fmt.Errorf("store: duplicates: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var row int64
		var body []byte
		var answer RowAnswer
		if err := rows.Scan(&row, &body); err != nil {
			return nil, fmt.Errorf("store: duplicates: %w", err)
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return nil, fmt.Errorf("store: duplicates: %w", err)
		}
		answers[row] = answer
	}
	return answers, rows.Err()
}

// cellsAsObject writes the cells by their columns' names, in the file's order.
// Where a name occurs twice the first counts, as it does for the mapping.
func cellsAsObject(columns, cells []string) json.RawMessage {
	var b bytes.Buffer
	seen := make(map[string]bool, len(columns))
	b.WriteByte('{')
	for i, column := range columns {
		if i >= len(cells) {
			break
		}
		if seen[column] {
			continue
		}
		seen[column] = true
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		writeString(&b, column)
		b.WriteByte(':')
		writeString(&b, cells[i])
	}
	b.WriteByte('}')
	return b.Bytes()
}

func writeString(b *bytes.Buffer, s string) {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	b.Write(text)
}
