package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Upload stores a batch slice by slice while it is being uploaded. Nobody sees
// the batch before [Upload.Accept]; one that is never accepted leaves nothing
// behind once it has been dropped. It is for one goroutine; rows are taken in
// while the chunks before them are written.
type Upload struct {
	db      *DB
	batch   Batch
	rows    []InputRow // of the next chunk
	ready   []newChunk // to be written next
	size    int        // bytes of their documents
	writing chan error // how the write under way ended; nil: there is none
}

// newChunk is a chunk to be written.
type newChunk struct {
	number, first, open int64
	input               []byte
	repeats             []any // batch, row, original of each duplicate
}

// uploadBytes is how much of an upload waits in memory while a write is under
// way, and how much a transaction takes about.
const uploadBytes = 1 << 20

// BeginUpload starts storing a batch. The caller sets ID, Org, Key, Service, Name,
// Price, Options, Columns, ChunkRows, MaxCredits and CreatedAt; counts are the upload's.
func (d *DB) BeginUpload(ctx context.Context, b Batch) (*Upload, error) {
	b.Status, b.Rows, b.Chunks, b.OpenChunks = Intake, RowCounts{}, 0, 0
	options, err := json.Marshal(b.Options)
	if err != nil {
		return nil, fmt.Errorf("store: begin upload: %w", err)
	}
	columns, err := json.Marshal(b.Columns)
	if err != nil {
		return nil, fmt.Errorf("store: begin upload: %w", err)
	}
	err = d.Write(ctx, func(tx *Tx) error {
		return exec(ctx, tx, 1, `INSERT INTO batches (`+batchColumns+`)
			VALUES (?, ?, ?, ?, ?, 'intake', '', ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?, 0, 0, 0, ?)`,
			b.ID, b.Org, b.Key, b.Service, b.Name, b.Price, string(options), string(columns), b.ChunkRows, millis(b.CreatedAt), b.MaxCredits)
	})
	if err != nil {
		return nil, fmt.Errorf("store: begin upload: %w", err)
	}
	return &Upload{db: d, batch: b}, nil
}

// Add appends a row. Its error may be that of a write begun earlier.
func (u *Upload) Add(ctx context.Context, row InputRow) error {
	u.rows = append(u.rows, row)
	if int64(len(u.rows)) < u.batch.ChunkRows {
		return nil
	}
	u.endChunk()
	return u.pass(ctx)
}

// endChunk makes the rows at hand the next chunk to be written.
func (u *Upload) endChunk() {
	counts := RowCounts{Total: int64(len(u.rows))}
	c := newChunk{number: u.batch.Chunks, first: u.batch.Rows.Total, input: encodeInput(u.rows)}
	for i, row := range u.rows {
		switch {
		case row.Error != nil:
			counts.Invalid++
		case row.DuplicateOf > 0:
			counts.Duplicate++
			c.repeats = append(c.repeats, u.batch.ID, c.first+int64(i), row.DuplicateOf-1)
		default:
			counts.Askable++
		}
	}
	c.open = counts.Askable
	u.count(counts)
	u.rows, u.ready, u.size = u.rows[:0], append(u.ready, c), u.size+len(c.input)
}

// pass begins to write what is ready, unless a write is under way and more may
// wait.
func (u *Upload) pass(ctx context.Context) error {
	if u.writing != nil {
		select {
		case err := <-u.writing:
			u.writing = nil
			if err != nil {
				return err
			}
		default:
			if u.size < uploadBytes {
				return nil
			}
		}
	}
	return u.write(ctx)
}

// write begins to write what is ready, after the write under way.
func (u *Upload) write(ctx context.Context) error {
	if err := u.wait(); err != nil {
		return err
	}
	if len(u.ready) == 0 {
		return nil
	}
	chunks, writing := u.ready, make(chan error, 1)
	u.ready, u.size, u.writing = nil, 0, writing
	go func() { writing <- u.insert(ctx, chunks) }()
	return nil
}

