package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	a.warnOfNoWall(ctx)
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

// warnOfNoWall warns of a role of PostgreSQL that sees every organization's rows,
// whatever we say. Queries still have their own conditions.
func (a *App) warnOfNoWall(ctx context.Context) {
	walled, err := a.db.Walled(ctx)
	switch {
	case err != nil:
		a.cfg.Log.WarnContext(ctx, "cannot tell whether row-level security holds", "err", err)
	case !walled:
		a.cfg.Log.WarnContext(ctx, "row-level security does not hold: the role of DATABASE_URL is a superuser or has BYPASSRLS; connect as an ordinary role that owns the database")
	}
}

func (a *App) openRedis(ctx context.Context, setting, url string) (redis.UniversalClient, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("app: %s cannot be read, want redis://:password@host:6379/0", setting) // err repeats the URL
	}
	options.OnConnect = func(ctx context.Context, conn *redis.Conn) error {
		meet := a.meet.Load()
		if meet == nil {
			return nil // before there are books
		}
		return meetServer(ctx, conn, *meet)
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

// meetRedis tells the books which Redis has the gate, now and at each new
// connection. The in-process one is another at every start.
func (a *App) meetRedis(ctx context.Context) error {
	if a.cfg.embedded() {
		return a.books.Meet(ctx, store.NewID("run", time.Now()))
	}
	meet := a.books.Meet
	a.meet.Store(&meet)
	return meetServer(ctx, a.ledgerRedis, meet)
}

// meetServer tells of a server by its run_id, which is another after a restart,
// and its master_replid, which is another after a promotion too: a server that was
// a replica for a while may have missed something, however well it is known.
func meetServer(ctx context.Context, server interface {
	Info(ctx context.Context, sections ...string) *redis.StringCmd
}, meet func(context.Context, string) error,
) error {
	var names []string
	for _, name := range []struct{ section, field string }{{"server", "run_id"}, {"replication", "master_replid"}} {
		info, err := server.Info(ctx, name.section).Result()
		if err != nil {
			return fmt.Errorf("app: INFO of the Redis: %w", err)
		}
		id := infoField(info, name.field)
		if id == "" {
			return fmt.Errorf("app: the Redis does not tell its %s in INFO %s; allow it, since a failover that goes unnoticed can lose credits", name.field, name.section)
		}
		names = append(names, id)
	}
	return meet(ctx, strings.Join(names, " "))
}

// infoField is a field of what INFO says; "" if it is not there.
func infoField(info, field string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
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
