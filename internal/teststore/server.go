package teststore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// guard runs a server for as long as its own standard input is open. The test
// binary holds the other end, so the server and its directory go when the
// binary goes, however it goes. The server's log is in its directory.
const guard = `trap "" INT; "$@" >"$log" 2>&1 & read -r _; kill -QUIT $!; wait $!; rm -rf "$remove"; true`

// server is a running PostgreSQL.
type server struct {
	dir      string // with its socket
	program  string
	keep     bool // its directory, when it ends
	cmd      *exec.Cmd
	lifeline io.WriteCloser // guard's input; held here, for a pipe that nothing refers to gets closed
}

var databases atomic.Int64

// PostgresURL returns the URL of an empty database, without schema, for an
// ordinary role that owns it.
func PostgresURL(t testing.TB) string {
	t.Helper()
	url, _ := PostgresURLs(t)
	return url
}

// PostgresURLs returns the URL of [PostgresURL], and one of the same database for
// a superuser.
func PostgresURLs(t testing.TB) (ordinary, super string) {
	t.Helper()
	s, err := start()
	switch {
	case err != nil:
		t.Fatalf("teststore: %v", err)
	case s == nil:
		missing(t)
	}
	name := fmt.Sprintf("test%d", databases.Add(1))
	if err := s.create(t.Context(), name); err != nil {
		t.Fatalf("teststore: create a database: %v", err)
	}
	return s.url(role, name), s.url(superuser, name)
}

// create makes a database that belongs to [role].
func (s *server) create(ctx context.Context, database string) error {
	return s.administer(ctx, "CREATE DATABASE "+database+" OWNER "+role)
}

func (s *server) administer(ctx context.Context, statement string) error {
	admin, err := sql.Open("pgx", s.url(superuser, "postgres"))
	if err != nil {
		return err
	}
	_, err = admin.ExecContext(ctx, statement)
	return errors.Join(err, admin.Close())
}

// The server's roles. Tests connect as an ordinary one, as a fleet does:
// row-level security does not bind a superuser.
const (
	role      = "magpie"
	superuser = "postgres"
)

func (s *server) url(user, database string) string {
	return "postgres://" + user + "@/" + database + "?host=" + s.dir
}

// start runs PostgreSQL, the first time it is called. The server is nil if no
// PostgreSQL is installed.
var start = sync.OnceValues(func() (*server, error) { return launch(false) })

// Restartable returns the URL of an empty database on a server of the test's
// own, and functions that end the server's processes and start it again.
func Restartable(t testing.TB) (url string, stop, start func()) {
	t.Helper()
	s, err := launch(true)
	switch {
	case err != nil:
		t.Fatalf("teststore: %v", err)
	case s == nil:
		missing(t)
	}
	stop = func() {
		t.Helper()
		if err := errors.Join(s.lifeline.Close(), s.cmd.Wait()); err != nil {
			t.Errorf("teststore: stop the server: %v", err)
		}
	}
	t.Cleanup(func() {
		stop()
		if err := os.RemoveAll(s.dir); err != nil {
			t.Errorf("teststore: %v", err)
		}
	})
	if err := s.create(t.Context(), "fleet"); err != nil {
		t.Fatalf("teststore: create a database: %v", err)
	}
	return s.url(role, "fleet"), stop, func() {
		t.Helper()
		if err := s.run(); err != nil {
			t.Fatalf("teststore: start the server again: %v", err)
		}
	}
}

// launch starts a server. Its directory goes with it, or is kept for the next
// start.
func launch(keep bool) (*server, error) {
	programs := find()
	if programs == "" {
		return nil, nil //nolint:nilnil // an installation without PostgreSQL is no error here; missing decides
	}
	dir, err := os.MkdirTemp("", "teststore-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the server: %w", err)
	}
	s := &server{dir: dir, keep: keep, program: filepath.Join(programs, "postgres")}
	initdb := exec.CommandContext(context.Background(), filepath.Join(programs, "initdb"), //nolint:gosec // as found on this machine
		"--pgdata", s.data(), "--username", superuser, "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--no-locale")
	if err := asOrdinaryUser(initdb, dir); err != nil {
		return nil, err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	return s, s.administer(context.Background(), "CREATE ROLE "+role+" LOGIN")
}

func (s *server) log() string  { return filepath.Join(s.dir, "log") }
func (s *server) data() string { return filepath.Join(s.dir, "data") }

func (s *server) run() error {
	// No context: the server outlives every single test.
	cmd := exec.CommandContext(context.Background(), "sh", "-c", guard, "guard", s.program, //nolint:gosec // as found on this machine
		"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "max_connections=500", "-c", "log_min_messages=log")
	cmd.Env = append(os.Environ(), "log="+s.log())
	if !s.keep {
		cmd.Env = append(cmd.Env, "remove="+s.dir)
	}
	if err := os.RemoveAll(s.log()); err != nil {
		return err
	}
	if err := asOrdinaryUser(cmd, s.dir); err != nil {
		return err
	}
	var err error
	if s.lifeline, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.program, err)
	}
	s.cmd = cmd
	return awaitReady(s.log())
}

// find returns the folder of PostgreSQL's server programs, or "" if none are
// installed. Debian keeps them off PATH.
func find() string {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path)
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

// awaitReady reads the server's log until it accepts connections.
func awaitReady(log string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		select {
		case <-tick.C:
			text, err := os.ReadFile(log)
			if err == nil && bytes.Contains(text, []byte("ready to accept connections")) {
				return nil
			}
		case <-limit:
			text, err := os.ReadFile(log)
			return errors.Join(fmt.Errorf("the server is not ready after 30 s; its log:\n%s", text), err)
		}
	}
}
