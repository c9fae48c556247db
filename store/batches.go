package store

import (
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

// Status is where a batch is in its life.
type Status string

// The statuses. Intake is never shown: the batch is being uploaded.
const (
	Intake    Status = "intake"
	Accepted  Status = "accepted"
	Running   Status = "running"
	Paused    Status = "paused"
	Completed Status = "completed"
	Cancelled Status = "cancelled"
)

// OpenStatuses are those of batches that have not ended, in the order of life.
var OpenStatuses = []Status{Accepted, Running, Paused}

// Ended reports whether nothing will happen to the batch any more.
func (s Status) Ended() bool { return s == Completed || s == Cancelled }

// Why a batch is paused.
const (
	PauseCredits = "insufficient_credits"
	PauseCap     = "spend_cap" // its own, or its key's for the month
	PauseUser    = "user"
)

// Batch is a bulk submission.
type Batch struct {
	ID, Org     string
	Key         string // id of the API key that submitted it
	Service     lookup.Service
	Name        string
	Status      Status
	PauseReason string // set while paused
	Price       lookup.Credits
	Options     lookup.Options
	Columns     []string // of the file as given; nil where rows are objects
	ChunkRows   int64    // rows a chunk, the last may have fewer
	Chunks      int64
	OpenChunks  int64 // chunks with rows still to be asked
	Rows        RowCounts
	Charged     lookup.Credits
	MaxCredits  lookup.Credits // the most it may be charged; 0: no cap
	KeyCap      lookup.Credits // the most Key may be charged in a month, batches and lookups; 0: no cap

	CreatedAt, StartedAt, PausedAt, FinishedAt time.Time // zero: not yet
}

// RowCounts counts a batch's rows.
type RowCounts struct {
	Total     int64
	Askable   int64 // neither invalid nor a duplicate: these may be charged
	Asked     int64 // of the askable, those with an outcome
	Found     int64 // duplicates count in their outcome too
	NotFound  int64
	Invalid   int64
	Failed    int64
	Duplicate int64
	Reused    int64
}

// Add counts an answer that n rows share: one that was asked, and its duplicates.
func (c *RowCounts) Add(a RowAnswer, n int64) {
	c.Asked++
	switch a.Outcome {
	case lookup.Found:
		c.Found += n
	case lookup.NotFound:
		c.NotFound += n
	case lookup.InvalidInput:
		c.Invalid += n
	case lookup.Failed:
		c.Failed += n
	}
	if a.Reused {
		c.Reused += n
	}
}

// Done is how many rows have an outcome.
func (c *RowCounts) Done() int64 { return c.Found + c.NotFound + c.Invalid + c.Failed }

// Max is the most the batch can cost under its cap.
func (b Batch) Max() lookup.Credits {
	most := lookup.Credits(b.Rows.Askable) * b.Price
	if b.MaxCredits > 0 {
		most = min(most, max(b.MaxCredits, b.Charged))
	}
	return most
}

// Remaining is the most the rows still open can cost.
func (b Batch) Remaining() lookup.Credits {
	return lookup.Credits(b.Rows.Askable-b.Rows.Asked) * b.Price
}

// Scope is the batch's name in the ledger's scopes.
func (b Batch) Scope() string { return BatchScope(b.ID) }

const batchColumns = `id, org, api_key, service, name, status, pause_reason, price, options, columns, chunk_rows, chunks, open_chunks,
	total, askable, asked, found, not_found, invalid, failed, duplicate, reused, charged,
	created_at, started_at, paused_at, finished_at, max_credits`

// selectBatch reads a batch with the cap of its key.
const selectBatch = `SELECT ` + batchColumns + `, COALESCE((SELECT monthly_cap FROM api_keys WHERE api_keys.id = batches.api_key), 0) FROM batches WHERE `

func scanBatch(scan func(...any) error) (Batch, error) {
	var b Batch
	var options, columns string
	var created, started, paused, finished int64
	err := scan(&b.ID, &b.Org, &b.Key, &b.Service, &b.Name, &b.Status, &b.PauseReason, &b.Price, &options, &columns, &b.ChunkRows, &b.Chunks, &b.OpenChunks,
		&b.Rows.Total, &b.Rows.Askable, &b.Rows.Asked, &b.Rows.Found, &b.Rows.NotFound, &b.Rows.Invalid, &b.Rows.Failed,
		&b.Rows.Duplicate, &b.Rows.Reused, &b.Charged, &created, &started, &paused, &finished, &b.MaxCredits, &b.KeyCap)
	if err != nil {
		return Batch{}, err
	}
	b.CreatedAt, b.StartedAt, b.PausedAt, b.FinishedAt = fromMillis(created), fromMillis(started), fromMillis(paused), fromMillis(finished)
	return b, errors.Join(json.Unmarshal([]byte(options), &b.Options), json.Unmarshal([]byte(columns), &b.Columns))
}

// GetBatch returns an organization's batch, or [ErrNotFound].
func GetBatch(ctx context.Context, q Queryer, org, id string) (Batch, error) {
	return oneBatch(ctx, q, `id = ? AND org = ? AND status <> 'intake'`, id, org)
}

// BatchByID returns a batch for Magpie's own work, whoever owns it.
func BatchByID(ctx context.Context, q Queryer, id string) (Batch, error) {
	return oneBatch(ctx, q, `id = ? AND status <> 'intake'`, id)
}

func oneBatch(ctx context.Context, q Queryer, where string, args ...any) (Batch, error) {
	b, err := scanBatch(q.QueryRowContext(ctx, selectBatch+where, args...).Scan)
	if err != nil {
		return Batch{}, fmt.Errorf("store: batch: %w", notFound(err))
	}
	return b, nil
}

// BatchFilter chooses batches to list. Empty fields do not choose.
type BatchFilter struct {
	Org      string
	Service  lookup.Service
	Statuses []Status
	Before   string // only batches older than this id
	Limit    int    // 0 for no limit
}

// ListBatches lists batches, newest first.
func ListBatches(ctx context.Context, q Queryer, f BatchFilter) ([]Batch, error) {
	where, args := []string{`status <> 'intake'`}, []any{}
	add := func(condition string, more ...any) {
		where = append(where, condition)
		args = append(args, more...)
	}
	if f.Org != "" {
		add(`org = ?`, f.Org)
	}
	if f.Service != "" {
		add(`service = ?`, f.Service)
	}
	if len(f.Statuses) > 0 {
		statuses := make([]any, len(f.Statuses))
		for i, s := range f.Statuses {
			statuses[i] = s
		}
		add(`status IN `+values(1, len(statuses)), statuses...)
	}
	if f.Before != "" {
		add(`id < ?`, f.Before)
	}
	query := selectBatch + strings.Join(where, ` AND `) + ` ORDER BY id DESC`
	if f.Limit > 0 {
		query += ` LIMIT ?`
		args = append(args, f.Limit)
	}
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: batches: %w", err)
	}
	defer rows.Close()
	var batches []Batch
	for rows.Next() {
		b, err := scanBatch(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("store: batches: %w", err)
		}
		batches = append(batches, b)
	}
	return batches, rows.Err()
}

