package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/hunter"
	"github.com/magpie-hq/magpie/providers/simulator"
)

// The quota that the processes share.
const (
	quotaProcesses  = 8
	quotaPerSecond  = 200
	quotaConcurrent = 50
	quotaLatency    = 5 * time.Millisecond
	quotaWarmUp     = 4 * time.Second // leases, connections, and what Redis is taken to have forgotten
)

// quotas measures how much of a vendor's quota eight processes use that always
// want more, what the vendor counts as too much, and what it costs Redis.
func quotas(ctx context.Context, b *bed) (figures []figure, err error) {
	s := &servers{}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.startRedis(ctx); err != nil {
		return nil, err
	}
	vendors, err := b.spawn(ctx, job{Role: "simulator", Latency: quotaLatency, PerSecond: quotaPerSecond, Concurrent: quotaConcurrent})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, vendors.stop()) }()
	vendors.ignore()
	var used, violations, commands []float64
	for round := range b.rounds {
		seen, perSecond, err := b.quotaRound(ctx, s, vendors.API)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
		b.sayf("  round %d of %d: %.4f used, %.0f too many, %.1f commands/s", round+1, b.rounds, seen.used, seen.violations, perSecond)
		used, violations, commands = append(used, seen.used), append(violations, seen.violations), append(commands, perSecond)
	}
	worst := 0.0
	for _, n := range violations {
		worst = max(worst, n)
	}
	return []figure{
		b.alone("quota_utilisation", "share", median(used)),
		b.alone("quota_violations", "calls", worst), // the worst round: a median would hide one
		b.alone("guard_redis_cps", "commands/s", median(commands)),
	}, nil
}

// seen is what the vendor saw in one round.
type seen struct{ used, violations float64 }

// quotaRound runs the processes once.
func (b *bed) quotaRound(ctx context.Context, s *servers, vendor string) (saw seen, perSecond float64, err error) {
	if err := errors.Join(reset(ctx, vendor), s.rdb.FlushAll(ctx).Err()); err != nil {
		return seen{}, 0, err
	}
	var processes []*process
	defer func() {
		for _, p := range processes {
			err = errors.Join(err, p.stop())
		}
	}()
	for n := range quotaProcesses {
		p, err := b.spawn(ctx, job{Role: "leaser", Vendor: vendor, Redis: s.redisURL + "?db=0", InFlight: 16, Rows: n, For: quotaWarmUp + b.quotaTime})
		if err != nil {
			return seen{}, 0, err
		}
		processes = append(processes, p)
	}
	pause(ctx, quotaWarmUp)
	before, err := vendorStats(ctx, vendor)
	if err != nil {
		return seen{}, 0, err
	}
	began := time.Now()
	pause(ctx, b.quotaTime)
	after, err := vendorStats(ctx, vendor)
	if err != nil {
		return seen{}, 0, err
	}
	took := time.Since(began)
	for _, n := range after.Violations {
		saw.violations += float64(n)
	}
	saw.used = float64(after.Calls-before.Calls) / (quotaPerSecond * took.Seconds())
	for _, p := range processes {
		said, err := p.hear(measured)
		if err != nil {
			return seen{}, 0, err
		}
		perSecond = max(perSecond, said.PerSecond)
	}
	return saw, perSecond, nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func vendorStats(ctx context.Context, vendor string) (simulator.VendorStats, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, vendor+"/stats", nil)
	if err != nil {
		return simulator.VendorStats{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return simulator.VendorStats{}, fmt.Errorf("bench: what the simulator saw: %w", err)
	}
	var stats simulator.Stats
	err = json.NewDecoder(response.Body).Decode(&stats)
	return stats.Vendors["hunter"], errors.Join(err, response.Body.Close())
}

// leaser is one of the processes: callers who always want the next call, behind
// a guard in a fleet. It says how many commands a second it sent to Redis.
func leaser(ctx context.Context, j job) error {
	options, err := redis.ParseURL(j.Redis)
	if err != nil {
		return fmt.Errorf("bench: address of Redis: %w", err)
	}
	rdb := redis.NewClient(options)
	defer func() { _ = rdb.Close() }() // the process ends
	counter := &commandCounter{}
	rdb.AddHook(counter)
	fleet := providers.NewFleet(providers.FleetConfig{
		Redis: rdb, Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)), Member: strconv.Itoa(j.Rows),
	})
	guard := providers.NewGuard(
		providers.NewHTTP(hunter.Adapter{}, providers.HTTPConfig{BaseURL: j.Vendor + simulator.HunterPath, Key: vendorKey}),
		providers.Limits{PerSecond: quotaPerSecond, MaxConcurrent: quotaConcurrent}, nil, nil)
	fleet.Join(guard)
	ctx, cancel := context.WithTimeout(ctx, j.For)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { fleet.Run(ctx) })
	for n := range j.InFlight {
		all.Go(func() {
			for i := n; ctx.Err() == nil; i += j.InFlight {
				guard.Ask(ctx, query(j.Rows, i))
			}
		})
	}
	say(said{Msg: ready})
	began := time.Now()
	all.Wait()
	say(said{Msg: measured, PerSecond: float64(counter.n.Load()) / time.Since(began).Seconds()})
	return nil
}

// commandCounter counts what a client sends.
type commandCounter struct{ n atomic.Int64 }

// DialHook changes nothing.
func (c *commandCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook counts a command.
func (c *commandCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook counts the commands of a pipeline.
func (c *commandCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}
