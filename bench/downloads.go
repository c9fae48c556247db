package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/magpie-hq/magpie/client"
)

// downloads measures how fast a large batch's results leave the API.
func downloads(ctx context.Context, b *bed) (figures []figure, err error) {
	s, err := startServers(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	f, err := b.startFleet(ctx, s, "null-worker", nullSettings)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	b.sayf("  preparing a batch of %d rows", b.download)
	id, err := f.process(ctx, file(0, b.download))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.check(ctx, id, b.download), s.quiesce(ctx)); err != nil {
		return nil, err
	}
	medians, err := b.interleave(ctx,
		side{"NDJSON, rows/s", func(ctx context.Context) (float64, error) {
			return f.downloaded(ctx, id, client.NDJSON, b.download)
		}},
		side{"CSV, rows/s", func(ctx context.Context) (float64, error) {
			return f.downloaded(ctx, id, client.CSV, b.download+1) // with its header
		}},
	)
	if err != nil {
		return nil, err
	}
	return []figure{
		b.alone("results_ndjson_rows_per_s", "rows/s", medians[0]),
		b.alone("results_csv_rows_per_s", "rows/s", medians[1]),
	}, nil
}

// downloaded downloads so many lines and returns how many a second there were.
func (f *fleet) downloaded(ctx context.Context, id string, format client.Format, want int) (float64, error) {
	began := time.Now()
	lines, err := f.download(ctx, id, format)
	took := time.Since(began)
	if err == nil && lines != want {
		err = fmt.Errorf("bench: %d lines in the results, want %d", lines, want)
	}
	return float64(lines) / took.Seconds(), err
}
