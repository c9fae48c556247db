package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

// App is one process.
type App struct {
	cfg             Config
	lock            *os.File
	redis           *miniredis.Miniredis // in an embedded process
	rdb             redis.UniversalClient
	ledgerRedis     redis.UniversalClient // the same, unless the gate has its own
	db              *store.DB
	books           *books.Books
	meet            atomic.Pointer[func(ctx context.Context, server string) error] // see openRedis
	runner          *tasks.Runner                                                  // of a worker
	simulator       *simulator.Simulator
	guards          map[string]*providers.Guard // by the providers' names
	providerMetrics *providers.Metrics
	waterfalls      providers.Live
	board           *providers.Board
	fleet           *providers.Fleet
	background      []func() // stop what runs beside the parts
	servers         []*server
	waiting         atomic.Value // string: what the start waits for; "" once it is over
	stopClock       context.CancelFunc
	clock           sync.WaitGroup
	stop            sync.Once
}

// New opens everything the process needs and listens on its addresses. Only
// health and metrics are served yet: servers of a fleet that cannot be reached
// are waited for until ctx ends. What was opened is closed again if New fails.
func New(ctx context.Context, cfg Config) (_ *App, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, stopClock: func() {}}
	a.waiting.Store("starting")
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	registry := prometheus.NewRegistry()
	if err := a.listen(ctx, "operations", cfg.OpsAddr, a.operations(registry)); err != nil {
		return nil, err
	}
	a.servers[0].start(cfg.Log)
	open := a.openServers
	if cfg.embedded() {
		open = a.openEmbedded
	}
	if err := open(ctx); err != nil {
		return nil, err
	}
	return a, a.assemble(ctx, registry)
}

// assemble builds the parts of the process's role on its storage.
func (a *App) assemble(ctx context.Context, registry *prometheus.Registry) error {
	gate := ledger.New(a.ledgerRedis)
	a.books = books.New(a.db, gate, a.cfg.Log, time.Now,
		books.WithMetrics(books.NewMetrics(registry)), books.WithWatcher(lowBalances{a.cfg.Log}))
	if err := a.meetRedis(ctx); err != nil {
		return err
	}
	if err := a.openProviders(ctx, registry); err != nil {
		return err
	}
	engine := enrich.New(a.cfg.Engine, a.db, a.books, &a.waterfalls, enrich.NewMetrics(registry), a.cfg.Log, time.Now, enrich.WithClaims(a.rdb))
	dispatcher := tasks.NewDispatcher(a.rdb, a.db, a.cfg.Window, a.cfg.Log)
	if a.cfg.Role.works() {
		registry.MustRegister(tasks.NewCollector(a.rdb), tasks.NewBatchCollector(a.db))
		cfg := a.cfg.Tasks
		cfg.Worker, cfg.Metrics = store.NewID("wrk", time.Now()), tasks.NewMetrics(registry)
		a.runner = tasks.NewRunner(cfg, dispatcher, engine, a.books, time.Now)
	}
	if !a.cfg.Role.serves() {
		return nil
	}
	handler, err := api.New(api.Config{
		AdminKeyHash: store.HashSecret(a.cfg.AdminKey),
		Prices:       a.cfg.Prices,
		ChunkRows:    a.cfg.ChunkRows,
		BuyURL:       a.cfg.BuyURL,
		Services:     func(s lookup.Service) bool { _, ok := a.waterfalls.For(s); return ok },
	}, api.Deps{
		DB: a.db, Books: a.books, Gate: gate, Engine: engine, Dispatcher: dispatcher,
		Queues: a.queuesPage(), Providers: a.board.Read, Metrics: api.NewMetrics(registry), Log: a.cfg.Log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	return a.listen(ctx, "api", a.cfg.Addr, handler)
}

// queuesPage is Asynqmon: read-only, and with payloads hidden. Access is the
// API's business.
func (a *App) queuesPage() http.Handler {
	hidden := func(string, []byte) string { return "(hidden)" }
	return asynqmon.New(asynqmon.Options{
		RootPath:         "/ops/queues",
		RedisConnOpt:     sameClient{a.rdb},
		ReadOnly:         true,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(hidden),
		ResultFormatter:  asynqmon.ResultFormatterFunc(hidden),
	})
}

// sameClient gives Asynqmon the process's client.
type sameClient struct{ rdb redis.UniversalClient }

var _ asynq.RedisConnOpt = sameClient{}

// MakeRedisClient returns the process's client.
func (c sameClient) MakeRedisClient() any { return c.rdb }

// Start begins to serve and to work.
func (a *App) Start() error {
	if a.redis != nil {
		clock, stop := context.WithCancel(context.Background())
		a.stopClock = stop
		a.clock.Go(func() { a.keepTime(clock) })
	}
	a.beside(a.fleet.Run)
	if a.runner != nil {
		if err := a.runner.Start(); err != nil {
			return err
		}
	}
	a.beside(a.board.Run)
	for _, s := range a.servers[1:] { // the first has been serving since New
		s.start(a.cfg.Log)
	}
	a.waiting.Store("")
	return nil
}

// beside runs something until the process stops.
func (a *App) beside(run func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	a.background = append(a.background, func() { cancel(); <-done })
}

// Stop ends the process in order: no new requests, chunks under way stored and
// given back, health last. When ctx ends it stops waiting for requests.
func (a *App) Stop(ctx context.Context) error {
	var err error
	a.stop.Do(func() {
		a.waiting.Store("stopping")
		errs := []error{a.shutdown(ctx, "api")}
		if a.runner != nil {
			a.runner.Stop()
		}
		errs = append(errs, a.shutdown(ctx, "simulator"), a.shutdown(ctx, "operations"), a.close())
		err = errors.Join(errs...)
	})
	return err
}

func (a *App) shutdown(ctx context.Context, name string) error {
	for _, s := range a.servers {
		if s.name == name {
			return s.shutdown(ctx)
		}
	}
	return nil
}

// close closes what was opened, in reverse order. Parts never opened are nil.
func (a *App) close() error {
	var errs []error
	for _, stop := range a.background {
		stop()
	}
	a.stopClock()
	a.clock.Wait()
	for _, s := range a.servers {
		errs = append(errs, s.close())
	}
	if a.ledgerRedis != nil && a.ledgerRedis != a.rdb {
		errs = append(errs, a.ledgerRedis.Close())
	}
	if a.rdb != nil {
		errs = append(errs, a.rdb.Close())
	}
	if a.redis != nil {
		a.redis.Close()
	}
	if a.db != nil {
		errs = append(errs, a.db.Close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
	}
	return errors.Join(errs...)
}

// URL is where the API is; "" in a worker.
func (a *App) URL() string { return a.url("api") }

// OpsURL is where health and metrics are.
func (a *App) OpsURL() string { return a.url("operations") }

// SimulatorURL is where the simulated vendors of an embedded process are.
func (a *App) SimulatorURL() string { return a.url("simulator") }

// Simulator is the simulated world, for audits; nil in a fleet.
func (a *App) Simulator() *simulator.Simulator { return a.simulator }

func (a *App) url(name string) string {
	for _, s := range a.servers {
		if s.name == name {
			return "http://" + s.listener.Addr().String()
		}
	}
	return ""
}

func (a *App) listen(ctx context.Context, name, addr string, h http.Handler) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("app: the %s cannot listen on %s: %w", name, addr, err)
	}
	a.servers = append(a.servers, newServer(name, listener, h))
	return nil
}
