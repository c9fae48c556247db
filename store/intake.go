package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// InputRow is one row of a chunk as intake stored it.
type InputRow struct {
	RowID  string           `json:"i,omitempty"`
	Cells  []string         `json:"c,omitempty"` // as given, in a file with columns
	Object json.RawMessage  `json:"o,omitempty"` // as given, where rows are objects
	Fields lookup.Fields    `json:"q,omitempty"` // the normalised query; nil if invalid
	Error  *lookup.RowError `json:"e,omitempty"` // set if invalid
	// DuplicateOf is one more than the row it repeats, 0 for none.
	DuplicateOf int64 `json:"d,omitempty"`
}

// Askable reports whether a provider may be asked about the row.
func (r InputRow) Askable() bool { return r.Error == nil && r.DuplicateOf == 0 }

// Upload stores a batch slice by slice while it is being uploaded. Nobody sees
// the batch before [Upload.Accept]; one that is never accepted leaves nothing
// behind once it has been dropped.
type Upload struct {
	db    *DB
	batch Batch
	rows  []InputRow
}

// BeginUpload starts storing a batch. The caller sets ID, Org, Key, Service, Name,
// Price, Options, Columns, ChunkRows and CreatedAt; counts are the upload's.
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
			VALUES (?, ?, ?, ?, ?, 'intake', '', ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?, 0, 0, 0)`,
			b.ID, b.Org, b.Key, b.Service, b.Name, b.Price, string(options), string(columns), b.ChunkRows, millis(b.CreatedAt))
	})
	if err != nil {
		return nil, fmt.Errorf("store: begin upload: %w", err)
	}
	return &Upload{db: d, batch: b}, nil
}

// Add appends a row.
func (u *Upload) Add(ctx context.Context, row InputRow) error {
	u.rows = append(u.rows, row)
	if int64(len(u.rows)) == u.batch.ChunkRows {
		return u.flush(ctx)
	}
	return nil
}

// flush stores the rows at hand as one chunk.
func (u *Upload) flush(ctx context.Context) error {
	input, err := json.Marshal(u.rows)
	if err != nil {
		return fmt.Errorf("store: upload: %w", err)
	}
	counts := RowCounts{Total: int64(len(u.rows))}
	var repeats []any // batch, row, original of each
	for i, row := range u.rows {
		switch {
		case row.Error != nil:
			counts.Invalid++
		case row.DuplicateOf > 0:
			counts.Duplicate++
			repeats = append(repeats, u.batch.ID, u.batch.Rows.Total+int64(i), row.DuplicateOf-1)
		default:
			counts.Askable++
		}
	}
	err = u.db.Write(ctx, func(tx *Tx) error {
		if err := u.own(ctx, tx); err != nil {
			return err
		}
		for part := range slices.Chunk(repeats, 3*rowsAStatement) {
			if err := exec(ctx, tx, -1, `INSERT INTO duplicates (batch, row, original) VALUES `+values(len(part)/3, 3), part...); err != nil {
				return err
			}
		}
		return exec(ctx, tx, 1, `INSERT INTO chunks (batch, chunk, round, first, open, deaths, asked_at, input) VALUES (?, ?, 0, ?, ?, 0, 0, ?)`,
			u.batch.ID, u.batch.Chunks, u.batch.Rows.Total, counts.Askable, input)
	})
	if err != nil {
		return fmt.Errorf("store: upload: %w", err)
	}
	u.count(counts)
	u.rows = u.rows[:0]
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
		if err := u.flush(ctx); err != nil {
			return Batch{}, err
		}
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
	return u.db.dropIntakes(ctx, `id = ? AND created_at = ?`, u.batch.ID, millis(u.batch.CreatedAt))
}
