package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// server is an HTTP server on a listener that is open already.
type server struct {
	name     string
	listener net.Listener
	http     *http.Server
	handlers sync.RWMutex // each handler at work has it for reading
}

func newServer(name string, l net.Listener, h http.Handler) *server {
	s := &server{name: name, listener: l}
	s.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.handlers.RLock()
			defer s.handlers.RUnlock()
			h.ServeHTTP(w, r)
		}),
		// Bodies may take as long as an upload takes; headers may not.
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	return s
}

func (s *server) start(log *slog.Logger) {
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("server ended", "server", s.name, "err", err)
		}
	}()
}

// cleanUpTime bounds how long handlers that were cut off may take to undo what
// they began.
const cleanUpTime = 5 * time.Second

// shutdown takes no more requests and lets those under way end. When ctx ends
// first they are cut off, and their handlers, which then see a broken
// connection, clean up before the storage beneath them is closed.
func (s *server) shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err == nil {
		return nil
	}
	err = errors.Join(fmt.Errorf("app: stop the %s: requests under way were cut off: %w", s.name, err), s.http.Close())
	ended := make(chan struct{})
	go func() {
		s.handlers.Lock()
		close(ended) // it stays locked: nothing is to begin any more
	}()
	timer := time.NewTimer(cleanUpTime)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		err = errors.Join(err, fmt.Errorf("app: stop the %s: handlers were still at work after %s more", s.name, cleanUpTime))
	}
	return err
}

// close ends the server at once, also one that was never started.
func (s *server) close() error {
	err := s.http.Close()
	if closed := s.listener.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return err
}

// operations serves health and metrics.
func (a *App) operations(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if why := a.waiting.Load(); why != "" {
			say(w, http.StatusServiceUnavailable, fmt.Sprint(why))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := errors.Join(a.ledgerRedis.Ping(ctx).Err(), a.rdb.Ping(ctx).Err()); err != nil {
			say(w, http.StatusServiceUnavailable, "Redis does not answer")
			return
		}
		var one int
		if err := a.db.QueryRowContext(ctx, `SELECT 1`).Scan(&one); err != nil {
			say(w, http.StatusServiceUnavailable, "SQL does not answer")
			return
		}
		say(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // the caller hung up: nobody to tell
}
