package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

// openEmbedded opens the data folder: SQLite in it, Redis beside it. What Redis
// held is restored from SQL by the sweeper and by loading accounts.
func (a *App) openEmbedded(ctx context.Context) error {
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
	a.ledgerRedis = a.rdb
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

// openServers connects to the fleet's PostgreSQL and Redis. One that cannot be
// reached yet is waited for, and named by /readyz meanwhile; one that refuses us
// is an error.
func (a *App) openServers(ctx context.Context) error {
	err := a.await(ctx, "PostgreSQL", func() (err error) {
		a.db, err = store.OpenPostgres(ctx, a.cfg.DatabaseURL)
		return err
	})
	if err != nil {
		return err
	}
	if a.rdb, err = a.openRedis(ctx, "REDIS_URL", a.cfg.RedisURL); err != nil {
		return err
	}
	tasks.WithLateScripts(a.rdb)
	a.ledgerRedis = a.rdb
	if a.cfg.LedgerRedisURL != "" {
		a.ledgerRedis, err = a.openRedis(ctx, "LEDGER_REDIS_URL", a.cfg.LedgerRedisURL)
	}
	return err
}

func (a *App) openRedis(ctx context.Context, setting, url string) (redis.UniversalClient, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("app: %s cannot be read, want redis://:password@host:6379/0", setting) // err repeats the URL
	}
	client := redis.NewClient(options)
	err = a.await(ctx, "Redis ("+setting+")", func() error { return client.Ping(ctx).Err() })
	if err == nil {
		err = refuseEviction(ctx, client)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("app: the Redis of %s: %w", setting, err), client.Close())
	}
	return client, nil
}

// refuseEviction refuses a Redis that throws keys away when its memory is full:
// tasks and holds are not a cache. A server that does not tell is trusted.
func refuseEviction(ctx context.Context, client *redis.Client) error {
	config, err := client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return nil //nolint:nilerr // managed servers often forbid CONFIG
	}
	if policy := config["maxmemory-policy"]; policy != "" && policy != "noeviction" {
		return fmt.Errorf("it has maxmemory-policy %s and would throw tasks and credits away when it is full; set maxmemory-policy noeviction", policy)
	}
	return nil
}

// retryEvery is how often a server that cannot be reached is tried.
const retryEvery = time.Second

// await tries until the server can be reached, ctx ends, or the error is one
// that waiting cannot mend.
func (a *App) await(ctx context.Context, server string, try func() error) error {
	for waited := false; ; waited = true {
		err := try()
		if err == nil || !store.Unreachable(err) {
			return err
		}
		a.waiting.Store(server + " cannot be reached")
		if !waited {
			a.cfg.Log.WarnContext(ctx, "waiting for a server", "server", server, "err", err)
		}
		timer := time.NewTimer(retryEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
	}
}
