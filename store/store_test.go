package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func org(t *testing.T, db *store.DB, id string) string {
	t.Helper()
	if _, err := db.CreateOrg(t.Context(), id, "Name of "+id, start); err != nil {
		t.Fatal(err)
	}
	return id
}

// upload stores a batch with the rows, two a chunk.
func upload(t *testing.T, db *store.DB, org string, rows ...store.InputRow) store.Batch {
	t.Helper()
	b, err := begin(t, db, org, rows...).Accept(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func begin(t *testing.T, db *store.DB, org string, rows ...store.InputRow) *store.Upload {
	t.Helper()
	up, err := db.BeginUpload(t.Context(), store.Batch{
		ID: store.NewID("bat", start), Org: org, Key: "key_a", Service: lookup.EmailFinder, Name: "list",
		Price: 250, Options: lookup.Options{AcceptCatchAll: true}, Columns: []string{"Name", "Domain"}, ChunkRows: 2, CreatedAt: start,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := up.Add(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	return up
}

func ask(name string) store.InputRow {
	return store.InputRow{Cells: []string{name, "example.com"}, Fields: lookup.Fields{"full_name": name}}
}

func bad() store.InputRow {
	return store.InputRow{Cells: []string{"", ""}, Error: &lookup.RowError{Code: "missing_field", Detail: "there is no name"}}
}

func repeat(of int64) store.InputRow {
	r := ask("again")
	r.DuplicateOf = of + 1
	return r
}

func write(t *testing.T, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestOpenTwiceKeepsEverything(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "odd name?#%.db")
	for i := range 2 {
		db, err := store.OpenSQLite(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			org(t, db, "org_a")
		}
		if got, err := db.GetOrg(t.Context(), "org_a"); err != nil || got.Name != "Name of org_a" || !got.CreatedAt.Equal(start) {
			t.Errorf("%+v, %v", got, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUploadCountsAndIsSeenWhenAccepted(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		up := begin(t, db, a, ask("one"), ask("two"), bad(), bad(), ask("three"), repeat(0), ask("four"))
		if list, err := store.ListBatches(t.Context(), db, store.BatchFilter{Org: a}); err != nil || len(list) != 0 {
			t.Errorf("%d batches, %v, before the upload is whole", len(list), err)
		}
		b, err := up.Accept(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		want := store.RowCounts{Total: 7, Askable: 4, Invalid: 2, Duplicate: 1}
		if b.Rows != want || b.Chunks != 4 || b.OpenChunks != 3 || b.Max() != 1000 {
			t.Errorf("rows %+v, %d chunks, %d open, at most %s", b.Rows, b.Chunks, b.OpenChunks, b.Max())
		}
		stored, err := store.GetBatch(t.Context(), db, a, b.ID)
		if err != nil || stored.Rows != want || stored.Status != store.Accepted || !stored.Options.AcceptCatchAll ||
			!slices.Equal(stored.Columns, []string{"Name", "Domain"}) || !stored.CreatedAt.Equal(start) || !stored.StartedAt.IsZero() {
			t.Errorf("%+v, %v", stored, err)
		}
	})
}

func TestBatchWithNothingToAskIsComplete(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		if b := upload(t, db, org(t, db, "org_a"), bad(), bad(), bad()); b.Status != store.Completed || b.FinishedAt.IsZero() {
			t.Errorf("status %s, finished %s", b.Status, b.FinishedAt)
		}
	})
}

func TestAbortedUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		up := begin(t, db, a, ask("one"), repeat(0), ask("two"))
		if err := up.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"batches", "chunks", "duplicates"} {
			var n int
			if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%d rows in %s, %v", n, table, err)
			}
		}
		if _, err := up.Accept(t.Context(), start); err == nil {
			t.Error("an aborted upload was accepted")
		}
	})
}

func TestAbandonedUploadsAreDroppedByAge(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		begin(t, db, a, ask("one"), ask("two"))
		kept := upload(t, db, a, ask("one"))
		if err := db.DropAbandonedIntakes(t.Context(), "", start); err != nil {
			t.Fatal(err)
		}
		var n int
		count := func() int {
			if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM batches`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if count() != 2 {
			t.Errorf("%d batches, want both while the upload is young", n)
		}
		if err := db.DropAbandonedIntakes(t.Context(), "", start.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := store.GetBatch(t.Context(), db, a, kept.ID); err != nil || count() != 1 {
			t.Errorf("%d batches, %v; want the accepted one alone", n, err)
		}
	})
}

func TestAnotherOrganizationsObjectsAreNotFound(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a, b := org(t, db, "org_a"), org(t, db, "org_b")
		batch := upload(t, db, a, ask("one"))
		key, err := db.CreateKey(t.Context(), a, "key", "mgp_secret", 0, start)
		if err != nil {
			t.Fatal(err)
		}
		write(t, db, func(tx *store.Tx) error {
			return store.PutLookup(t.Context(), tx, "lkp_1", a, lookup.EmailFinder, lookup.Row{}, start)
		})
		_, getErr := store.GetBatch(t.Context(), db, b, batch.ID)
		_, pauseErr := db.PauseBatch(t.Context(), b, batch.ID, start)
		_, resumeErr := db.ResumeBatch(t.Context(), b, batch.ID)
		_, cancelErr := db.CancelBatch(t.Context(), b, batch.ID, start)
		_, lookupErr := store.GetLookup(t.Context(), db, b, "lkp_1")
		for call, err := range map[string]error{
			"get": getErr, "pause": pauseErr, "resume": resumeErr, "cancel": cancelErr, "lookup": lookupErr,
			"revoke": db.RevokeKey(t.Context(), b, key.ID, start),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v, want ErrNotFound", call, err)
			}
		}
		if list, err := store.ListBatches(t.Context(), db, store.BatchFilter{Org: b}); err != nil || len(list) != 0 {
			t.Errorf("%d batches of another organization, %v", len(list), err)
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		key, err := db.CreateKey(t.Context(), a, "laptop", "mgp_abcd1234", 0, start)
		if err != nil || key.Hint != "1234" {
			t.Fatalf("%+v, %v", key, err)
		}
		if same, err := db.CreateKey(t.Context(), a, "laptop", "mgp_abcd1234", 0, start); err != nil || same.ID != key.ID {
			t.Errorf("storing the key again: %+v, %v", same, err)
		}
		if _, err := db.CreateKey(t.Context(), org(t, db, "org_b"), "stolen", "mgp_abcd1234", 0, start); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the same key for another organization: %v", err)
		}
		if _, err := db.CreateKey(t.Context(), "org_none", "x", "mgp_other", 0, start); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a key for nobody: %v", err)
		}
		if got, err := db.KeyBySecret(t.Context(), "mgp_abcd1234"); err != nil || got.ID != key.ID || got.Org != a {
			t.Errorf("%+v, %v", got, err)
		}
		var readable int
		if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM api_keys WHERE hash = ? OR hint = ?`, "mgp_abcd1234", "mgp_abcd1234").Scan(&readable); err != nil || readable != 0 {
			t.Errorf("the key is stored in clear: %d, %v", readable, err)
		}
		for range 2 {
			if err := db.RevokeKey(t.Context(), a, key.ID, start); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.KeyBySecret(t.Context(), "mgp_abcd1234"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a revoked key: %v", err)
		}
		if keys, err := db.Keys(t.Context(), a); err != nil || len(keys) != 1 || keys[0].RevokedAt.IsZero() {
			t.Errorf("%+v, %v", keys, err)
		}
	})
}

