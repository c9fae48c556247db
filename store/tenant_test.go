package store_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// seeds puts one row of an organization into each table. ID is its id, and that
// of whatever else has one, so that a row says whose it is.
var seeds = map[string]string{
	"orgs":          `INSERT INTO orgs VALUES ('ID', 'name', 0)`,
	"api_keys":      `INSERT INTO api_keys VALUES ('ID', 'ID', 'name', 'ID', 'hint', 0)`,
	"accounts":      `INSERT INTO accounts VALUES ('ID', 0, 0, 0, 0, 0, 0, 0, 0)`,
	"grants":        `INSERT INTO grants VALUES ('ID', 1, 'ID', 'purchase', 1, 'reference', 0)`,
	"closings":      `INSERT INTO closings VALUES ('ID', 'ID', 'void', '', 0, 0, 0, 0, '[]', NULL, 0)`,
	"entries":       `INSERT INTO entries VALUES ('ID', 1, 0, 'a', 'b', 1, 0, 'reference', 0)`,
	"spend":         `INSERT INTO spend VALUES ('ID', 'scope', 1)`,
	"batches":       `INSERT INTO batches SELECT 'ID', 'ID', '', '', '', 'accepted', '', 1, '{}', '[]', 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0`,
	"chunks":        `INSERT INTO chunks VALUES ('ID', 0, 0, 0, 1, 0, 0, '[]')`,
	"results":       `INSERT INTO results VALUES ('ID', 0, 0, '[]')`,
	"duplicates":    `INSERT INTO duplicates VALUES ('ID', 1, 0, NULL)`,
	"answers":       `INSERT INTO answers VALUES ('ID', '00000000-0000-0000-0000-000000000000', '{}', '', 0)`,
	"lookups":       `INSERT INTO lookups VALUES ('ID', 'ID', 'email-finder', '{}', 0)`,
	"lots":          `INSERT INTO lots VALUES ('ID', 1, 1, 0, 1)`,
	"refunds":       `INSERT INTO refunds VALUES ('ID', 1, 'ID', 1, 1, 0)`,
	"revokes":       `INSERT INTO revokes VALUES ('ID', 'reference', 1, 'ID', 1, 1, 0)`,
	"audits":        `INSERT INTO audits VALUES ('ID', 1, 0)`,
	"redis_servers": `INSERT INTO redis_servers VALUES ('ID', 0)`,
	"trails":        `INSERT INTO trails VALUES ('ID', '00000000-0000-0000-0000-000000000000', 'vendor', 'ticket', 0)`,
	"events":        `INSERT INTO events VALUES ('ID', 'ID', 'credits.low', 0, 0)`,
	"reservations":  `INSERT INTO reservations VALUES ('vendor', 'ID', 0, 1)`,
	"idempotency":   `INSERT INTO idempotency VALUES ('ID', 'key', 'route', 'object', NULL, 0, NULL, 0)`,
}

// ours are the tables that hold nothing of any organization's: none sees a row.
var ours = map[string]bool{"redis_servers": true, "reservations": true}

