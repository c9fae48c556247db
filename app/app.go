package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
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
	"github.com/magpie-hq/magpie/providers/hunter"
	"github.com/magpie-hq/magpie/providers/phonecheck"
	"github.com/magpie-hq/magpie/providers/prospeo"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

// App is one process with every part in it.
type App struct {
	cfg       Config
	lock      *os.File
	redis     *miniredis.Miniredis
	rdb       redis.UniversalClient
	db        *store.DB
	books     *books.Books
	runner    *tasks.Runner
	simulator *simulator.Simulator
	servers   []*server
	stopClock context.CancelFunc
	clock     sync.WaitGroup
	stop      sync.Once
}

// New opens everything the process needs and listens on its addresses. Nothing
// runs yet. What was opened is closed again if New fails.
func New(ctx context.Context, cfg Config) (_ *App, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, stopClock: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	if err := a.openStorage(ctx); err != nil {
		return nil, err
	}
	gate := ledger.New(a.rdb)
	a.books = books.New(a.db, gate, cfg.Log, time.Now)
	registry := prometheus.NewRegistry()
	waterfalls, err := a.openProviders(ctx, registry)
	if err != nil {
		return nil, err
	}
	engine := enrich.New(cfg.Engine, a.db, a.books, waterfalls, cfg.Log, time.Now)
	dispatcher := tasks.NewDispatcher(a.rdb, a.db, cfg.Window, cfg.Log)
	taskConfig := cfg.Tasks
	taskConfig.Worker = store.NewID("wrk", time.Now())
	a.runner = tasks.NewRunner(taskConfig, dispatcher, engine, a.books, time.Now)
	handler, err := api.New(api.Config{
		AdminKeyHash: store.HashSecret(cfg.AdminKey),
		Prices:       cfg.Prices,
		ChunkRows:    cfg.ChunkRows,
		Services:     func(s lookup.Service) bool { _, ok := waterfalls.For(s); return ok },
	}, api.Deps{
		DB: a.db, Books: a.books, Gate: gate, Engine: engine, Dispatcher: dispatcher,
		Queues: a.queuesPage(), Log: cfg.Log, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	if err := a.listen(ctx, "api", cfg.Addr, handler); err != nil {
		return nil, err
	}
	return a, a.listen(ctx, "operations", cfg.OpsAddr, a.operations(registry))
}

// openStorage opens the data folder: SQLite in it, Redis beside it. What Redis
// held is restored from SQL by the sweeper and by loading accounts.
func (a *App) openStorage(ctx context.Context) error {
	if err := os.MkdirAll(a.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("app: data folder: %w", err)
	}
	var err error
	if a.lock, err = lockDir(a.cfg.Dir); err != nil {
		return err
	}
	if a.db, err = store.OpenSQLite(ctx, filepath.Join(a.cfg.Dir, "magpie.db")); err != nil {
		return err
	}
	// Uploads under way when the last process ended will never be whole.
	if err := a.db.DropAbandonedIntakes(ctx, "", time.Now()); err != nil {
		return err
	}
	a.redis = miniredis.NewMiniRedis()
	password := store.NewSecret("") // other users of this machine see the port
	a.redis.RequireAuth(password)
	if err := a.redis.StartAddr("127.0.0.1:0"); err != nil {
		return fmt.Errorf("app: in-process Redis: %w", err)
	}
	a.rdb = tasks.WithLateScripts(redis.NewClient(&redis.Options{Addr: a.redis.Addr(), Password: password}))
	return nil
}

// keepTime lets keys of the in-process Redis expire: its own clock stands still.
func (a *App) keepTime(ctx context.Context) {
	const step = time.Second
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.redis.FastForward(step)
		}
	}
}

// openProviders starts the simulated vendors and puts the adapters, each behind
// its guard, into the waterfalls.
func (a *App) openProviders(ctx context.Context, registry *prometheus.Registry) (providers.Waterfalls, error) {
	var err error
	if a.simulator, err = simulator.New(a.cfg.Simulator); err != nil {
		return nil, err
	}
	if err := a.listen(ctx, "simulator", "127.0.0.1:0", a.simulator); err != nil {
		return nil, err
	}
	base := a.SimulatorURL()
	metrics := providers.NewMetrics(registry)
	vendor := func(adapter providers.Adapter, path, key string, limits providers.Limits) providers.Provider {
		call := providers.NewHTTP(adapter, providers.HTTPConfig{BaseURL: base + path, Key: key, Timeout: a.cfg.CallTimeout})
		return providers.NewGuard(call, limits, metrics, a.cfg.Log)
	}
	return providers.Waterfalls{
		lookup.EmailFinder: {Providers: []providers.Provider{
			vendor(hunter.Adapter{}, "/hunter/v2", a.cfg.Simulator.Hunter.Key, a.cfg.Hunter),
			vendor(prospeo.Adapter{}, "/prospeo", a.cfg.Simulator.Prospeo.Key, a.cfg.Prospeo),
		}},
		lookup.MobileValidation: {Providers: []providers.Provider{
			providers.NewGuard(phonecheck.Provider{}, providers.Limits{}, metrics, a.cfg.Log),
		}},
	}, nil
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
	clock, stop := context.WithCancel(context.Background())
	a.stopClock = stop
	a.clock.Go(func() { a.keepTime(clock) })
	if err := a.runner.Start(); err != nil {
		return err
	}
	for _, s := range a.servers {
		s.start(a.cfg.Log)
	}
	return nil
}

// Stop ends the process in order. When ctx ends it stops waiting for requests.
func (a *App) Stop(ctx context.Context) error {
	var err error
	a.stop.Do(func() {
		var errs []error
		for _, s := range a.servers {
			if s.name != "simulator" { // work under way still asks it
				errs = append(errs, s.shutdown(ctx))
			}
		}
		a.runner.Stop()
		for _, s := range a.servers {
			errs = append(errs, s.shutdown(ctx))
		}
		err = errors.Join(append(errs, a.close())...)
	})
	return err
}

// close closes what was opened, in reverse order. Parts never opened are nil.
func (a *App) close() error {
	var errs []error
	a.stopClock()
	a.clock.Wait()
	for _, s := range a.servers {
		errs = append(errs, s.close())
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

// URL is where the API is.
func (a *App) URL() string { return a.url("api") }

// OpsURL is where health and metrics are.
func (a *App) OpsURL() string { return a.url("operations") }

// SimulatorURL is where the simulated vendors are.
func (a *App) SimulatorURL() string { return a.url("simulator") }

// Simulator is the simulated world, for audits.
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
