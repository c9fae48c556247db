package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/store"
)

// note writes a row that can be there only once.
func note(name string) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO spend (org, scope, charged) VALUES ('org_a', ?, 1)`, name)
		return err
	}
}

// noted tells which rows are there.
func noted(t *testing.T, db *store.DB) map[string]bool {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT scope FROM spend WHERE org = 'org_a'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	there := map[string]bool{}
	for rows.Next() {
		var scope string
		if err := rows.Scan(&scope); err != nil {
			t.Fatal(err)
		}
		there[scope] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return there
}

// The members of a group end each in their own way, and none in another's.
func TestMembersOfAGroupDoNotFailEachOther(t *testing.T) {
	t.Parallel()
	errLast := errors.New("refused at last")
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		org(t, db, "org_a")
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return note("taken")(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
		kinds := []struct {
			write store.Write
			ends  func(err error) bool
			kept  bool
		}{
			{store.Write{}, func(err error) bool { return err == nil }, true},
			{store.Write{Rows: note("taken")}, func(err error) bool { return err != nil && !errors.Is(err, errLast) }, false},
			{store.Write{Last: func(context.Context, *store.Tx) error { return errLast }}, func(err error) bool { return errors.Is(err, errLast) }, false},
			{store.Write{Counts: func(context.Context, *store.Tx) error { panic("private") }}, func(err error) bool { return err != nil && err.Error() != "private" }, false},
		}
		var crowd sync.WaitGroup
		const rounds = 10
		for n := range rounds * len(kinds) {
			crowd.Go(func() {
				kind := kinds[n%len(kinds)]
				w := kind.write
				own, rows := note(strconv.Itoa(n)), w.Rows
				w.Org, w.Batch = fmt.Sprint("org_", n%3), fmt.Sprint("bat_", n%5)
				w.Rows = func(ctx context.Context, tx *store.Tx) error {
					if err := own(ctx, tx); err != nil || rows == nil {
						return err
					}
					return rows(ctx, tx)
				}
				if err := db.WriteGrouped(context.Background(), w); !kind.ends(err) {
					t.Errorf("write %d ended with %v", n, err)
				}
			})
		}
		crowd.Wait()
		there := noted(t, db)
		for n := range rounds * len(kinds) {
			if kept := there[strconv.Itoa(n)]; kept != kinds[n%len(kinds)].kept {
				t.Errorf("write %d is stored: %t", n, kept)
			}
		}
	})
}

// What comes while a transaction is under way shares the next one.
func TestWritesShareATransaction(t *testing.T) {
	t.Parallel()
	db := teststore.Postgres(t)
	began, goOn := make(chan struct{}), make(chan struct{})
	var crowd sync.WaitGroup
	for range store.GroupLanes {
		crowd.Go(func() {
			err := db.WriteGrouped(context.Background(), store.Write{Rows: func(context.Context, *store.Tx) error {
				began <- struct{}{}
				<-goOn
				return nil
			}})
			if err != nil {
				t.Error(err)
			}
		})
		<-began
	}
	var mu sync.Mutex
	transactions := map[int64]int{}
	for range 10 {
		crowd.Go(func() {
			err := db.WriteGrouped(context.Background(), store.Write{Rows: func(ctx context.Context, tx *store.Tx) error {
				var id int64
				err := tx.QueryRowContext(ctx, `SELECT txid_current()`).Scan(&id)
				mu.Lock()
				defer mu.Unlock()
				transactions[id]++
				return err
			}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for db.Waiting() < 10 {
		runtime.Gosched()
	}
	close(goOn)
	crowd.Wait()
	if len(transactions) > 2 {
		t.Errorf("ten writes that waited took %d transactions: %v", len(transactions), transactions)
	}
}

// Two processes write for the same organizations at once, and for the same
// batches or, as single lookups do, for none.
func TestGroupsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	for name, inBatches := range map[string]bool{"batches": true, "lookups": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writeFromTwoProcesses(t, inBatches)
		})
	}
}

func writeFromTwoProcesses(t *testing.T, inBatches bool) {
	t.Helper()
	url := teststore.PostgresURL(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var processes [2]*store.DB
	for i := range processes {
		db, err := store.OpenPostgres(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		processes[i] = db
	}
	for n := range 3 {
		org(t, processes[0], fmt.Sprint("org_", n))
	}
	add := func(org, scope string) func(context.Context, *store.Tx) error {
		return func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO spend (org, scope, charged) VALUES (?, ?, 1)
				ON CONFLICT (org, scope) DO UPDATE SET charged = spend.charged + 1`, org, scope)
			return err
		}
	}
	var crowd sync.WaitGroup
	const writers, writes = 20, 10
	for w := range writers {
		crowd.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for n := range writes {
				org, batch := fmt.Sprint("org_", r.IntN(3)), fmt.Sprint("bat_", r.IntN(4))
				counts := add("batches", batch)
				if !inBatches {
					batch, counts = "", add("batches", fmt.Sprint(w, n))
				}
				err := processes[w%2].WriteGrouped(context.Background(), store.Write{
					Org: org, Batch: batch, Counts: counts,
					Last: func(ctx context.Context, tx *store.Tx) error {
						if _, err := tx.ExecContext(ctx, `UPDATE accounts SET seq = seq + 1 WHERE org = ?`, org); err != nil {
							return err
						}
						return add(org, fmt.Sprint("key_", r.IntN(2)))(ctx, tx)
					},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	crowd.Wait()
	var seq, batches, keys int64
	err := processes[0].QueryRowContext(t.Context(), `SELECT (SELECT SUM(seq) FROM accounts), (SELECT SUM(charged) FROM spend WHERE org = 'batches'),
		(SELECT SUM(charged) FROM spend WHERE org <> 'batches')`).Scan(&seq, &batches, &keys)
	if err != nil || seq != writers*writes || batches != seq || keys != seq {
		t.Errorf("%d on accounts, %d on batches, %d on keys, %v; want %d each", seq, batches, keys, err, writers*writes)
	}
}

// A batch is resumed while a transaction that closes several of its rounds is
// under way, in another order: they lock each other out. Its owner is not told so.
func TestResumeBesideACommit(t *testing.T) {
	t.Parallel()
	db := teststore.Postgres(t)
	b := upload(t, db, org(t, db, "org_a"), ask("one"), ask("two"), ask("three"), ask("four"))
	for chunk := range b.Chunks { // asked once, so that resuming touches them
		advance(t, db, store.Round{Batch: b.ID, Chunk: chunk})
	}
	if _, err := db.PauseBatch(t.Context(), b.Org, b.ID, start); err != nil {
		t.Fatal(err)
	}
	resumed := make(chan error, 1)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		if _, err := store.AdvanceRound(t.Context(), tx, store.Round{Batch: b.ID, Chunk: 1, Round: 1}, 0, start); err != nil {
			return err
		}
		go func() {
			_, err := db.ResumeBatch(context.Background(), b.Org, b.ID)
			resumed <- err
		}()
		waitUntilBlocked(t, db)
		_, err := store.AdvanceRound(t.Context(), tx, store.Round{Batch: b.ID, Chunk: 0, Round: 1}, 0, start)
		return err
	})
	if err != nil && !db.Retry(err) {
		t.Error(err)
	}
	if err := <-resumed; err != nil {
		t.Errorf("resume: %v", err)
	}
}

func advance(t *testing.T, db *store.DB, r store.Round) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := store.AdvanceRound(t.Context(), tx, r, 0, start)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// waitUntilBlocked waits until somebody waits for a lock.
func waitUntilBlocked(t *testing.T, db *store.DB) {
	t.Helper()
	for {
		var blocked int
		err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`).Scan(&blocked)
		if err != nil {
			t.Error(err)
		}
		if err != nil || blocked > 0 {
			return
		}
	}
}
