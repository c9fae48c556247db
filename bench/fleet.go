package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

// fleet is an API and a worker as processes, with a customer.
type fleet struct {
	api, worker *process
	customer    *client.Client
	round       int // of rows; so that all questions are new
	sayf        func(format string, args ...any)
}

const adminKey = "administrator-of-the-benchmark"

// startFleet runs an API and a worker of the given role with further settings.
func (b *bed) startFleet(ctx context.Context, s *servers, role string, settings map[string]string) (_ *fleet, err error) {
	all := map[string]string{
		"DATABASE_URL": s.postgresURL, "REDIS_URL": s.redisURL + "?db=0", "ADMIN_KEY": adminKey,
		"API_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0", "HUNTER_API_KEY": vendorKey,
	}
	maps.Copy(all, settings)
	maps.Copy(all, b.settings)
	f := &fleet{sayf: b.sayf}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.stop())
		}
	}()
	if f.api, err = b.spawn(ctx, job{Role: "api", Settings: all}); err != nil {
		return nil, err
	}
	f.api.ignore()
	f.worker, err = b.spawn(ctx, job{Role: role, Settings: all, Database: s.postgresURL, Redis: s.redisURL + "?db=0"})
	if err != nil {
		return nil, err
	}
	f.worker.ignore()
	return f, f.sell(ctx)
}

func (f *fleet) stop() error { return errors.Join(f.worker.stop(), f.api.stop()) }

// sell makes an organization with a key and more credits than it can spend.
func (f *fleet) sell(ctx context.Context) error {
	admin, err := client.New(f.api.API, adminKey)
	if err != nil {
		return err
	}
	org, err := admin.CreateOrg(ctx, "Benchmark")
	if err != nil {
		return err
	}
	key, err := admin.CreateKey(ctx, org.ID, "benchmark")
	if err != nil {
		return err
	}
	_, err = admin.Grant(ctx, org.ID, client.GrantRequest{Source: client.Purchase, Credits: 100_000_000 * lookup.Credit, Reference: "benchmark"})
	if err != nil {
		return err
	}
	f.customer, err = client.New(f.api.API, key.Secret)
	return err
}

// bulk takes a file from the first byte of its upload to the last byte of its
// results and returns rows a second.
func (f *fleet) bulk(ctx context.Context, rows int) (float64, error) {
	f.round++
	text := file(f.round, rows)
	began := time.Now()
	id, err := f.process(ctx, text)
	if err != nil {
		return 0, err
	}
	processed := time.Since(began)
	lines, err := f.download(ctx, id, client.NDJSON)
	took := time.Since(began)
	f.sayf("  %d rows completed after %d ms, downloaded after %d ms", rows, processed.Milliseconds(), took.Milliseconds())
	if err == nil && lines != rows {
		err = fmt.Errorf("bench: %d rows in the results, want %d", lines, rows)
	}
	if err != nil {
		return 0, err
	}
	return float64(rows) / took.Seconds(), f.check(ctx, id, rows)
}

// process submits a file and waits until its batch is completed.
func (f *fleet) process(ctx context.Context, text []byte) (id string, err error) {
	began := time.Now()
	batch, err := f.customer.Submit(ctx, client.SubmitRequest{
		Service: lookup.EmailFinder, Reader: bytes.NewReader(text), ContentType: "text/csv",
	})
	if err != nil {
		return "", err
	}
	f.sayf("  accepted after %d ms", time.Since(began).Milliseconds())
	tick := time.NewTicker(50 * time.Millisecond) // within the API's limit of requests a minute
	defer tick.Stop()
	for !batch.Status.Ended() {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("bench: %d of %d rows done: %w", batch.Rows.Done, batch.Rows.Total, ctx.Err())
		case <-tick.C:
		}
		if batch, err = f.customer.Batch(ctx, batch.ID); err != nil {
			return "", err
		}
	}
	return batch.ID, nil
}

// download reads all results and counts their lines.
func (f *fleet) download(ctx context.Context, id string, format client.Format) (lines int, err error) {
	results, err := f.customer.Results(ctx, id, client.ResultsOptions{Format: format})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, results.Close()) }()
	in := bufio.NewReaderSize(results, 1<<16)
	for {
		_, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil:
			return 0, fmt.Errorf("bench: results: %w", err)
		}
		lines++
	}
}

// check makes sure that the batch is what it claims: every row answered, every
// found one charged.
func (f *fleet) check(ctx context.Context, id string, rows int) error {
	b, err := f.customer.Batch(ctx, id)
	if err != nil {
		return err
	}
	r := b.Rows
	f.sayf("  %d of %d rows found and charged", r.Found, r.Total)
	if r.Done != int64(rows) || r.Failed+r.Invalid+r.Duplicate+r.Reused > 0 || b.Credits.Charged != lookup.Credits(r.Found)*lookup.Credit {
		return fmt.Errorf("bench: the batch of %d new questions ended with %+v, %s charged", rows, r, b.Credits.Charged)
	}
	return nil
}