func TestStatusChanges(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		pause := func(id string) (store.Batch, error) { return db.PauseBatch(t.Context(), a, id, start) }
		resume := func(id string) (store.Batch, error) { return db.ResumeBatch(t.Context(), a, id) }
		cancel := func(id string) (store.Batch, error) { return db.CancelBatch(t.Context(), a, id, start) }
		type change = func(string) (store.Batch, error)
		for name, tc := range map[string]struct {
			steps []change
			want  store.Status
			err   error
		}{
			"pause":                  {[]change{pause}, store.Paused, nil},
			"pause twice":            {[]change{pause, pause}, store.Paused, nil},
			"resume one that runs":   {[]change{resume}, store.Accepted, nil},
			"pause and resume":       {[]change{pause, resume}, store.Accepted, nil},
			"cancel":                 {[]change{cancel}, store.Cancelled, nil},
			"cancel twice":           {[]change{cancel, cancel}, store.Cancelled, nil},
			"cancel a paused one":    {[]change{pause, cancel}, store.Cancelled, nil},
			"pause a cancelled one":  {[]change{cancel, pause}, "", store.ErrConflict},
			"resume a cancelled one": {[]change{cancel, resume}, "", store.ErrConflict},
		} {
			id := upload(t, db, a, ask("one")).ID
			var got store.Batch
			var err error
			for _, step := range tc.steps {
				got, err = step(id)
			}
			if !errors.Is(err, tc.err) || tc.err == nil && got.Status != tc.want {
				t.Errorf("%s: %s, %v; want %s, %v", name, got.Status, err, tc.want, tc.err)
			}
		}
		done := upload(t, db, a, bad()).ID
		if _, err := cancel(done); !errors.Is(err, store.ErrConflict) {
			t.Errorf("cancelling a completed one: %v", err)
		}
	})
}

