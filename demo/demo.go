package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/tasks"
)

// Options says where the demo works and what it writes to.
type Options struct {
	Dir      string    // for the results; "" for a new temporary folder
	Out      io.Writer // the table and the audit
	Progress io.Writer // what happens meanwhile
	Terminal bool      // whether Progress is a terminal, which can redraw a line
	JSON     bool      // write the report as JSON
}

const (
	people       = 2000
	seed         = 7
	firstCredits = 1000 * lookup.Credit
)

// ErrAudit means that the demo ran, but its numbers do not add up.
var ErrAudit = errors.New("demo: the audit found differences")

// Run starts Magpie in this process, submits two files to it, buys credits when
// they run out, and audits the bill from outside. It takes about a quarter of a
// minute. The results stay in the folder.
func Run(ctx context.Context, o Options) (err error) {
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "magpie-demo-"); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	data := filepath.Join(o.Dir, "data")
	keys, err := app.LoadKeys(data)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, configuration(data, keys))
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, a.Stop(stopping), os.RemoveAll(data))
	}()
	s := show{Options: o, app: a, begun: time.Now()}
	if s.org, err = a.SeedDeveloper(ctx, keys.API, firstCredits); err != nil {
		return err
	}
	if err := a.Start(); err != nil { //nolint:contextcheck // it ends with Stop, not with a context
		return err
	}
	if s.customer, err = client.New(a.URL(), keys.API); err != nil {
		return err
	}
	if s.seller, err = client.New(a.URL(), keys.Admin); err != nil {
		return err
	}
	return s.perform(ctx)
}

// configuration is a small installation whose vendors have a bad day: Prospeo's
// quota is lower than we were told, and Hunter browns out for a while.
func configuration(dir string, keys app.Keys) app.Config {
	return app.Config{
		Dir: dir, Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", AdminKey: keys.Admin,
		Simulator: simulator.Config{
			Seed: seed,
			Hunter: simulator.Vendor{
				Key: "hunter-demo", Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond,
				Quota:    simulator.Quota{PerSecond: 400},
				BrownOut: simulator.BrownOut{AfterCalls: 700, For: 2 * time.Second, ErrorRate: 0.6, LatencyFactor: 5},
			},
			Prospeo: simulator.Vendor{
				Key: "prospeo-demo", Latency: 30 * time.Millisecond, Jitter: 30 * time.Millisecond,
				Quota: simulator.Quota{PerSecond: 130},
			},
		},
		Hunter:    providers.Limits{PerSecond: 240, Burst: 40, MaxConcurrent: 64, OpenFor: 500 * time.Millisecond},
		Prospeo:   providers.Limits{PerSecond: 150, Burst: 30, MaxConcurrent: 64, OpenFor: 500 * time.Millisecond},
		ChunkRows: 50,
		Engine:    enrich.Config{InFlight: 16, RowDeadline: time.Minute},
		Tasks:     tasks.Config{Poll: 20 * time.Millisecond, Sweep: 250 * time.Millisecond},
		Log:       slog.New(slog.DiscardHandler),
	}
}

// show is one performance of the demo.
type show struct {
	Options
	app              *app.App
	org              string
	customer, seller *client.Client
	begun            time.Time
	report           Report
}

func (s *show) perform(ctx context.Context) error {
	for _, part := range []struct {
		service lookup.Service
		name    string
		file    []byte
		says    string
	}{
		{lookup.MobileValidation, "phones", Phones(), "telephone numbers as people write them, checked for real against the world's numbering plans"},
		{lookup.EmailFinder, "people", People(people, seed), "people whose work address two simulated vendors may know; both have a bad day"},
	} {
		s.sayf("\n%s: %s", part.service, part.says)
		row, err := s.batch(ctx, part.service, part.name, part.file)
		if err != nil {
			return err
		}
		s.report.Batches = append(s.report.Batches, row)
	}
	if err := s.audit(ctx); err != nil {
		return err
	}
	if err := s.report.write(s.Out, s.JSON); err != nil {
		return err
	}
	if len(s.report.Differences) > 0 {
		return ErrAudit
	}
	return nil
}

// sayf writes a line about what happens.
func (s *show) sayf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Progress, format+"\n", args...) // nobody to tell if it fails
}
