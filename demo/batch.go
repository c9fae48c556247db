package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

// batch submits a file, watches it to its end, buying credits on the way, and
// keeps its results.
func (s *show) batch(ctx context.Context, service lookup.Service, name string, file []byte) (BatchReport, error) {
	b, err := s.customer.Submit(ctx, client.SubmitRequest{
		Service: service, Name: name, Reader: bytes.NewReader(file), Filename: name + ".csv", ContentType: "text/csv",
	})
	if err != nil {
		return BatchReport{}, err
	}
	s.sayf("%d rows accepted: %d invalid, %d duplicates, at most %s credits", b.Rows.Total, b.Rows.Invalid, b.Rows.Duplicate, b.Credits.Max)
	if b, err = s.watch(ctx, b.ID); err != nil {
		return BatchReport{}, err
	}
	r := BatchReport{
		ID: b.ID, Service: service, Rows: b.Rows.Total, Found: b.Rows.Found, NotFound: b.Rows.NotFound,
		Invalid: b.Rows.Invalid, Failed: b.Rows.Failed, Charged: b.Credits.Charged,
		Results: filepath.Join(s.Dir, name+"-results.csv"), file: file,
	}
	credits, err := s.customer.Credits(ctx)
	if err != nil {
		return BatchReport{}, err
	}
	r.Balance = credits.Available
	return r, s.download(ctx, b.ID, r.Results)
}

// watchEvery is how often a batch is looked at.
const watchEvery = 100 * time.Millisecond

func (s *show) watch(ctx context.Context, id string) (client.Batch, error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	bar := bar{out: s.Progress, terminal: s.Terminal}
	defer bar.end()
	for {
		b, err := s.customer.Batch(ctx, id)
		if err != nil {
			return client.Batch{}, err
		}
		bar.draw(b)
		if s.report.FirstCharge == 0 && b.Credits.Charged > 0 {
			s.report.FirstCharge = time.Since(s.begun)
		}
		switch {
		case b.Status.Ended():
			return b, nil
		case b.Status == client.Paused:
			bar.end()
			if err := s.buy(ctx, b); err != nil {
				return client.Batch{}, err
			}
		}
		select {
		case <-ctx.Done():
			return client.Batch{}, ctx.Err()
		case <-tick.C:
		}
	}
}

// buy does what a customer does whose batch has paused; the batch resumes by
// itself.
func (s *show) buy(ctx context.Context, b client.Batch) error {
	if s.report.Bought > 0 {
		return nil // it is about to resume
	}
	const pack = 500 * lookup.Credit
	credits := (b.Credits.Needed + pack - 1) / pack * pack
	s.sayf("paused: out of credits. It needs %s more; buying %s ...", b.Credits.Needed, credits)
	_, err := s.seller.Grant(ctx, s.org, client.GrantRequest{Source: client.Purchase, Credits: credits, Reference: "demo purchase"})
	s.report.Bought = credits
	return err
}

func (s *show) download(ctx context.Context, id, to string) (err error) {
	results, err := s.customer.Results(ctx, id, client.ResultsOptions{Format: "csv"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, results.Close()) }()
	f, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if _, err := io.Copy(f, results); err != nil {
		_ = f.Close()
		return fmt.Errorf("demo: results: %w", err)
	}
	return f.Close()
}

// bar draws a batch's progress: over itself on a terminal, else a line for
// every tenth.
type bar struct {
	out      io.Writer
	terminal bool
	drawn    bool
	tenth    int64
}

const barWidth = 32

func (p *bar) draw(b client.Batch) {
	if b.Rows.Total == 0 {
		return
	}
	tenth := b.Rows.Done * 10 / b.Rows.Total
	if !p.terminal && p.drawn && tenth == p.tenth {
		return
	}
	p.drawn, p.tenth = true, tenth
	full := int(b.Rows.Done * barWidth / b.Rows.Total)
	line := fmt.Sprintf("[%s%s] %5d/%d  found %d  charged %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full),
		b.Rows.Done, b.Rows.Total, b.Rows.Found, b.Credits.Charged)
	if p.terminal {
		_, _ = fmt.Fprintf(p.out, "\r%-78s", line)
	} else {
		_, _ = fmt.Fprintln(p.out, line)
	}
}

// end leaves the bar as it is and goes to the next line.
func (p *bar) end() {
	if p.terminal && p.drawn {
		_, _ = fmt.Fprintln(p.out)
	}
	p.drawn = false
}
