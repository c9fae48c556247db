package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Chunk is a run of consecutive rows of a batch, with what is known of them.
type Chunk struct {
	Batch   string
	Number  int64
	Round   int64     // the round it is in now
	First   int64     // the batch's row that its row 0 is
	Open    int64     // rows still to be asked; 0: the chunk is closed
	Deaths  int64     // workers that died while running it
	AskedAt time.Time // when a row was last answered, else first asked; zero: not since it was resumed
	Input   []InputRow
	Answers []RowAnswer // of each row; one without an outcome is open, or a duplicate
}

// GetChunk reads a chunk with the answers of all its rounds.
func GetChunk(ctx context.Context, q Queryer, batch string, number int64) (Chunk, error) {
	return readChunk(ctx, q, batch, number, true)
}

// readChunk reads a chunk, with its rows' queries or without.
func readChunk(ctx context.Context, q Queryer, batch string, number int64, queries bool) (Chunk, error) {
	c := Chunk{Batch: batch, Number: number}
	var asked int64
	var input []byte
	err := q.QueryRowContext(ctx, `SELECT round, first, open, deaths, asked_at, input FROM chunks WHERE batch = ? AND chunk = ?`, batch, number).
		Scan(&c.Round, &c.First, &c.Open, &c.Deaths, &asked, &input)
	if err != nil {
		return Chunk{}, fmt.Errorf("store: chunk: %w", notFound(err))
	}
	c.AskedAt = fromMillis(asked)
	if c.Input, err = decodeInput(input, queries); err != nil {
		return Chunk{}, fmt.Errorf("store: chunk %s:%d: input: %w", batch, number, err)
	}
	c.Answers = make([]RowAnswer, len(c.Input))
	if c.Round == 0 { // nothing was stored before it was read
		return c, nil
	}
	if err := readAnswers(ctx, q, batch, number, c.Answers); err != nil {
		return Chunk{}, fmt.Errorf("store: chunk %s:%d: results: %w", batch, number, err)
	}
	return c, nil
}

// readAnswers reads what all rounds of a chunk have answered, each row's answer
// into its place.
func readAnswers(ctx context.Context, q Queryer, batch string, number int64, into []RowAnswer) error {
	rows, err := q.QueryContext(ctx, `SELECT body FROM results WHERE batch = ? AND chunk = ? ORDER BY round`, batch, number)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return err
		}
		if err := decodeAnswers(body, into); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ChunkState is where a chunk stands.
type ChunkState struct {
	Round  int64
	Open   int64
	Status Status // of its batch
}

// GetChunkState reads where a chunk stands, without its rows.
func GetChunkState(ctx context.Context, q Queryer, batch string, number int64) (ChunkState, error) {
	var s ChunkState
	err := q.QueryRowContext(ctx, `SELECT c.round, c.open, b.status FROM chunks c JOIN batches b ON b.id = c.batch WHERE c.batch = ? AND c.chunk = ?`, batch, number).
		Scan(&s.Round, &s.Open, &s.Status)
	if err != nil {
		return ChunkState{}, fmt.Errorf("store: state of a chunk: %w", notFound(err))
	}
	return s, nil
}

// Progress says how far the chunks of a batch have been handed out.
type Progress struct {
	Next int64   // no chunk from here on was ever closed or moved on to another round
	Open []Round // chunks below Next that are open, in their current rounds
}

// BatchProgress derives from SQL what a window needs to go on with a batch.
func BatchProgress(ctx context.Context, q Queryer, batch string) (Progress, error) {
	var p Progress
	err := q.QueryRowContext(ctx, `SELECT COALESCE(MAX(chunk) + 1, 0) FROM chunks WHERE batch = ? AND (round > 0 OR open = 0)`, batch).Scan(&p.Next)
	if err != nil {
		return Progress{}, fmt.Errorf("store: progress of a batch: %w", err)
	}
	rows, err := q.QueryContext(ctx, `SELECT chunk, round FROM chunks WHERE batch = ? AND open > 0 AND chunk < ? ORDER BY chunk`, batch, p.Next)
	if err != nil {
		return Progress{}, fmt.Errorf("store: progress of a batch: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r := Round{Batch: batch}
		if err := rows.Scan(&r.Chunk, &r.Round); err != nil {
			return Progress{}, fmt.Errorf("store: progress of a batch: %w", err)
		}
		p.Open = append(p.Open, r)
	}
	return p, rows.Err()
}

// AdvanceRound closes a chunk's round by compare-and-set: the chunk goes on in
// the next one, with answered fewer open rows. A round that asked nobody, such
// as a void one, has the zero time. It is [ErrConflict] if the chunk is in
// another round.
func AdvanceRound(ctx context.Context, tx *Tx, r Round, answered int64, asked time.Time) (open int64, err error) {
	args := []any{answered}
	set := ``
	switch {
	case asked.IsZero():
	case answered > 0:
		set = `, asked_at = ?`
		args = append(args, millis(asked))
	default:
		set = `, asked_at = CASE WHEN asked_at = 0 THEN ? ELSE asked_at END`
		args = append(args, millis(asked))
	}
	err = tx.QueryRowContext(ctx, `UPDATE chunks SET round = round + 1, open = open - ?`+set+`
		WHERE batch = ? AND chunk = ? AND round = ? RETURNING open`, append(args, r.Batch, r.Chunk, r.Round)...).Scan(&open)
	if err = notFound(err); errors.Is(err, ErrNotFound) {
		err = ErrConflict
	}
	return open, err
}

// CountDeath notes that a worker died while it ran the chunk.
func CountDeath(ctx context.Context, tx *Tx, r Round) error {
	return exec(ctx, tx, -1, `UPDATE chunks SET deaths = deaths + 1 WHERE batch = ? AND chunk = ?`, r.Batch, r.Chunk)
}

// PutResults stores the answers of one round.
func PutResults(ctx context.Context, tx *Tx, r Round, answers []RowAnswer) error {
	if len(answers) == 0 {
		return nil
	}
	return exec(ctx, tx, 1, `INSERT INTO results (batch, chunk, round, body) VALUES (?, ?, ?, ?)`, r.Batch, r.Chunk, r.Round, encodeAnswers(answers))
}

// CountDuplicates returns, for the batch's rows from first to last, how many
// later rows repeat them.
func CountDuplicates(ctx context.Context, q Queryer, batch string, first, last int64) (map[int64]int64, error) {
	rows, err := q.QueryContext(ctx, `SELECT original, COUNT(*) FROM duplicates WHERE batch = ? AND original BETWEEN ? AND ? GROUP BY original`, batch, first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[int64]int64{}
	for rows.Next() {
		var original, n int64
		if err := rows.Scan(&original, &n); err != nil {
			return nil, err
		}
		counts[original] = n
	}
	return counts, rows.Err()
}

// AnswerDuplicates gives the rows that repeat the batch's row original its
// answer, free of charge.
func AnswerDuplicates(ctx context.Context, tx *Tx, batch string, original int64, answer RowAnswer) error {
	answer.Row, answer.Credits = 0, 0
	return exec(ctx, tx, -1, `UPDATE duplicates SET body = ? WHERE batch = ? AND original = ?`, encodeAnswers([]RowAnswer{answer}), batch, original)
}
