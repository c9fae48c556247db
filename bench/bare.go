package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/hunter"
)

// bare asks the vendor about every row and does nothing with the answers: the
// adapter's own request and its own reading, with net/http in between.
func bare(ctx context.Context, j job) error {
	c := caller{base: j.Vendor, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: j.InFlight}}}
	say(said{Msg: ready})
	if _, err := c.askAll(ctx, warmUp, j.InFlight); err != nil { // connections
		return err
	}
	began := time.Now()
	answered, err := c.askAll(ctx, j.Rows, j.InFlight)
	took := time.Since(began)
	if err != nil {
		return err
	}
	if answered != int64(j.Rows) {
		return fmt.Errorf("bench: the vendor answered %d of %d calls", answered, j.Rows)
	}
	say(said{Msg: measured, PerSecond: float64(j.Rows) / took.Seconds()})
	return nil
}

// warmUp is how many calls are made before the clock starts.
const warmUp = 2000

type caller struct {
	base   string
	client *http.Client
}

// askAll makes n calls, several at a time, and counts those with an answer.
func (c caller) askAll(ctx context.Context, n, inFlight int) (int64, error) {
	var next, answered atomic.Int64
	var group errgroup.Group
	for range inFlight {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				outcome, err := c.ask(ctx, i)
				if err != nil {
					return err
				}
				switch outcome {
				case providers.Hit, providers.Miss, providers.Blocked:
					answered.Add(1)
				}
			}
		})
	}
	err := group.Wait()
	return answered.Load(), err
}

func (c caller) ask(ctx context.Context, n int) (providers.Outcome, error) {
	q := query(0, n)
	request, _ := hunter.Adapter{}.Request(ctx, c.base, q)
	hunter.Adapter{}.Authorise(request, vendorKey)
	response, err := c.client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("bench: bare call: %w", err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // read to its end
	if err != nil {
		return 0, fmt.Errorf("bench: bare call: %w", err)
	}
	return hunter.Adapter{}.Classify(q.Service, response.StatusCode, response.Header, body).Outcome, nil
}