// wait waits for the write under way.
func (u *Upload) wait() error {
	if u.writing == nil {
		return nil
	}
	err := <-u.writing
	u.writing = nil
	return err
}

func (u *Upload) insert(ctx context.Context, chunks []newChunk) error {
	err := u.db.Write(ctx, func(tx *Tx) error {
		if err := u.own(ctx, tx); err != nil {
			return err
		}
		var repeats, args []any
		for _, c := range chunks {
			repeats = append(repeats, c.repeats...)
			args = append(args, u.batch.ID, c.number, 0, c.first, c.open, 0, 0, c.input)
		}
		for part := range slices.Chunk(repeats, 3*rowsAStatement) {
			if err := exec(ctx, tx, -1, `INSERT INTO duplicates (batch, row, original) VALUES `+values(len(part)/3, 3), part...); err != nil {
				return err
			}
		}
		for part := range slices.Chunk(args, 8*rowsAStatement) {
			err := exec(ctx, tx, int64(len(part)/8), `INSERT INTO chunks (batch, chunk, round, first, open, deaths, asked_at, input) VALUES `+values(len(part)/8, 8), part...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: upload: %w", err)
	}
	return nil
}

// own makes sure that the batch is still this upload's: another request may have
// taken it over and begun again under the same id.
func (u *Upload) own(ctx context.Context, tx *Tx) error {
	var one int
	err := tx.QueryRowContext(ctx, `SELECT 1 FROM batches WHERE id = ? AND status = 'intake' AND created_at = ?`+u.db.dialect.forUpdate,
		u.batch.ID, millis(u.batch.CreatedAt)).Scan(&one)
	if err = notFound(err); errors.Is(err, ErrNotFound) {
		err = ErrConflict
	}
	return err
}

// count adds a chunk that was stored.
func (u *Upload) count(c RowCounts) {
	u.batch.Rows.Total += c.Total
	u.batch.Rows.Askable += c.Askable
	u.batch.Rows.Invalid += c.Invalid
	u.batch.Rows.Duplicate += c.Duplicate
	u.batch.Chunks++
	if c.Askable > 0 {
		u.batch.OpenChunks++
	}
}

// Accept ends the upload: the batch exists from now on. A batch in which
// nothing can be asked is complete at once.
func (u *Upload) Accept(ctx context.Context, now time.Time) (Batch, error) {
	if len(u.rows) > 0 {
		u.endChunk()
	}
	if err := u.write(ctx); err != nil {
		return Batch{}, err
	}
	if err := u.wait(); err != nil {
		return Batch{}, err
	}
	b := &u.batch
	b.Status = Accepted
	if b.OpenChunks == 0 {
		b.Status, b.FinishedAt = Completed, now.UTC().Truncate(time.Millisecond)
	}
	err := u.db.Write(ctx, func(tx *Tx) error {
		if err := u.own(ctx, tx); err != nil {
			return err
		}
		return exec(ctx, tx, 1, `UPDATE batches SET status = ?, chunks = ?, open_chunks = ?, total = ?, askable = ?, invalid = ?, duplicate = ?, finished_at = ?
			WHERE id = ? AND status = 'intake'`,
			b.Status, b.Chunks, b.OpenChunks, b.Rows.Total, b.Rows.Askable, b.Rows.Invalid, b.Rows.Duplicate, millis(b.FinishedAt), b.ID)
	})
	if err != nil {
		return Batch{}, fmt.Errorf("store: accept upload: %w", err)
	}
	return *b, nil
}

// Abort deletes what was stored of an upload that will not be accepted.
func (u *Upload) Abort(ctx context.Context) error {
	_ = u.wait() // whether it was written or not, it goes
	return u.db.dropIntakes(ctx, `id = ? AND created_at = ?`, u.batch.ID, millis(u.batch.CreatedAt))
}