// The owner pauses a batch just before the sweeper, which saw it waiting for
// credits, resumes it.
func TestCreditsDoNotResumeWhatTheOwnerPaused(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		id := upload(t, db, a, ask("one")).ID
		if paused, err := db.PauseForCredits(t.Context(), id, 0, start); err != nil || !paused {
			t.Fatalf("paused %t, %v", paused, err)
		}
		if _, err := db.PauseBatch(t.Context(), a, id, start); err != nil {
			t.Fatal(err)
		}
		if b, resumed, err := db.ResumeWaiting(t.Context(), a, id, start); err != nil || resumed || b.Status != store.Paused || b.PauseReason != store.PauseUser {
			t.Errorf("%s (%s), %v; want it paused by its owner", b.Status, b.PauseReason, err)
		}
	})
}

// A request stalls, another takes its batch over and begins again; then the
// first wakes up.
func TestUploadThatWasTakenOver(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		first := begin(t, db, a, ask("one"))
		stalled := first.Batch()
		if err := db.DropAbandonedIntakes(t.Context(), stalled.ID, time.Time{}); err != nil {
			t.Fatal(err)
		}
		stalled.CreatedAt = start.Add(time.Minute)
		second, err := db.BeginUpload(t.Context(), stalled)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.Accept(t.Context(), start); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the first is accepted: %v", err)
		}
		if err := first.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := second.Add(t.Context(), ask("one")); err != nil {
			t.Fatal(err)
		}
		if b, err := second.Accept(t.Context(), start); err != nil || b.Rows.Total != 1 {
			t.Errorf("the second: %+v, %v", b.Rows, err)
		}
	})
}

func TestRoundsAdvanceByCompareAndSet(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		b := upload(t, db, org(t, db, "org_a"), ask("one"), ask("two"))
		r := store.Round{Batch: b.ID}
		write(t, db, func(tx *store.Tx) error {
			open, err := store.AdvanceRound(t.Context(), tx, r, 1, start)
			if open != 1 {
				t.Errorf("%d rows open, want 1", open)
			}
			return err
		})
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := store.AdvanceRound(t.Context(), tx, r, 1, start)
			return err
		})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("advancing a round that is over: %v", err)
		}
		if got, err := store.GetChunkState(t.Context(), db, b.ID, 0); err != nil || got.Round != 1 || got.Open != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestProgress(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		b := upload(t, db, org(t, db, "org_a"), slices.Repeat([]store.InputRow{ask("one"), ask("two")}, 5)...)
		wantProgress(t, db, b.ID, 0)
		write(t, db, func(tx *store.Tx) error {
			_, err := store.AdvanceRound(t.Context(), tx, store.Round{Batch: b.ID, Chunk: 1}, 2, start) // closed
			return err
		})
		write(t, db, func(tx *store.Tx) error {
			_, err := store.AdvanceRound(t.Context(), tx, store.Round{Batch: b.ID, Chunk: 3}, 0, start) // given back
			return err
		})
		wantProgress(t, db, b.ID, 4, ":0:0", ":2:0", ":3:1")
	})
}

func wantProgress(t *testing.T, db *store.DB, batch string, next int64, open ...string) {
	t.Helper()
	p, err := store.BatchProgress(t.Context(), db, batch)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range p.Open {
		got = append(got, r.String()[len(batch):])
	}
	if p.Next != next || !slices.Equal(got, open) {
		t.Errorf("next %d, open %v; want %d, %v", p.Next, got, next, open)
	}
}