// seeded is a database in which two organizations have a row in every table.
func seeded(t *testing.T) *store.DB {
	t.Helper()
	db := teststore.Postgres(t)
	order := slices.SortedFunc(maps.Keys(seeds), func(x, y string) int { return cmp.Compare(rank(x), rank(y)) })
	for _, id := range []string{"org_a", "org_b"} {
		write(t, db, func(tx *store.Tx) error {
			for _, table := range order {
				if _, err := tx.ExecContext(t.Context(), strings.ReplaceAll(seeds[table], "ID", id)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return db
}

// rank puts the tables first that others refer to.
func rank(table string) int {
	switch table {
	case "orgs":
		return 0
	case "batches":
		return 1
	}
	return 2
}

// tables are those that hold something of an organization's: all but goose's.
func tables(t *testing.T, db *store.DB) map[string]bool {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'v', 'f') AND relname <> 'goose_db_version'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	walled := map[string]bool{}
	for rows.Next() {
		var name string
		var has bool
		if err := rows.Scan(&name, &has); err != nil {
			t.Fatal(err)
		}
		walled[name] = has
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return walled
}

func TestEveryTableHasAWall(t *testing.T) {
	t.Parallel()
	db := teststore.Postgres(t)
	there := tables(t, db)
	for table, walled := range there {
		if !walled {
			t.Errorf("%s has no forced row-level security; add a policy in its migration, as 00002_row_security.sql does", table)
		}
		if _, ok := seeds[table]; !ok && table != "fleet" { // has its one row
			t.Errorf("%s is not in seeds; add a row, so that its wall is tried", table)
		}
	}
	if len(there) != len(seeds)+1 {
		t.Errorf("%d tables, %d seeds", len(there), len(seeds))
	}
	if walled, err := db.Walled(t.Context()); err != nil || !walled {
		t.Errorf("the wall holds for the tests' role: %t, %v", walled, err)
	}
}

func TestNobodySeesNothing(t *testing.T) {
	t.Parallel()
	db := seeded(t)
	for table := range seeds {
		want := func(who string, q store.Queryer, want int) {
			t.Helper()
			var n int
			if err := q.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil || n != want {
				t.Errorf("%s sees %d rows of %s, %v; want %d", who, n, table, err, want)
			}
		}
		want("the system", db, 2)
		want("a connection that says nothing", db.Tenants(), 0)
		for _, id := range []string{"", "*", "org_c", "org_%"} {
			err := db.As(id).Read(t.Context(), func(q store.Queryer) error { want("organization "+id, q, 0); return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"org_a", "org_b"} {
			err := db.As(id).Read(t.Context(), func(q store.Queryer) error {
				if ours[table] {
					want(id, q, 0)
					return nil
				}
				want(id, q, 1)
				var whose string
				err := q.QueryRowContext(t.Context(), `SELECT row_to_json(x)::text FROM `+table+` x`).Scan(&whose)
				if err == nil && !strings.Contains(whose, id) {
					t.Errorf("%s sees %s in %s", id, whose, table)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	// Even a row of no organization is nobody's.
	write(t, db, func(tx *store.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO spend VALUES ('', 'scope', 1)`)
		return err
	})
	var spent int
	if err := db.Tenants().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM spend`).Scan(&spent); err != nil || spent != 0 {
		t.Errorf("a connection that says nothing sees %d rows, %v", spent, err)
	}
	// A connection on which RESET ALL was said, as poolers do.
	conn, err := db.Tenants().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var n int
	for _, query := range []string{`RESET ALL`, `RESET magpie.org`} {
		if _, err := conn.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM batches`).Scan(&n); err != nil || n != 0 {
			t.Errorf("after %s: %d rows, %v", query, n, err)
		}
	}
}

var errUndo = errors.New("undo")

// What an organization writes without a condition meets its own rows only, and
// what it writes for another is refused.
func TestNothingIsWrittenForAnother(t *testing.T) {
	t.Parallel()
	db := seeded(t)
	owner := map[string]string{"orgs": "id", "chunks": "batch", "results": "batch", "duplicates": "batch", "redis_servers": "run_id", "reservations": "id"}
	for table, insert := range seeds {
		column := "org"
		if owner[table] != "" {
			column = owner[table]
		}
		inside := func(fn func(tx *store.Tx)) {
			t.Helper()
			err := db.As("org_a").Behind().Write(t.Context(), func(tx *store.Tx) error { fn(tx); return errUndo })
			if !errors.Is(err, errUndo) {
				t.Fatal(err)
			}
		}
		refused := func(what, query string) {
			t.Helper()
			inside(func(tx *store.Tx) {
				if _, err := tx.ExecContext(t.Context(), query); err == nil || !strings.Contains(err.Error(), "row-level security") {
					t.Errorf("%s: %s: %v, want a refusal", table, what, err)
				}
			})
		}
		// The key is taken by org_b's row; the wall must speak first.
		refused("insert for org_b", strings.ReplaceAll(insert, "ID", "org_b"))
		if !ours[table] {
			refused("give a row to org_b", `UPDATE `+table+` SET `+column+` = 'org_b'`)
		}
		for _, change := range []string{
			`UPDATE ` + table + ` SET ` + column + ` = ` + column,
			`UPDATE ` + table + ` SET ` + column + ` = ` + column + ` WHERE ` + column + ` = 'org_b'`,
			`DELETE FROM ` + table + ` WHERE ` + column + ` = 'org_b'`,
		} {
			inside(func(tx *store.Tx) {
				want := int64(0)
				if !strings.Contains(change, "WHERE") && !ours[table] {
					want = 1
				}
				res, err := tx.ExecContext(t.Context(), change)
				if err != nil {
					t.Errorf("%s: %v", change, err)
					return
				}
				if n, err := res.RowsAffected(); err != nil || n != want {
					t.Errorf("%s: %d rows, %v; want %d", change, n, err, want)
				}
			})
		}
	}
}

// The conditions of the queries are made wrong: each call is told the owner's
// organization, but goes through another's.
func TestWallHoldsWhereAConditionIsWrong(t *testing.T) {
	t.Parallel()
	db := teststore.Postgres(t)
	a, b := org(t, db, "org_a"), org(t, db, "org_b")
	ctx := t.Context()
	batch := upload(t, db, a, ask("one"), ask("two"))
	open := begin(t, db, a, ask("one"))
	question := lookup.Question{1}
	write(t, db, func(tx *store.Tx) error {
		if err := store.PutLookup(ctx, tx, "lkp_1", a, lookup.EmailFinder, lookup.Row{}, start); err != nil {
			return err
		}
		_, err := store.PutAnswers(ctx, tx, a, []store.Answer{{Question: question, Result: json.RawMessage(`{}`)}}, start, start)
		return err
	})
	claim := store.Claim{Org: a, Key: "key", Route: "r", Object: "bat_1"}
	if _, claimed, err := db.ClaimKey(ctx, claim, start, start, start); err != nil || !claimed {
		t.Fatal(claimed, err)
	}
	read := func(fn func(q store.Queryer) error) error { return db.As(b).Read(ctx, fn) }
	behind := db.As(b).Behind()
	for call, err := range map[string]error{
		"get":     read(func(q store.Queryer) error { _, err := store.GetBatch(ctx, q, a, batch.ID); return err }),
		"chunk":   read(func(q store.Queryer) error { _, err := store.GetChunk(ctx, q, batch.ID, 0); return err }),
		"lookup":  read(func(q store.Queryer) error { _, err := store.GetLookup(ctx, q, a, "lkp_1"); return err }),
		"results": db.As(b).EachResult(ctx, batch, "", func(store.ResultRow) error { t.Error("a row"); return nil }),
		"pause":   call(behind.PauseBatch(ctx, a, batch.ID, start)),
		"resume":  call(behind.ResumeBatch(ctx, a, batch.ID)),
		"cancel":  call(behind.CancelBatch(ctx, a, batch.ID, start)),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", call, err)
		}
	}
	err := read(func(q store.Queryer) error {
		list, err := store.ListBatches(ctx, q, store.BatchFilter{}) // of everybody
		if len(list) != 0 {
			t.Errorf("lists %d batches", len(list))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if known, err := db.As(b).Recall(ctx, []lookup.Question{question}, store.Since{}); err != nil || len(known.Answers) != 0 {
		t.Errorf("finds %d answers, %v", len(known.Answers), err)
	}
	if err := behind.DropAbandonedIntakes(ctx, open.Batch().ID, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Accept(ctx, start); err != nil {
		t.Errorf("the upload of another was dropped: %v", err)
	}
	if _, _, err := behind.ClaimKey(ctx, claim, start, start, start); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("claims a key: %v", err)
	}
	if _, err := behind.BeginUpload(ctx, store.Batch{ID: "bat_1", Org: a, CreatedAt: start}); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("begins an upload: %v", err)
	}
}

func call(_ store.Batch, err error) error { return err }

func TestTenantDoesItsOwn(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a, other := org(t, db, "org_a"), org(t, db, "org_b")
		ctx, tenant := t.Context(), db.As(a)
		up, err := tenant.BeginUpload(ctx, store.Batch{ID: "bat_1", Org: other, Service: lookup.EmailFinder, ChunkRows: 2, CreatedAt: start})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range []store.InputRow{ask("one"), bad(), repeat(0), ask("two"), bad()} {
			if err := up.Add(ctx, row); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.As(other).DropIntake(ctx, "bat_1"); err != nil {
			t.Fatal(err)
		}
		if b, err := up.Accept(ctx, start); err != nil || b.Org != a || b.Rows.Total != 5 {
			t.Fatalf("%+v, %v", b, err)
		}
		upload(t, db, other, ask("one"))
		if list, err := tenant.ListBatches(ctx, store.BatchFilter{Org: other}); err != nil || len(list) != 1 || list[0].ID != "bat_1" {
			t.Errorf("%+v, %v", list, err)
		}
		for _, change := range []struct {
			want store.Status
			do   func(*store.Tenant) (store.Batch, error)
		}{
			{store.Paused, func(x *store.Tenant) (store.Batch, error) { return x.PauseBatch(ctx, "bat_1", start) }},
			{store.Accepted, func(x *store.Tenant) (store.Batch, error) { return x.ResumeBatch(ctx, "bat_1") }},
			{store.Cancelled, func(x *store.Tenant) (store.Batch, error) { return x.CancelBatch(ctx, "bat_1", start) }},
			{store.Cancelled, func(x *store.Tenant) (store.Batch, error) { return x.GetBatch(ctx, "bat_1") }},
		} {
			if _, err := change.do(db.As(other)); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s by another: %v", change.want, err)
			}
			if b, err := change.do(tenant); err != nil || b.Status != change.want {
				t.Errorf("%s, %v; want %s", b.Status, err, change.want)
			}
		}
		wantClaims(t, tenant)
	})
}

// wantClaims claims, finishes and releases keys.
func wantClaims(t *testing.T, tenant *store.Tenant) {
	t.Helper()
	claim := store.Claim{Key: "key", Route: "r", Object: "o"}
	for _, want := range []bool{true, false} {
		standing, claimed, err := tenant.ClaimKey(t.Context(), claim, start, start, start)
		if err != nil || claimed != want || standing.Org != "org_a" {
			t.Errorf("%+v, claimed %t, %v; want %t", standing, claimed, err, want)
		}
	}
	claim.ClaimedAt = start
	if err := tenant.ReleaseKey(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if _, claimed, err := tenant.ClaimKey(t.Context(), claim, start, start, start); err != nil || !claimed {
		t.Errorf("a released key: %t, %v", claimed, err)
	}
	claim.Status, claim.Answer = 200, []byte("{}")
	if err := tenant.FinishKey(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if standing, claimed, err := tenant.ClaimKey(t.Context(), claim, start, start, start); err != nil || claimed || standing.Status != 200 {
		t.Errorf("%+v, claimed %t, %v", standing, claimed, err)
	}
}

// With one connection, whatever keeps it makes the next read wait for ever.
func TestReadsGiveTheirConnectionBack(t *testing.T) {
	t.Parallel()
	db := teststore.Postgres(t)
	a := org(t, db, "org_a")
	db.Tenants().SetMaxOpenConns(1)
	b := upload(t, db, a, ask("one"), ask("two"), ask("three"), ask("four"), bad(), bad(), bad(), bad())
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	tenant := db.As(a)

	rows := 0
	err := tenant.EachResult(ctx, b, "", func(store.ResultRow) error {
		rows++
		_, err := tenant.GetBatch(ctx, b.ID) // as a slow download would give others time to
		return err
	})
	if err != nil || rows != 4 {
		t.Errorf("%d rows, %v", rows, err)
	}
	backend := func() (pid int) {
		if err := db.Tenants().QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	before := backend()
	if err := tenant.Read(ctx, func(store.Queryer) error { return errUndo }); !errors.Is(err, errUndo) {
		t.Errorf("%v, want the error of the read", err)
	}
	broken := func(ctx context.Context, query string) error {
		return tenant.Read(ctx, func(q store.Queryer) error {
			var one int
			return q.QueryRowContext(ctx, query).Scan(&one)
		})
	}
	if err := broken(ctx, `SELECT 1 FROM nothing`); err == nil {
		t.Error("a broken query passes")
	}
	if after := backend(); after != before {
		t.Errorf("the connection %d was thrown away, there is %d", before, after)
	}
	cancelled, cancel := context.WithCancel(ctx)
	err = tenant.Read(cancelled, func(q store.Queryer) error { cancel(); return q.QueryRowContext(cancelled, `SELECT 1`).Err() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it cancelled", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = tenant.Read(ctx, func(store.Queryer) error { panic("a bug") })
	}()
	if _, err := tenant.PauseBatch(ctx, b.ID, start); err != nil {
		t.Errorf("after all that: %v", err)
	}
	var whose string
	if err := db.Tenants().QueryRowContext(ctx, `SELECT current_setting('magpie.org') || ':' || (SELECT COUNT(*) FROM batches)`).Scan(&whose); err != nil || whose != ":0" {
		t.Errorf("the connection is still %q, %v", whose, err)
	}
}

// A read is one transaction, which cannot write.
func TestTenantsReadsCannotWrite(t *testing.T) {
	t.Parallel()
	db := teststore.Postgres(t)
	a := org(t, db, "org_a")
	err := db.As(a).Read(t.Context(), func(q store.Queryer) error {
		var name string
		return q.QueryRowContext(t.Context(), `UPDATE orgs SET name = 'x' RETURNING name`).Scan(&name)
	})
	if err == nil || !strings.Contains(err.Error(), "read-only transaction") {
		t.Errorf("%v, want a refusal", err)
	}
}

func TestSuperuserIsNotWalled(t *testing.T) {
	t.Parallel()
	ordinary, super := teststore.PostgresURLs(t)
	for _, who := range []struct {
		url  string
		want bool
	}{{ordinary, true}, {super, false}} { // the first makes the tables
		db, err := store.OpenPostgres(t.Context(), who.url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if walled, err := db.Walled(t.Context()); err != nil || walled != who.want {
			t.Errorf("walled %t, %v; want %t", walled, err, who.want)
		}
	}
}
