package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

const (
	writers      = 64  // chunks that commit at the same time
	answersOf    = 100 // a chunk
	entriesBatch = 100 // entries of a batch in a long history
)

// desk is the books on real servers.
type desk struct {
	servers *servers
	db      *store.DB
	books   *books.Books
}

func openDesk(ctx context.Context) (_ *desk, err error) {
	d := &desk{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.servers, err = startServers(ctx); err != nil {
		return nil, err
	}
	if d.db, err = store.OpenPostgres(ctx, d.servers.postgresURL); err != nil {
		return nil, err
	}
	d.books = books.New(d.db, ledger.New(d.servers.rdb), slog.New(slog.DiscardHandler), time.Now)
	return d, nil
}

func (d *desk) close() error {
	var errs []error
	if d.db != nil {
		errs = append(errs, d.db.Close())
	}
	if d.servers != nil {
		errs = append(errs, d.servers.stop())
	}
	return errors.Join(errs...)
}

// open makes an organization with more credits than it can spend.
func (d *desk) open(ctx context.Context, org string) error {
	_, err := d.db.CreateOrg(ctx, org, "Benchmark", time.Now())
	if err == nil {
		_, _, err = d.books.Grant(ctx, books.Grant{Org: org, Source: books.Purchase, Amount: 1_000_000_000 * lookup.Credit})
	}
	return err
}

// commits measures how many chunks a second one organization can commit.
func commits(ctx context.Context, b *bed) (figures []figure, err error) {
	d, err := openDesk(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.open(ctx, tillOrg); err != nil {
		return nil, err
	}
	account, err := d.books.Balance(ctx, tillOrg)
	if err != nil {
		return nil, err
	}
	c := &counter{desk: d, generation: account.Generation}
	grouped, single := b.rows/20, b.rows/100 // each some seconds at most
	medians, err := b.interleave(ctx,
		side{"commits in groups, the account last, chunks/s", func(ctx context.Context) (float64, error) { return c.commit(ctx, grouped, c.together) }},
		side{"a transaction each, the account first, chunks/s", func(ctx context.Context) (float64, error) { return c.commit(ctx, single, c.alone) }},
	)
	if err != nil {
		return nil, err
	}
	return []figure{b.against("books_commits_grouped_vs_single", "chunks/s", medians[0], medians[1])}, nil
}

// counter commits chunks, all of new questions.
type counter struct {
	*desk
	generation int64 // of the account
	chunks     int64 // committed before this round
}

// commit commits n chunks and returns chunks a second.
func (c *counter) commit(ctx context.Context, n int, one func(ctx context.Context, chunk int64) error) (float64, error) {
	if err := c.servers.quiesce(ctx); err != nil {
		return 0, err
	}
	var next atomic.Int64
	var group errgroup.Group
	began := time.Now()
	for range writers {
		group.Go(func() error {
			for chunk := next.Add(1); chunk <= int64(n); chunk = next.Add(1) {
				if err := one(ctx, c.chunks+chunk); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	rate := float64(n) / time.Since(began).Seconds()
	c.chunks += int64(n)
	if err == nil {
		err = c.check(ctx)
	}
	return rate, err
}

// check makes sure that every chunk was charged, and that the books add up.
func (c *counter) check(ctx context.Context) error {
	sums, err := books.Sums(ctx, c.db, tillOrg)
	if err != nil {
		return err
	}
	if want := lookup.Credits(c.chunks * answersOf * price); sums.Charged != want || len(sums.Differences()) > 0 {
		return fmt.Errorf("bench: %s charged, want %s; %q", sums.Charged, want, sums.Differences())
	}
	return nil
}

// closing charges all answers of a chunk, as a round of it does.
func (c *counter) closing(chunk int64) books.Closing {
	bits := make([]byte, (answersOf+7)/8)
	for i := range answersOf {
		bits[i/8] |= 1 << (i % 8)
	}
	return books.Closing{
		Hold: store.Round{Batch: "bat", Chunk: chunk}.String(), Org: tillOrg, Kind: books.Charge, Service: lookup.EmailFinder,
		Generation: c.generation, Price: price, Units: answersOf, Rows: bits, Scopes: []string{"batch:bat", "key:k:2026-11"},
		Slices: []ledger.Slice{{Lot: 1, Amount: answersOf * price}},
	}
}

// answers are what is kept of a chunk.
func (c *counter) answers(ctx context.Context, tx *store.Tx, chunk int64) error {
	kept := make([]store.Answer, answersOf)
	for n := range kept {
		q := query(int(chunk), n)
		kept[n] = store.Answer{Question: q.Question(), Result: []byte(`{"email":"` + q.Get("last_name") + `@` + q.Get("domain") + `"}`), Provider: "hunter"}
	}
	now := time.Now()
	fresh, err := store.PutAnswers(ctx, tx, tillOrg, kept, now.Add(-time.Hour), now)
	if err == nil && len(fresh) != answersOf {
		err = fmt.Errorf("bench: %d of %d questions are new", len(fresh), answersOf)
	}
	return err
}

// begin writes the chunk's closing.
func begin(ctx context.Context, tx *store.Tx, closing books.Closing) error {
	_, first, err := books.Open(ctx, tx, closing, time.Now())
	if err == nil && !first {
		err = fmt.Errorf("bench: %s has a closing", closing.Hold)
	}
	return err
}

// together commits as Magpie does.
func (c *counter) together(ctx context.Context, chunk int64) error {
	closing := c.closing(chunk)
	return c.db.WriteGrouped(ctx, store.Write{
		Org: tillOrg, Batch: "bat",
		Rows: func(ctx context.Context, tx *store.Tx) error {
			if err := begin(ctx, tx, closing); err != nil {
				return err
			}
			return c.answers(ctx, tx, chunk)
		},
		Last: func(ctx context.Context, tx *store.Tx) error { return books.Post(ctx, tx, closing, time.Now()) },
	})
}

// alone writes the same, the charge before what it pays for.
func (c *counter) alone(ctx context.Context, chunk int64) error {
	closing := c.closing(chunk)
	for {
		err := c.db.Write(ctx, func(tx *store.Tx) error {
			if err := begin(ctx, tx, closing); err != nil {
				return err
			}
			if err := books.Post(ctx, tx, closing, time.Now()); err != nil {
				return err
			}
			return c.answers(ctx, tx, chunk)
		})
		if !c.db.Retry(err) { // nobody waits for a lock for ever
			return err
		}
	}
}

// loads measures how long an account takes to load into the gate, by how much
// there is in its books.
func loads(ctx context.Context, b *bed) (figures []figure, err error) {
	d, err := openDesk(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	const long, short = "org_long", "org_short"
	for org, entries := range map[string]int{long: 10 * b.rows, short: 10} {
		err := d.open(ctx, org)
		if err == nil {
			err = d.past(ctx, org, entries-1) // one is the grant's
		}
		if err != nil {
			return nil, err
		}
	}
	// As autovacuum would have done over such a history.
	err = d.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, "ANALYZE")
		return err
	})
	if err != nil {
		return nil, err
	}
	medians, err := b.interleave(ctx,
		side{"load of a long history, µs", func(ctx context.Context) (float64, error) { return d.load(ctx, long) }},
		side{"load of ten entries, µs", func(ctx context.Context) (float64, error) { return d.load(ctx, short) }},
	)
	if err != nil {
		return nil, err
	}
	return []figure{b.against("ledger_load_growth", "µs", medians[0], medians[1])}, nil
}

// past writes so many charges of one credit, in batches that are over and one
// that is not.
func (d *desk) past(ctx context.Context, org string, charges int) error {
	n, batches := strconv.Itoa(charges), strconv.Itoa(charges/entriesBatch+1)
	return d.db.Write(ctx, func(tx *store.Tx) error {
		for _, statement := range []string{
			`INSERT INTO batches SELECT ? || '_' || n, ?, 'k', 'email-finder', '', CASE WHEN n = ` + batches + ` THEN 'running' ELSE 'completed' END,
				'', 1000, '{}', '[]', 100, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1000, 1, 1, 0, 1 FROM generate_series(1, ` + batches + `) AS n`,
			`INSERT INTO entries (org, seq, line, debit, credit, amount, balance, reference, created_at)
				SELECT ?, n + 1, 0, 'customer_credits', 'revenue:email-finder', 1000, 1000000000000 - 1000 * n, ? || n || ':0', 1 FROM generate_series(1, ` + n + `) AS n`,
			`INSERT INTO closings (hold, org, kind, service, generation, seq, balance, charged, lines, units, slices, created_at)
				SELECT ? || n || ':0', ?, 'charge', 'email-finder', 1, n + 1, 1000000000000 - 1000 * n, 1000, '[[1000,1]]', '\x01', '[{"lot":1,"amount":1000}]', 1
				FROM generate_series(1, ` + n + `) AS n`,
			`INSERT INTO spend (org, scope, charged) SELECT o.org, 'batch:' || ? || '_' || n, 1000 FROM (SELECT ? AS org) AS o, generate_series(1, ` + batches + `) AS n`,
			`UPDATE lots SET remaining = remaining - ` + n + ` * 1000 WHERE org = ? AND ? <> ''`,
			`UPDATE accounts SET seq = seq + ` + n + `, charged = ` + n + ` * 1000, available = available - ` + n + ` * 1000 WHERE org = ? AND ? <> ''`,
		} {
			if _, err := tx.ExecContext(ctx, statement, org, org); err != nil {
				return fmt.Errorf("bench: a long history: %w", err)
			}
		}
		return nil
	})
}

// load loads an account again and again and returns microseconds a load.
func (d *desk) load(ctx context.Context, org string) (float64, error) {
	const times = 1000
	began := time.Now()
	for range times {
		if err := d.books.Load(ctx, org); err != nil {
			return 0, err
		}
	}
	took := time.Since(began)
	proof, err := d.books.Audit(ctx, org, false)
	if err == nil && (len(proof.Differences) > 0 || proof.Busy) {
		err = fmt.Errorf("bench: the account of %s does not add up: %q", org, proof.Differences)
	}
	return float64(took.Microseconds()) / times, err
}
