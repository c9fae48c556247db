package testredis

import (
	"errors"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Server is a real Redis that a test has to itself and may treat badly.
type Server struct {
	t       testing.TB
	dir     string
	options []string
	process *process
}

// Restartable starts a real Redis with further options, such as "--appendonly",
// "yes". It ends with the test, and its files with it.
func Restartable(t testing.TB, options ...string) *Server {
	t.Helper()
	if find() == "" {
		missing(t)
	}
	dir, err := os.MkdirTemp("", "testredis-") //nolint:usetesting // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatalf("testredis: %v", err)
	}
	s := &Server{t: t, dir: dir, options: options}
	t.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("testredis: %v", err)
		}
	})
	s.Start()
	return s
}

// Start starts the server again, with what it has on disk.
func (s *Server) Start() {
	s.t.Helper()
	var err error
	if s.process, err = launchIn(s.dir, true, s.options...); err != nil {
		s.t.Fatalf("testredis: %v", err)
	}
}

// Kill is kill -9. It returns when the server is gone; one that is gone already
// is left alone.
func (s *Server) Kill() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := errors.Join(s.process.lifeline.Close(), s.process.cmd.Wait()); err != nil {
		s.t.Errorf("testredis: kill the server: %v", err)
	}
	s.process = nil
}

// Options are how to connect to the server.
func (s *Server) Options() *redis.Options {
	return &redis.Options{Network: "unix", Addr: s.process.socket}
}

// Client returns a client of the server, closed with the test.
func (s *Server) Client() *redis.Client {
	s.t.Helper()
	return connect(s.t, s.Options())
}
