package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/redis/go-redis/v9"
)

// guard runs a server for as long as its own standard input is open. The
// benchmark holds the other end, so the server and its folder go when the
// benchmark goes, however it goes.
const guard = `trap "" HUP INT TERM; "$@" >"$dir/log" 2>&1 & read -r _; kill "-$end" $!; wait $!; rm -rf "$dir"; true`

// server is a running server in a folder of its own.
type server struct {
	dir      string
	cmd      *exec.Cmd
	lifeline io.Closer // guard's input
}

// servers are what a fleet stands on.
type servers struct {
	redis, postgres *server
	redisURL        string
	postgresURL     string
	rdb             *redis.Client
	db              *sql.DB // as a superuser
}

// startServers runs a Redis that keeps nothing on disk and a PostgreSQL that
// syncs every commit, both as they are installed, on Unix sockets.
func startServers(ctx context.Context) (_ *servers, err error) {
	s := &servers{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if err := s.startRedis(ctx); err != nil {
		return nil, err
	}
	return s, s.startPostgres(ctx)
}

func (s *servers) startRedis(ctx context.Context) error {
	program, err := anyOf("redis-server", "valkey-server")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-redis-")
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "redis.sock")
	s.redis, err = launch(ctx, dir, "TERM", nil, program,
		"--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no")
	if err != nil {
		return err
	}
	s.redisURL = "unix://" + socket
	s.rdb = redis.NewClient(&redis.Options{Network: "unix", Addr: socket, PoolSize: connections})
	return s.redis.await(ctx, func() error { return s.rdb.Ping(ctx).Err() })
}

func (s *servers) startPostgres(ctx context.Context) error {
	program, err := anyOf("postgres", "/usr/lib/postgresql/*/bin/postgres")
	if err == nil {
		program, err = filepath.EvalSymlinks(program) // initdb is beside the program itself
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-postgres-")
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(filepath.Dir(program), "initdb"), //nolint:gosec // as found on this machine
		"--pgdata", data, "--username", "postgres", "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--no-locale")
	if err := asOrdinaryUser(initdb, dir); err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("bench: initdb: %w\n%s", err, out)
	}
	s.postgres, err = launch(ctx, dir, "QUIT", asOrdinaryUser, program, "-D", data, "-k", dir,
		"-c", "listen_addresses=", "-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on")
	if err != nil {
		return err
	}
	if s.db, err = sql.Open("pgx", "postgres://postgres@/postgres?host="+dir); err != nil {
		return err
	}
	if err := s.postgres.await(ctx, func() error { return s.db.PingContext(ctx) }); err != nil {
		return err
	}
	// The fleet's role is an ordinary one: row-level security costs what it costs.
	for _, statement := range []string{"CREATE ROLE magpie LOGIN", "CREATE DATABASE magpie OWNER magpie"} {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("bench: %s: %w", statement, err)
		}
	}
	s.postgresURL = "postgres://magpie@/magpie?host=" + dir
	return nil
}

// quiesce lets PostgreSQL write out what the last side left, so that the next
// one does not pay for it.
func (s *servers) quiesce(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("bench: checkpoint: %w", err)
	}
	return nil
}

// stop ends the servers that were started. Their data goes with them.
func (s *servers) stop() error {
	var errs []error
	if s.rdb != nil {
		errs = append(errs, s.rdb.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, s.redis.stop(), s.postgres.stop())...)
}

// launch runs a program under guard. end is the signal that ends it at once.
func launch(ctx context.Context, dir, end string, as func(*exec.Cmd, string) error, program string, args ...string) (*server, error) {
	// Not ended with ctx: guard ends it in order.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "sh", append([]string{"-c", guard, "guard", program}, args...)...) //nolint:gosec // as found on this machine
	cmd.Env = append(os.Environ(), "dir="+dir, "end="+end)
	if as != nil {
		if err := as(cmd, dir); err != nil {
			return nil, err
		}
	}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", filepath.Base(program), err)
	}
	return &server{dir: dir, cmd: cmd, lifeline: lifeline}, nil
}

// startTime bounds how long a server or a process may take to be ready.
const startTime = 30 * time.Second

// await tries until the server answers.
func (s *server) await(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log")) // perhaps there is none
			return fmt.Errorf("bench: %s is not ready: %w; its log:\n%s", filepath.Base(s.dir), err, log)
		case <-tick.C:
		}
	}
}

func (s *server) stop() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.lifeline.Close(), s.cmd.Wait())
}

// anyOf finds a program by its names, which may be patterns of paths: Debian
// keeps PostgreSQL's off PATH.
func anyOf(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		if found, err := filepath.Glob(name); err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("bench: there is no %s on this machine; install it (Debian: apt-get install redis-server postgresql)", names[0])
}