// BatchStatus returns a batch's status alone.
func BatchStatus(ctx context.Context, q Queryer, id string) (Status, error) {
	var s Status
	if err := q.QueryRowContext(ctx, `SELECT status FROM batches WHERE id = ?`, id).Scan(&s); err != nil {
		return "", fmt.Errorf("store: status of a batch: %w", notFound(err))
	}
	return s, nil
}

// StartBatch notes that the first of its chunks runs.
func StartBatch(ctx context.Context, tx *Tx, id string, now time.Time) error {
	return exec(ctx, tx, -1, `UPDATE batches SET status = 'running', started_at = ? WHERE id = ? AND status = 'accepted'`, millis(now), id)
}

// PauseBatch pauses an organization's batch on its owner's word. Pausing a
// paused one keeps it paused until its owner resumes it; an ended one is
// [ErrConflict].
func (d *DB) PauseBatch(ctx context.Context, org, id string, now time.Time) (Batch, error) {
	return d.change(ctx, org, id, func(tx *Tx, b Batch) error {
		if b.Status.Ended() {
			return ErrConflict
		}
		return exec(ctx, tx, 1, `UPDATE batches SET status = 'paused', pause_reason = ?, paused_at = CASE WHEN paused_at = 0 THEN ? ELSE paused_at END
			WHERE id = ?`, PauseUser, millis(now), id)
	})
}

// ResumeBatch lets a paused batch run again. One that is not paused is left as
// it is; an ended one is [ErrConflict].
func (d *DB) ResumeBatch(ctx context.Context, org, id string) (Batch, error) {
	return d.resume(ctx, org, id, func(_ *Tx, b Batch) (bool, error) { return b.Status == Paused, nil })
}

func (d *DB) resume(ctx context.Context, org, id string, may func(tx *Tx, b Batch) (bool, error)) (Batch, error) {
	before := func(tx *Tx) error {
		// The time it was paused does not count against its rows' deadline. The
		// chunks come first, as in a commit, or the two could lock each other out.
		return exec(ctx, tx, -1, `UPDATE chunks SET asked_at = 0 WHERE batch = ? AND open > 0 AND asked_at <> 0
			AND EXISTS (SELECT 1 FROM batches WHERE id = ? AND org = ? AND status = 'paused')`, id, id, org)
	}
	return d.changeAfter(ctx, org, id, before, func(tx *Tx, b Batch) error {
		if b.Status.Ended() {
			return ErrConflict
		}
		if ok, err := may(tx, b); err != nil || !ok {
			return err
		}
		return exec(ctx, tx, 1, `UPDATE batches SET status = CASE WHEN started_at = 0 THEN 'accepted' ELSE 'running' END, pause_reason = '', paused_at = 0
			WHERE id = ?`, id)
	})
}

