package books_test

import (
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

func (b *timedBench) audit(full bool) books.Proof {
	b.t.Helper()
	p, err := b.books.Audit(b.t.Context(), org, full)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *timedBench) exec(query string) {
	b.t.Helper()
	err := b.db.Write(b.t.Context(), func(tx *store.Tx) error {
		_, err := tx.ExecContext(b.t.Context(), query)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestAuditOfSoundBooks(t *testing.T) {
	t.Parallel()
	bothDatabases(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		g := b.give(books.Purchase, 10_000, 0)
		b.give(books.Subscription, 2000, time.Hour)
		b.spend("h1", 3)
		if _, err := b.books.Refund(t.Context(), org, "h1", 1); err != nil {
			t.Fatal(err)
		}
		if _, err := b.books.Revoke(t.Context(), org, g.ID, "dispute", 1000); err != nil {
			t.Fatal(err)
		}
		if p := b.audit(true); len(p.Differences) > 0 || p.Busy || p.Entries != 5 {
			t.Errorf("%+v; want five entries and no difference", p)
		}
		open := b.hold("h2", 1)
		if p := b.audit(false); len(p.Differences) > 0 || !p.Busy || p.Entries != 0 {
			t.Errorf("with a hold open: %+v; want it to be busy, with nothing new", p)
		}
		standing, err := b.charge("h2", 1, open)
		if err == nil {
			err = b.books.Settle(t.Context(), org, "h2", standing)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.pass(3 * time.Hour)
		b.sweep()
		if p := b.audit(false); len(p.Differences) > 0 || p.Busy || p.Entries == 0 || p.Entries > 2 {
			t.Errorf("%+v; want only what is new", p)
		}
		if p := b.audit(true); len(p.Differences) > 0 || p.Available != lookup.Credits(b.available()) {
			t.Errorf("%+v", p)
		}
	})
}

func (b *timedBench) available() int64 {
	b.t.Helper()
	balance, err := b.books.Balance(b.t.Context(), org)
	if err != nil {
		b.t.Fatal(err)
	}
	return balance.Available
}

// What a batch's limit goes by is compared too.
func TestAuditFindsSpendThatIsNotTheBatchs(t *testing.T) {
	t.Parallel()
	bothDatabases(t, func(t *testing.T, db *store.DB) {
		b := newTimedBench(t, db)
		b.give(books.Purchase, 10_000, 0)
		up, err := db.BeginUpload(t.Context(), store.Batch{ID: "bat_x", Org: org, Key: "k", Service: lookup.EmailFinder, Price: 1000, ChunkRows: 8, CreatedAt: b.clock.Now()})
		if err == nil {
			_, err = up.Accept(t.Context(), b.clock.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		b.spend("bat_x:0:0", 3)
		b.exec(`UPDATE batches SET charged = 3000`)
		if p := b.audit(true); len(p.Differences) > 0 {
			t.Errorf("%q; want no difference", p.Differences)
		}
		b.exec(`UPDATE spend SET charged = 2000 WHERE scope = 'batch:bat_x'`)
		if p := b.audit(true); len(p.Differences) != 1 || !strings.Contains(p.Differences[0], "its scope counts 2") {
			t.Errorf("%q; want the scope's", p.Differences)
		}
	})
}

// Whatever is changed behind the books' back is found, and named.
func TestAuditFinds(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		`UPDATE accounts SET available = available + 1`:            "the account has",
		`UPDATE accounts SET charged = charged - 1`:                "the closings charged",
		`UPDATE accounts SET grants = grants + 1`:                  "number of the last grant is 1 in the gate and 2 in SQL",
		`UPDATE lots SET remaining = remaining - 1000`:             "lot 1 has 7 left in the gate, SQL has 6",
		`UPDATE entries SET amount = amount + 1 WHERE seq = 2`:     "entry 2 says the balance is",
		`UPDATE entries SET balance = balance + 1 WHERE seq = 2`:   "entry 2 says the balance is 7.001",
		`DELETE FROM entries WHERE seq = 2`:                        "0 charges and 1 closings",
		`DELETE FROM closings`:                                     "1 charges and 0 closings",
		`UPDATE closings SET lines = '[[1000,2]]'`:                 "its prices and units make 2",
		`UPDATE closings SET lines = '[[3000,1]]'`:                 "charges 1 units for 3 rows",
		`UPDATE closings SET slices = '[{"lot":1,"amount":1000}]'`: "burnt 1 of its lots",
		`UPDATE closings SET charged = 2000`:                       "its entry says 3",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			b := newTimedBench(t, teststore.SQLite(t))
			b.give(books.Purchase, 10_000, 0)
			b.spend("h1", 3)
			b.exec(query)
			if p := b.audit(true); !strings.Contains(strings.Join(p.Differences, "\n"), want) {
				t.Errorf("found %q, want %q", p.Differences, want)
			}
		})
	}
}
