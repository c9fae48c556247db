package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/magpie-hq/magpie/lookup"
)

// debit takes a credit if there is one.
var debit = redis.NewScript(`
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then return 0 end
redis.call('DECRBY', KEYS[1], ARGV[1])
return 1`)

const naiveAccount = "naive:credits"

// naiveRow is the payload of a task.
type naiveRow struct {
	Row    int           `json:"row"`
	Fields lookup.Fields `json:"fields"`
}

// naive is the design that comes to mind first: one task a row, each with a
// debit and an insert of its own. The clock runs from the first task enqueued
// to the last result stored; the rows are in memory already.
func naive(ctx context.Context, j job) error {
	options, err := redis.ParseURL(j.Redis)
	if err != nil {
		return fmt.Errorf("bench: address of Redis: %w", err)
	}
	rdb := redis.NewClient(options)
	defer func() { _ = rdb.Close() }() // the process ends
	db, err := sql.Open("pgx", j.Database)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // as above
	db.SetMaxIdleConns(naiveConcurrency)
	if err := prepareNaive(ctx, rdb, db, j.Rows); err != nil {
		return err
	}
	w := &naiveWorker{rdb: rdb, db: db, left: int64(j.Rows), done: make(chan struct{})}
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: naiveConcurrency, LogLevel: asynq.WarnLevel})
	if err := server.Start(w); err != nil {
		return err
	}
	say(said{Msg: ready})
	began := time.Now()
	if err := enqueue(ctx, rdb, j); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.done:
	}
	perSecond := float64(j.Rows) / time.Since(began).Seconds()
	server.Shutdown()
	var stored int
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM naive_results`).Scan(&stored)
	if err != nil {
		return fmt.Errorf("bench: count the results: %w", err)
	}
	if left := rdb.Get(ctx, naiveAccount).Val(); stored != j.Rows || left != "0" {
		return fmt.Errorf("bench: %d rows stored and %s credits left, want %d and none", stored, left, j.Rows)
	}
	say(said{Msg: measured, PerSecond: perSecond})
	return nil
}

const (
	naiveConcurrency = 10
	naiveEnqueuers   = 4
)

func prepareNaive(ctx context.Context, rdb *redis.Client, db *sql.DB, credits int) error {
	_, err := db.ExecContext(ctx, `DROP TABLE IF EXISTS naive_results`)
	if err == nil {
		_, err = db.ExecContext(ctx, `CREATE TABLE naive_results (batch text, row bigint, body bytea, PRIMARY KEY (batch, row))`)
	}
	return errors.Join(err, rdb.FlushDB(ctx).Err(), rdb.Set(ctx, naiveAccount, credits, 0).Err())
}

// enqueue makes a task of each row.
func enqueue(ctx context.Context, rdb *redis.Client, j job) error {
	c := asynq.NewClientFromRedisClient(rdb)
	var group errgroup.Group
	for first := range naiveEnqueuers {
		group.Go(func() error {
			for n := first; n < j.Rows; n += naiveEnqueuers {
				payload, err := json.Marshal(naiveRow{Row: n, Fields: query(0, n).Fields})
				if err != nil {
					return err
				}
				if _, err := c.EnqueueContext(ctx, asynq.NewTask("row", payload)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

type naiveWorker struct {
	rdb  *redis.Client
	db   *sql.DB
	left int64
	done chan struct{}
}

// ProcessTask answers one row.
func (w *naiveWorker) ProcessTask(ctx context.Context, t *asynq.Task) error {
	var row naiveRow
	if err := json.Unmarshal(t.Payload(), &row); err != nil {
		return err
	}
	if paid, err := debit.Run(ctx, w.rdb, []string{naiveAccount}, 1).Bool(); err != nil || !paid {
		return fmt.Errorf("bench: debit: %t, %w", paid, err)
	}
	answer := null{}.Ask(ctx, lookup.Query{Service: lookup.EmailFinder, Fields: row.Fields})
	body, err := json.Marshal(answer.Result)
	if err != nil {
		return err
	}
	if _, err := w.db.ExecContext(ctx, `INSERT INTO naive_results (batch, row, body) VALUES ('batch', $1, $2)`, row.Row, body); err != nil {
		return err
	}
	if atomic.AddInt64(&w.left, -1) == 0 {
		close(w.done)
	}
	return nil
}
