package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// roles are what a child can be.
var roles = map[string]func(context.Context, job) error{
	"api":         func(ctx context.Context, j job) error { return magpie(ctx, app.API, j) },
	"worker":      func(ctx context.Context, j job) error { return magpie(ctx, app.Worker, j) },
	"null-worker": nullWorker,
	"simulator":   simulate,
	"naive":       naive,
	"bare":        bare,
	"leaser":      leaser,
}

// magpie is one of Magpie's own processes.
func magpie(ctx context.Context, role app.Role, j job) error {
	if code := app.Run(ctx, role, nil, func(name string) string { return j.Settings[name] }, os.Stdout, os.Stderr); code != 0 {
		return fmt.Errorf("bench: the %s ended with %d", role, code)
	}
	return nil
}

// vendorKey is the key of the simulated vendors.
const vendorKey = "benchmark"

// simulate is the simulated vendors.
func simulate(ctx context.Context, j job) error {
	vendor := simulator.Vendor{Key: vendorKey, Latency: j.Latency, Quota: simulator.Quota{PerSecond: j.PerSecond, Concurrent: j.Concurrent}}
	world, err := simulator.New(simulator.Config{Seed: 1, Hunter: vendor, Prospeo: vendor})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("bench: the simulator cannot listen: %w", err)
	}
	s := &http.Server{Handler: world, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	say(said{Msg: ready, API: "http://" + listener.Addr().String()})
	if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