func TestResultsAreInTheOrderGiven(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		b := upload(t, db, a, ask("one"), repeat(3), bad(), ask("two"), ask("three"))
		found := func(row int64) store.RowAnswer {
			return store.RowAnswer{Row: row, Outcome: lookup.Found, Result: json.RawMessage(`{"email":"x@example.com"}`), Provider: "stub", Credits: 250}
		}
		answer := func(chunk int64, answers ...store.RowAnswer) {
			write(t, db, func(tx *store.Tx) error {
				if err := store.PutResults(t.Context(), tx, store.Round{Batch: b.ID, Chunk: chunk}, answers); err != nil {
					return err
				}
				if _, err := store.AdvanceRound(t.Context(), tx, store.Round{Batch: b.ID, Chunk: chunk}, int64(len(answers)), time.Now()); err != nil {
					return err
				}
				for _, r := range answers {
					if err := store.AnswerDuplicates(t.Context(), tx, b.ID, chunk*2+r.Row, r); err != nil {
						return err
					}
				}
				return nil
			})
		}
		want := func(when string, b store.Batch, outcome lookup.Outcome, want ...int64) {
			t.Helper()
			var got []int64
			err := store.EachResult(t.Context(), db, b, outcome, func(r store.ResultRow) error {
				got = append(got, *r.Row.Row)
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: rows %v, %v; want %v", when, got, err, want)
			}
		}
		want("before anything ran", b, "", 2)
		answer(1, found(1)) // row 3, and row 1 repeats it
		want("while it runs", b, "", 1, 2, 3)
		want("while it runs", b, lookup.Found, 1, 3)
		b.Status = store.Cancelled
		want("cancelled", b, "", 0, 1, 2, 3, 4)
		err := store.EachResult(t.Context(), db, b, lookup.Found, func(r store.ResultRow) error {
			if string(r.Input) != `{"Name":"`+r.Cells[0]+`","Domain":"example.com"}` {
				t.Errorf("input %s", r.Input)
			}
			if duplicate := *r.Row.Row == 1; duplicate != (r.DuplicateOf != nil && *r.DuplicateOf == 3) || duplicate != (r.Credits == 0) {
				t.Errorf("row %d: duplicate of %v at %s", *r.Row.Row, r.DuplicateOf, r.Credits)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestListBatches(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a := org(t, db, "org_a")
		var ids []string
		for range 5 {
			ids = append(ids, upload(t, db, a, ask("one")).ID)
		}
		slices.Sort(ids)
		slices.Reverse(ids)
		if _, err := db.PauseBatch(t.Context(), a, ids[4], start); err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			filter store.BatchFilter
			want   []string
		}{
			"all":           {store.BatchFilter{Org: a}, ids},
			"a page":        {store.BatchFilter{Org: a, Limit: 2}, ids[:2]},
			"the next":      {store.BatchFilter{Org: a, Limit: 2, Before: ids[1]}, ids[2:4]},
			"by status":     {store.BatchFilter{Org: a, Statuses: []store.Status{store.Paused, store.Running}}, ids[4:]},
			"by service":    {store.BatchFilter{Org: a, Service: lookup.EmailFinder}, ids},
			"of no service": {store.BatchFilter{Org: a, Service: lookup.JobsData}, nil},
		} {
			list, err := store.ListBatches(t.Context(), db, tc.filter)
			var got []string
			for _, b := range list {
				got = append(got, b.ID)
			}
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v, %v; want %v", name, got, err, tc.want)
			}
		}
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a, other := org(t, db, "org_a"), org(t, db, "org_b")
		question := func(n byte) lookup.Question { return lookup.Question{n} }
		put := func(org string, now time.Time, questions ...byte) (fresh int) {
			write(t, db, func(tx *store.Tx) error {
				var answers []store.Answer
				for _, n := range questions {
					answers = append(answers, store.Answer{Question: question(n), Result: json.RawMessage(`{}`), Provider: "stub"})
				}
				charged, err := store.PutAnswers(t.Context(), tx, org, answers, now.Add(-time.Hour), now)
				fresh = len(charged)
				return err
			})
			return fresh
		}
		if n := put(a, start, 3, 1, 2); n != 3 {
			t.Errorf("%d of 3 new", n)
		}
		if n := put(a, start, 2, 4); n != 1 {
			t.Errorf("%d new, want the one that was not answered before", n)
		}
		if n := put(other, start, 1); n != 1 {
			t.Error("another organization's answer counts as this one's")
		}
		if n := put(a, start.Add(2*time.Hour), 1); n != 1 {
			t.Error("an answer older than the window is not replaced")
		}
		known, err := db.Recall(t.Context(), a, []lookup.Question{question(1), question(2), question(9)}, store.Since{Answers: start.Add(time.Hour)})
		if found := known.Answers; err != nil || len(found) != 1 || found[question(1)].Provider != "stub" {
			t.Errorf("%v, %v; want the answer inside the window alone", found, err)
		}
		many := make([]lookup.Question, 2000)
		if _, err := db.Recall(t.Context(), a, many, store.Since{}); err != nil {
			t.Errorf("many questions at once: %v", err)
		}
	})
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		claim := store.Claim{Org: "org_a", Key: "k", Route: "POST /v1/batches", Object: "bat_1", BodyHash: []byte("h")}
		do := func(c store.Claim, now time.Time) (store.Claim, bool) {
			t.Helper()
			got, claimed, err := db.ClaimKey(t.Context(), c, now, now.Add(-time.Minute), now.Add(-time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return got, claimed
		}
		if _, claimed := do(claim, start); !claimed {
			t.Error("the first does not get the key")
		}
		second := claim
		second.Object = "bat_2"
		if got, claimed := do(second, start); claimed || got.Object != "bat_1" || got.Status != 0 {
			t.Errorf("while the first is at work: %+v, %t", got, claimed)
		}
		first := claim
		first.ClaimedAt = start
		successor, claimed := do(second, start.Add(2*time.Minute))
		if !claimed || successor.Object != "bat_1" {
			t.Errorf("after the first fell silent: %+v, %t; want to go on with its object", successor, claimed)
		}
		// The first wakes up, fails, and gives back what is not its own any more.
		if _, err := db.RenewKey(t.Context(), first, start.Add(2*time.Minute)); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the first renews its successor's claim: %v", err)
		}
		if err := db.ReleaseKey(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if _, claimed := do(second, start.Add(2*time.Minute)); claimed {
			t.Error("the first gave its successor's claim back")
		}
		if renewed, err := db.RenewKey(t.Context(), successor, start.Add(150*time.Second)); err != nil || !renewed.ClaimedAt.Equal(start.Add(150*time.Second)) {
			t.Errorf("the successor renews its claim: %v, %v", renewed.ClaimedAt, err)
		}
		claim.Status, claim.Answer = 202, []byte("{}")
		if err := db.FinishKey(t.Context(), claim); err != nil {
			t.Fatal(err)
		}
		if err := db.ReleaseKey(t.Context(), claim); err != nil {
			t.Fatal(err)
		}
		if got, claimed := do(second, start.Add(10*time.Minute)); claimed || got.Status != 202 || string(got.Answer) != "{}" {
			t.Errorf("after the answer: %+v, %t; want it to stand", got, claimed)
		}
		second, claimed = do(second, start.Add(2*time.Hour))
		if !claimed || second.Object != "bat_2" {
			t.Errorf("after it expired: %+v, %t", second, claimed)
		}
		if err := db.ReleaseKey(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if _, claimed := do(claim, start.Add(2*time.Hour)); !claimed {
			t.Error("a released key cannot be claimed")
		}
	})
}

func TestWriteRollsBack(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		broken := errors.New("broken")
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO orgs (id, name, created_at) VALUES ('org_x', '', 0)`); err != nil {
				t.Fatal(err)
			}
			return broken
		})
		if !errors.Is(err, broken) || errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%v", err)
		}
		if _, err := db.GetOrg(t.Context(), "org_x"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the row is there: %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Write(ended, func(*store.Tx) error { return nil }); err == nil || errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	early, late := store.NewID("bat", start), store.NewID("bat", start.Add(time.Millisecond))
	if other := store.NewID("bat", start); early >= late || early == other {
		t.Errorf("%s, %s: ids must differ and sort by age", early, late)
	}
	r := store.Round{Batch: early, Chunk: 12, Round: 3}
	if got, err := store.ParseRound(r.String()); err != nil || got != r {
		t.Errorf("%+v, %v", got, err)
	}
	for _, s := range []string{"", "bat_1", "bat_1:2", "bat_1:x:0", "bat_1:0:x", "lookup:lkp_1:0", "a:b:c:d"} {
		if _, err := store.ParseRound(s); err == nil {
			t.Errorf("%q is taken for a round", s)
		}
	}
}

func TestPostgresURLStaysSecret(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://magpie:hunter2@host:port/x", "nonsense://hunter2", "postgres://magpie:hunter2@127.0.0.1:1/magpie"} {
		_, err := store.OpenPostgres(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// Several processes start at the same time on an empty database.
func TestMigrationsAtOnce(t *testing.T) {
	t.Parallel()
	url := teststore.PostgresURL(t)
	var processes sync.WaitGroup
	for range 4 {
		processes.Go(func() {
			db, err := store.OpenPostgres(context.Background(), url)
			if err == nil {
				err = db.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	processes.Wait()
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	url, file := teststore.PostgresURL(t), filepath.Join(t.TempDir(), "test.db")
	for name, open := range map[string]func() (*store.DB, error){
		"postgres": func() (*store.DB, error) { return store.OpenPostgres(t.Context(), url) },
		"sqlite":   func() (*store.DB, error) { return store.OpenSQLite(t.Context(), file) },
	} {
		db, err := open()
		if err != nil {
			t.Fatal(err)
		}
		write(t, db, func(tx *store.Tx) error {
			_, err := tx.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, ?)`, true)
			return err
		})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := open(); err == nil || !strings.Contains(err.Error(), "version 99999") {
			t.Errorf("%s: %v, want a refusal that names the version", name, err)
		}
	}
}
