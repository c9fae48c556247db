package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// server is an HTTP server on a listener that is open already.
type server struct {
	name     string
	listener net.Listener
	http     *http.Server
}

func newServer(name string, l net.Listener, h http.Handler) *server {
	return &server{name: name, listener: l, http: &http.Server{
		Handler: h,
		// Bodies may take as long as an upload takes; headers may not.
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}}
}

func (s *server) start(log *slog.Logger) {
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("server ended", "server", s.name, "err", err)
		}
	}()
}

func (s *server) shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return fmt.Errorf("app: stop the %s: %w", s.name, err)
	}
	return nil
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
