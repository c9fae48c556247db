package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/magpie-hq/magpie/ledger"
)

// ledgers measures how many results a second the gate can charge to one
// account, against a plain DECRBY a result.
func ledgers(ctx context.Context, b *bed) (figures []figure, err error) {
	s := &servers{}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.startRedis(ctx); err != nil {
		return nil, err
	}
	t := till{rdb: s.rdb, gate: ledger.New(s.rdb)}
	decrements, hundreds, singles := b.rows, b.rows/5, b.rows/2 // each some seconds at most
	medians, err := b.interleave(ctx,
		side{"DECRBY, results/s", func(ctx context.Context) (float64, error) {
			return perSecond(decrements, func(int) error { return t.rdb.DecrBy(ctx, "decrby", price).Err() })
		}},
		side{"settle of 100, results/s", func(ctx context.Context) (float64, error) {
			return t.charge(ctx, hundreds, 100, true)
		}},
		side{"hold and settle of 100, results/s", func(ctx context.Context) (float64, error) {
			return t.charge(ctx, hundreds, 100, false)
		}},
		side{"hold and settle of 1, results/s", func(ctx context.Context) (float64, error) {
			return t.charge(ctx, singles, 1, false)
		}},
	)
	if err != nil {
		return nil, err
	}
	for i, name := range []string{"ledger_settle100_vs_decrby", "ledger_hold_settle100_vs_decrby", "ledger_single_vs_decrby"} {
		figures = append(figures, b.against(name, "results/s", medians[i+1], medians[0]))
	}
	return figures, nil
}

const (
	tillOrg = "org_benchmark"
	price   = 1000 // millicredits
)

// till charges one account in an otherwise empty Redis.
type till struct {
	rdb  *redis.Client
	gate *ledger.Gate
}

// charge charges n holds of so many results each and returns results a second.
// If held is set, the holds are made before the clock starts.
func (t till) charge(ctx context.Context, n, results int, held bool) (float64, error) {
	const granted = 1_000_000_000_000
	err := t.rdb.FlushDB(ctx).Err()
	if err == nil {
		_, err = t.gate.Load(ctx, ledger.Snapshot{
			Org: tillOrg, Generation: 1, Grant: 1, Granted: granted,
			Lots: []ledger.Lot{{ID: 1, Class: ledger.Paid, Free: granted}},
		})
	}
	if err != nil {
		return 0, err
	}
	hold := func(i int) error { return t.hold(ctx, i, results) }
	settle := func(i int) error { return t.settle(ctx, i, results) }
	work := func(i int) error { return errors.Join(hold(i), settle(i)) }
	if held {
		if _, err := perSecond(n, hold); err != nil {
			return 0, err
		}
		work = settle
	}
	calls, err := perSecond(n, work)
	if err != nil {
		return 0, err
	}
	balance, err := t.gate.Balance(ctx, tillOrg)
	if want := int64(n * results * price); err == nil && (balance.Captured != want || balance.Held != 0) {
		err = fmt.Errorf("bench: %d millicredits captured and %d held, want %d and none", balance.Captured, balance.Held, want)
	}
	return calls * float64(results), err
}

// hold holds as enrich does: for the key's month, and a round of a batch for the
// batch too.
func (t till) hold(ctx context.Context, i, results int) error {
	scopes := []ledger.Scope{{Name: "key:k:2026-11"}, {Name: "batch:b"}}
	if results == 1 {
		scopes = scopes[:1]
	}
	_, err := t.gate.Hold(ctx, ledger.HoldRequest{
		Org: tillOrg, ID: strconv.Itoa(i), Want: int64(results), Least: 1, Price: price, Scopes: scopes, Life: 5 * time.Minute,
	})
	return err
}

func (t till) settle(ctx context.Context, i, results int) error {
	_, err := t.gate.Settle(ctx, tillOrg, strconv.Itoa(i), int64(results)*price, 1)
	return err
}

// perSecond calls fn for 0 to n-1 from as many goroutines as there are
// connections, and returns calls a second.
func perSecond(n int, fn func(i int) error) (float64, error) {
	var next atomic.Int64
	var group errgroup.Group
	began := time.Now()
	for range connections {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := fn(i); err != nil {
					return err
				}
			}
		})
	}
	err := group.Wait()
	return float64(n) / time.Since(began).Seconds(), err
}
