package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

// null is a provider inside the process that finds everybody at once. It is
// the most work that a row can make after the call: each is stored, charged and
// kept for reuse.
type null struct{}

func (null) Name() string               { return "null" }
func (null) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }

func (null) Ask(_ context.Context, q lookup.Query) providers.Answer {
	domain := q.Get("domain")
	return providers.Answer{Outcome: providers.Hit, Result: map[string]any{
		"email": q.Get("first_name") + "." + q.Get("last_name") + "@" + domain, "status": "valid", "domain": domain,
	}}
}

// nullWorker is a worker as package app builds it, but for its only provider.
// It reads the settings of the same names.
func nullWorker(ctx context.Context, j job) error {
	defer app.TakeHeadroom()()
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	options, err := redis.ParseURL(j.Redis)
	if err != nil {
		return fmt.Errorf("bench: address of Redis: %w", err)
	}
	rdb := tasks.WithLateScripts(redis.NewClient(options))
	defer func() { _ = rdb.Close() }() // the process ends
	db, err := store.OpenPostgres(ctx, j.Database)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // as above
	number := func(name string) int {
		n, _ := strconv.Atoi(j.Settings[name]) // 0 takes the default
		return n
	}
	registry := prometheus.NewRegistry()
	money := books.New(db, ledger.New(rdb), log, time.Now)
	guarded := providers.NewGuard(null{}, providers.Limits{}, providers.NewMetrics(registry), log)
	engine := enrich.New(enrich.Config{InFlight: number("ROWS_IN_FLIGHT")}, db, money,
		providers.Waterfalls{lookup.EmailFinder: {Providers: []providers.Provider{guarded}, Local: true}},
		enrich.NewMetrics(registry), log, time.Now, enrich.WithClaims(rdb))
	dispatcher := tasks.NewDispatcher(rdb, db, number("WINDOW"), log)
	runner := tasks.NewRunner(tasks.Config{Worker: store.NewID("wrk", time.Now()), Concurrency: number("WORKER_CONCURRENCY")},
		dispatcher, engine, money, time.Now)
	if err := runner.Start(); err != nil { //nolint:contextcheck // it ends with Stop
		return err
	}
	say(said{Msg: ready})
	<-ctx.Done()
	runner.Stop()
	return nil
}
