package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/magpie-hq/magpie/providers/simulator"
)

// nullSettings suit rows that take no time: large chunks, and only as many at
// once as there are cores.
var nullSettings = map[string]string{
	"CHUNK_ROWS": "2000", "WORKER_CONCURRENCY": "2", "WINDOW": "16", "ROWS_IN_FLIGHT": "2",
}

// bulkNull measures a whole batch whose provider costs nothing, against the
// naive design.
func bulkNull(ctx context.Context, b *bed) (figures []figure, err error) {
	s, err := startServers(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return b.race(ctx, s, race{
		name: "bulk_null_vs_naive", role: "null-worker", settings: nullSettings,
		other: job{Role: "naive", Database: s.postgresURL, Redis: s.redisURL + "?db=1"},
		clear: s.quiesce,
	})
}

// connections is how many clients ask Redis at once where a definition says so.
const connections = 64

// inFlight is how many calls both sides have under way at the vendor.
const inFlight = 64

// httpSettings let more rows wait than calls may be under way, so that the
// vendor is kept busy while a chunk is being stored.
func httpSettings(vendors string) map[string]string {
	return map[string]string{
		"CHUNK_ROWS": "1000", "WORKER_CONCURRENCY": "4", "WINDOW": "16", "ROWS_IN_FLIGHT": "32",
		"HUNTER_URL": vendors + simulator.HunterPath, "HUNTER_CONCURRENT": strconv.Itoa(inFlight),
		"HUNTER_PER_SECOND": "100000000", // no quota: the vendor is to be the limit
	}
}

func bulkHTTP(ctx context.Context, b *bed) ([]figure, error) {
	return b.overHTTP(ctx, "bulk_http_vs_bare", 0)
}

func bulkHTTP5ms(ctx context.Context, b *bed) ([]figure, error) {
	return b.overHTTP(ctx, "bulk_http5ms_vs_bare", 5*time.Millisecond)
}

// overHTTP measures a whole batch whose provider is simulated, in a process of
// its own, against a bare loop that makes the same calls.
func (b *bed) overHTTP(ctx context.Context, name string, latency time.Duration) (figures []figure, err error) {
	s, err := startServers(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	vendors, err := b.spawn(ctx, job{Role: "simulator", Latency: latency})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, vendors.stop()) }()
	vendors.ignore()
	return b.race(ctx, s, race{
		name: name, role: "worker", settings: httpSettings(vendors.API),
		other: job{Role: "bare", Vendor: vendors.API + simulator.HunterPath, InFlight: inFlight},
		clear: func(ctx context.Context) error { return errors.Join(s.quiesce(ctx), reset(ctx, vendors.API)) },
	})
}

// reset makes the simulated vendors forget their calls.
func reset(ctx context.Context, vendors string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, vendors+"/reset", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("bench: reset the simulator: %w", err)
	}
	return response.Body.Close()
}

// race is a whole batch through the API and a worker, against another process
// that does the same in its own way.
type race struct {
	name     string
	role     string // of the worker
	settings map[string]string
	other    job // without its rows
	clear    func(ctx context.Context) error
}

// race measures both sides. The clock of the other side knows neither upload
// nor download.
func (b *bed) race(ctx context.Context, s *servers, r race) (figures []figure, err error) {
	f, err := b.startFleet(ctx, s, r.role, r.settings)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	if _, err := f.bulk(ctx, b.rows/10); err != nil { // connections and caches
		return nil, err
	}
	r.other.Rows = b.rows
	medians, err := b.interleave(ctx,
		side{"magpie, rows/s", func(ctx context.Context) (float64, error) {
			if err := r.clear(ctx); err != nil {
				return 0, err
			}
			return f.bulk(ctx, b.rows)
		}},
		side{r.other.Role + ", rows/s", func(ctx context.Context) (float64, error) {
			if err := r.clear(ctx); err != nil {
				return 0, err
			}
			return b.measureIn(ctx, r.other)
		}},
	)
	if err != nil {
		return nil, err
	}
	return []figure{b.against(r.name, "rows/s", medians[0], medians[1])}, nil
}
