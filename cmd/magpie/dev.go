package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/simulator"
)

var devCommand = command{
	name:    "dev",
	summary: "runs everything on this machine, with simulated vendors",
	help: `Usage: magpie dev [flags]

Runs the API, the workers and simulated vendors in one process until it is
interrupted, with its data in a folder: started again, it goes on where it was.
Its organization starts with 10,000 credits. It prints where everything is, the
keys, and requests that work as they are printed.

Flags:
  --dir DIR     the folder with the data (default .magpie)
  --addr ADDR   where the API listens (default 127.0.0.1:8080; port 0 takes a
                free one)
  --verbose     log what happens, not only what goes wrong
  --json        print the addresses and keys as JSON

Example:
  magpie dev --addr 127.0.0.1:9090
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		o := devOptions{}
		flags.StringVar(&o.dir, "dir", ".magpie", "")
		flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "")
		flags.BoolVar(&o.verbose, "verbose", false, "")
		return func(ctx context.Context, args []string) error {
			if err := none(args, "magpie dev --dir DIR"); err != nil {
				return err
			}
			return s.dev(ctx, o)
		}
	},
}

type devOptions struct {
	dir, addr string
	verbose   bool
}

// firstCredits are what the developer's organization starts with.
const firstCredits = 10_000 * lookup.Credit

// dev runs until ctx ends.
func (s *session) dev(ctx context.Context, o devOptions) (err error) {
	if err := checkAddress(o.addr, "magpie dev --addr 127.0.0.1:8080"); err != nil {
		return err
	}
	if o.dir == "" {
		return wrong("magpie dev --dir .magpie", "--dir is empty")
	}
	keys, err := app.LoadKeys(o.dir)
	if err != nil {
		return failed("choose another folder: magpie dev --dir DIR", err)
	}
	a, err := app.New(ctx, devConfig(o, keys, s.stderr))
	if err != nil {
		return unstarted(err, "dev")
	}
	defer func() {
		// What ctx ended is stopped in order, in its own time.
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, a.Stop(stopping))
	}()
	org, err := a.SeedDeveloper(ctx, keys.API, firstCredits)
	if err != nil {
		return err
	}
	if err := a.Start(); err != nil { //nolint:contextcheck // it ends with Stop, not with a context
		return err
	}
	if err := s.announce(addresses(a, keys, org), a.Simulator()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// unstarted explains why a server cannot start.
func unstarted(err error, command string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return failed("another program is there; take a free port with: magpie "+command+" --addr 127.0.0.1:0", err)
	}
	if command == "dev" {
		return failed("the data can be elsewhere: magpie dev --dir DIR", err)
	}
	return err
}

func checkAddress(addr, try string) error {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return wrong(try, "--addr is %q, want host:port", addr)
	}
	return nil
}

// devConfig is an installation whose vendors are friendly: fast, and generous
// with their quotas.
func devConfig(o devOptions, keys app.Keys, stderr io.Writer) app.Config {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	vendor := func(name string) simulator.Vendor {
		return simulator.Vendor{
			Key: "simulated-" + name, Quota: simulator.Quota{PerSecond: 300},
			Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond,
		}
	}
	limits := providers.Limits{PerSecond: 200, Burst: 50, MaxConcurrent: 64}
	return app.Config{
		Dir: o.dir, Addr: o.addr, OpsAddr: "127.0.0.1:0", AdminKey: keys.Admin,
		Simulator: simulator.Config{
			Seed: 1, Hunter: vendor("hunter"), Prospeo: vendor("prospeo"), Others: map[string]simulator.Vendor{
				"findymail": vendor("findymail"), "millionverifier": vendor("millionverifier"), "leadmagic": vendor("leadmagic"),
			},
		},
		Hunter: limits, Prospeo: limits, Findymail: limits, MillionVerifier: limits, LeadMagic: limits,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	}
}

// place is where a running installation is, and how to get in.
type place struct {
	URL       string `json:"url"`
	APIKey    string `json:"api_key"`
	AdminKey  string `json:"admin_key"`
	Org       string `json:"org"`
	Health    string `json:"health_url"`
	Metrics   string `json:"metrics_url"`
	Queues    string `json:"queues_url"`
	Simulator string `json:"simulator_url"`
}

func addresses(a *app.App, keys app.Keys, org string) place {
	return place{
		URL: a.URL(), APIKey: keys.API, AdminKey: keys.Admin, Org: org,
		Health: a.OpsURL() + "/healthz", Metrics: a.OpsURL() + "/metrics",
		Queues: a.URL() + "/ops/queues", Simulator: a.SimulatorURL(),
	}
}

// announce says where everything is, and what to try.
func (s *session) announce(p place, world *simulator.Simulator) error {
	return s.answer(p, func() {
		s.table([][]string{
			{"API", p.URL}, {"API key", p.APIKey}, {"administrator's key", p.AdminKey}, {"organization", p.Org},
			{"health", p.Health}, {"metrics", p.Metrics},
			{"queues", p.Queues + " (any user, the administrator's key as password)"},
			{"simulated vendors", p.Simulator},
		})
		fmt.Fprintf(s.stdout, "\nTry, in another terminal:\n%s\n\n%s\n", curl(p, lookup.EmailFinder, somebody(world)),
			curl(p, lookup.MobileValidation, `{"number":"+44 20 7946 0018"}`))
		if p.URL != defaultURL {
			s.say("hint", "for the command line: export MAGPIE_URL="+p.URL)
		}
	})
}

func curl(p place, service lookup.Service, question string) string {
	return strings.Join([]string{
		"curl -s " + p.URL + "/v1/lookups/" + string(service), "-H 'X-API-Key: " + p.APIKey + "'",
		"-H 'Content-Type: application/json'", "-d '" + question + "'",
	}, " \\\n  ")
}

// somebody is a question to which the simulated world has an answer.
func somebody(world *simulator.Simulator) string {
	question := ""
	for _, company := range []string{"acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne", "tyrell"} {
		fields := lookup.Fields{"first_name": "Jane", "last_name": "Doe", "domain": company + ".example"}
		question = fmt.Sprintf(`{"first_name":%q,"last_name":%q,"domain":%q}`, fields["first_name"], fields["last_name"], fields["domain"])
		if truth, ok := world.Truth(lookup.Query{Service: lookup.EmailFinder, Fields: fields}); ok && truth.Found {
			break
		}
	}
	return question
}
