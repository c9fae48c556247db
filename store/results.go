package store

import (
	"context"
	"fmt"
	"slices"
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
// Each chunk is a read of its own, so that a slow fn holds no transaction open.
func EachResult(ctx context.Context, from Reader, b Batch, outcome lookup.Outcome, fn func(ResultRow) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	read := make(chan chunkResults, 1) // the next is read while one is written
	reader.Go(func() {
		defer close(read)
		for number := range b.Chunks {
			var next chunkResults
			next.err = from.Read(ctx, func(q Queryer) error {
				next = readResults(ctx, q, b.ID, number)
				return next.err
			})
			select {
			case read <- next:
			case <-ctx.Done():
			}
			if next.err != nil || ctx.Err() != nil {
				return
			}
		}
	})
	keys := objectKeys(b.Columns)
	for next := range read {
		if next.err != nil {
			return next.err
		}
		if err := next.each(b, keys, outcome, fn); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// chunkResults is a chunk with the answers of its rows that repeat others.
type chunkResults struct {
	chunk   Chunk
	repeats map[int64]RowAnswer
	err     error
}

func readResults(ctx context.Context, q Queryer, batch string, number int64) (r chunkResults) {
	if r.chunk, r.err = readChunk(ctx, q, batch, number, false); r.err == nil {
		r.repeats, r.err = duplicateAnswers(ctx, q, batch, r.chunk)
	}
	return r
}

func (r chunkResults) each(b Batch, keys [][]byte, outcome lookup.Outcome, fn func(ResultRow) error) error {
	numbers := make([]int64, len(r.chunk.Input))
	var inputs []byte // of all rows, in one piece
	for i := range r.chunk.Input {
		numbers[i] = r.chunk.First + int64(i)
		row, answered := r.chunk.result(i, &numbers[i], r.repeats)
		if !answered && b.Status != Cancelled || outcome != "" && (row.Outcome == nil || *row.Outcome != outcome) {
			continue
		}
		if keys != nil {
			first := len(inputs)
			inputs = appendObject(inputs, keys, row.Cells)
			row.Input = inputs[first:len(inputs):len(inputs)]
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	return nil
}

// result puts input and answer of the chunk's row i together, which is row
// number of the batch. repeats holds the answers of duplicate rows by the
// batch's row.
func (c Chunk) result(i int, number *int64, repeats map[int64]RowAnswer) (row ResultRow, answered bool) {
	input := c.Input[i]
	row.Row.Row, row.RowID, row.Input, row.Cells = number, lookup.OptionalText(input.RowID), input.Object, input.Cells
	if input.Error != nil {
		row.Outcome, row.Error = new(lookup.InvalidInput), input.Error
		return row, true
	}
	answer := &c.Answers[i]
	if input.DuplicateOf > 0 {
		row.DuplicateOf = new(input.DuplicateOf - 1)
		repeat := repeats[*number]
		answer = &repeat
	}
	if answer.Outcome == "" {
		return row, false
	}
	row.Outcome, row.Result, row.Provider = &answer.Outcome, answer.Result, lookup.OptionalText(answer.Provider)
	row.Credits, row.Reused, row.Error = answer.Credits, answer.Reused, answer.Error
	return row, true
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
		if err := rows.Scan(&row, &body); err != nil {
			return nil, fmt.Errorf("store: duplicates: %w", err)
		}
		var answer [1]RowAnswer
		if err := decodeAnswers(body, answer[:]); err != nil {
			return nil, fmt.Errorf("store: row %d of %s, a duplicate: %w", row, batch, err)
		}
		answers[row] = answer[0]
	}
	return answers, rows.Err()
}

// objectKeys are the columns as keys of a JSON object. Where a name occurs twice
// the first counts, as it does for the mapping; the others have no key.
func objectKeys(columns []string) [][]byte {
	if columns == nil {
		return nil
	}
	keys := make([][]byte, len(columns))
	for i, column := range columns {
		if slices.Index(columns, column) == i {
			keys[i] = append(lookup.AppendJSONText(nil, column), ':')
		}
	}
	return keys
}

// appendObject appends the cells by their columns' names, in the file's order.
func appendObject(b []byte, keys [][]byte, cells []string) []byte {
	b = append(b, '{')
	first := len(b)
	for i, key := range keys[:min(len(keys), len(cells))] {
		if key == nil {
			continue
		}
		if len(b) > first {
			b = append(b, ',')
		}
		b = lookup.AppendJSONText(append(b, key...), cells[i])
	}
	return append(b, '}')
}