// CancelBatch ends a batch; what was found stays. Cancelling a cancelled one is
// no error, a completed one is [ErrConflict].
func (d *DB) CancelBatch(ctx context.Context, org, id string, now time.Time) (Batch, error) {
	return d.change(ctx, org, id, func(tx *Tx, b Batch) error {
		switch b.Status {
		case Cancelled:
			return nil
		case Completed:
			return ErrConflict
		}
		return exec(ctx, tx, 1, `UPDATE batches SET status = 'cancelled', pause_reason = '', finished_at = ? WHERE id = ?`, millis(now), id)
	})
}

func (d *DB) change(ctx context.Context, org, id string, fn func(tx *Tx, b Batch) error) (Batch, error) {
	return d.changeAfter(ctx, org, id, func(*Tx) error { return nil }, fn)
}

// changeTries is how often a change is tried that was locked out.
const changeTries = 3

// changeAfter changes a batch that nobody else changes meanwhile. before runs
// first, without the batch being locked: it may meet a commit that locks what it
// does in another order, and is tried again then.
func (d *DB) changeAfter(ctx context.Context, org, id string, before func(tx *Tx) error, fn func(tx *Tx, b Batch) error) (Batch, error) {
	for tries := 1; ; tries++ {
		var b Batch
		err := d.Write(ctx, func(tx *Tx) (err error) {
			if err = before(tx); err != nil {
				return err
			}
			if b, err = oneBatch(ctx, tx, `id = ? AND org = ? AND status <> 'intake'`+d.dialect.forUpdate, id, org); err != nil {
				return err
			}
			if err = fn(tx, b); err != nil {
				return err
			}
			b, err = GetBatch(ctx, tx, org, id)
			return err
		})
		if tries == changeTries || !d.dialect.retry(err) {
			return b, err
		}
	}
}

// CountRows adds the outcomes of one round to its batch, and completes the batch
// when its last chunk is closed.
func CountRows(ctx context.Context, tx *Tx, batch string, add RowCounts, charged lookup.Credits, closedChunks int64, now time.Time) error {
	return exec(ctx, tx, 1, `UPDATE batches SET asked = asked + ?, found = found + ?, not_found = not_found + ?, failed = failed + ?,
		reused = reused + ?, charged = charged + ?, open_chunks = open_chunks - ?,
		status = CASE WHEN open_chunks = ? AND status <> 'cancelled' THEN 'completed' ELSE status END,
		pause_reason = CASE WHEN open_chunks = ? THEN '' ELSE pause_reason END,
		finished_at = CASE WHEN open_chunks = ? AND finished_at = 0 THEN ? ELSE finished_at END WHERE id = ?`,
		add.Asked, add.Found, add.NotFound, add.Failed, add.Reused, charged, closedChunks,
		closedChunks, closedChunks, closedChunks, millis(now), batch)
}

// ActiveBatches lists the batches that may run, oldest first.
func ActiveBatches(ctx context.Context, q Queryer) ([]Batch, error) {
	batches, err := ListBatches(ctx, q, BatchFilter{Statuses: []Status{Accepted, Running}})
	slices.Reverse(batches)
	return batches, err
}

// CountOpenBatches counts the batches that have not ended, by status.
func CountOpenBatches(ctx context.Context, q Queryer) (map[Status]int64, error) {
	rows, err := q.QueryContext(ctx, `SELECT status, COUNT(*) FROM batches WHERE status IN ('accepted', 'running', 'paused') GROUP BY status`)
	if err != nil {
		return nil, fmt.Errorf("store: count batches: %w", err)
	}
	defer rows.Close()
	counts := map[Status]int64{}
	for rows.Next() {
		var status Status
		var n int64
		if err := rows.Scan(&status, &n); err != nil {
			return nil, fmt.Errorf("store: count batches: %w", err)
		}
		counts[status] = n
	}
	return counts, rows.Err()
}

// DropAbandonedIntakes deletes batches whose upload ended before it was whole:
// those of id, if one is named, else those begun before the given time.
func (d *DB) DropAbandonedIntakes(ctx context.Context, id string, before time.Time) error {
	return d.dropIntakes(ctx, `id = ? OR (? = '' AND created_at < ?)`, id, id, millis(before))
}

// dropIntakes deletes the uploads that meet the condition. Their rows are locked
// first: one that is accepted meanwhile is accepted whole, or not at all.
func (d *DB) dropIntakes(ctx context.Context, condition string, args ...any) error {
	err := d.Write(ctx, func(tx *Tx) error {
		ids, err := texts(tx.QueryContext(ctx, `SELECT id FROM batches WHERE status = 'intake' AND (`+condition+`)`+d.dialect.forUpdate, args...))
		if err != nil {
			return err
		}
		for _, id := range ids {
			for _, of := range []string{"chunks WHERE batch", "duplicates WHERE batch", "batches WHERE id"} {
				if err := exec(ctx, tx, -1, `DELETE FROM `+of+` = ?`, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: drop abandoned intakes: %w", err)
	}
	return nil
}

// texts reads rows of one text.
func texts(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}
