package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/magpie-hq/magpie/providers/simulator"
)

const simulateExample = "magpie simulate --addr 127.0.0.1:8090 --seed 7"

var simulateCommand = command{
	name:    "simulate",
	summary: "runs the simulated vendors alone",
	help: `Usage: magpie simulate [flags]

Runs an HTTP server that speaks the vendors' formats over a made-up world whose
truth can be asked (GET /truth, GET /stats, POST /reset), until it is
interrupted. The same seed makes the same world.

Flags:
  --addr ADDR     where it listens (default 127.0.0.1:8090; port 0 takes a free
                  one)
  --seed N        which world (default 1)
  --config FILE   how the vendors behave, as JSON; all fields may be left out:
    {"seed": 7,
     "hunter": {"key": "secret", "plan": 1000, "latency": "20ms", "jitter": "20ms",
       "quota": {"per_second": 10, "per_minute": 300, "concurrent": 8},
       "brown_out": {"after_calls": 100, "at": "0s", "for": "5s",
                     "error_rate": 0.5, "latency_factor": 4},
       "faults": {"error": 0.01, "html": 0, "truncated": 0, "reset": 0, "pending": 0}},
     "prospeo": {}}
  --json          print the addresses as JSON

Example:
  ` + simulateExample + `
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		addr := flags.String("addr", "127.0.0.1:8090", "")
		file := flags.String("config", "", "")
		seed := flags.Uint64("seed", 1, "")
		return func(ctx context.Context, args []string) error {
			if err := none(args, simulateExample); err != nil {
				return err
			}
			cfg := simulator.Config{Seed: *seed}
			if *file != "" {
				var err error
				if cfg, err = readWorld(*file, *seed); err != nil {
					return err
				}
				flags.Visit(func(f *flag.Flag) { // what was said outweighs the file
					if f.Name == "seed" {
						cfg.Seed = *seed
					}
				})
			}
			return s.simulate(ctx, *addr, cfg)
		}
	},
}

func (s *session) simulate(ctx context.Context, addr string, cfg simulator.Config) error {
	if err := checkAddress(addr, simulateExample); err != nil {
		return err
	}
	world, err := simulator.New(cfg)
	if err != nil {
		return wrong("magpie help simulate", "the configuration is wrong: %w", err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return unstarted(fmt.Errorf("the simulator cannot listen on %s: %w", addr, err), "simulate")
	}
	base := "http://" + listener.Addr().String()
	where := struct {
		URL     string `json:"url"`
		Hunter  string `json:"hunter_url"`
		Prospeo string `json:"prospeo_url"`
	}{base, base + simulator.HunterPath, base + simulator.ProspeoPath}
	err = s.answer(where, func() {
		s.table([][]string{
			{"simulator", where.URL}, {"hunter", where.Hunter}, {"prospeo", where.Prospeo},
			{"truth", base + "/truth?service=email-finder&full_name=Jane+Doe&domain=acme.example"}, {"counts", base + "/stats"},
		})
	})
	return errors.Join(err, serve(ctx, listener, world))
}

// serve serves until ctx ends, and then lets requests under way end.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	unwatch := context.AfterFunc(ctx, func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(stopping)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		unwatch()
		return err
	}
	return <-stopped
}

// worldFile is what --config reads.
type worldFile struct {
	Seed    *uint64    `json:"seed"`
	Hunter  vendorFile `json:"hunter"`
	Prospeo vendorFile `json:"prospeo"`
}

type vendorFile struct {
	Key   string `json:"key"`
	Quota struct {
		PerSecond  int `json:"per_second"`
		PerMinute  int `json:"per_minute"`
		Concurrent int `json:"concurrent"`
	} `json:"quota"`
	Plan     int  `json:"plan"`
	Latency  span `json:"latency"`
	Jitter   span `json:"jitter"`
	BrownOut struct {
		AfterCalls    int     `json:"after_calls"`
		At            span    `json:"at"`
		For           span    `json:"for"`
		ErrorRate     float64 `json:"error_rate"`
		LatencyFactor float64 `json:"latency_factor"`
	} `json:"brown_out"`
	Faults struct {
		Error     float64 `json:"error"`
		HTML      float64 `json:"html"`
		Truncated float64 `json:"truncated"`
		Reset     float64 `json:"reset"`
		Pending   float64 `json:"pending"`
	} `json:"faults"`
}

// span is a duration, written "20ms".
type span time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *span) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = span(parsed)
	return err
}

// readWorld reads a configuration. seed counts where the file has none.
func readWorld(name string, seed uint64) (simulator.Config, error) {
	file, err := os.Open(name)
	if err != nil {
		return simulator.Config{}, wrong("magpie help simulate", "the file %q cannot be read: %w", name, reason(err))
	}
	defer func() { _ = file.Close() }() // only read
	var w worldFile
	in := json.NewDecoder(file)
	in.DisallowUnknownFields()
	if err := in.Decode(&w); err != nil {
		return simulator.Config{}, wrong("magpie help simulate", "the file %q is not a configuration: %w", name, err)
	}
	if w.Seed != nil {
		seed = *w.Seed
	}
	return simulator.Config{Seed: seed, Hunter: w.Hunter.vendor(), Prospeo: w.Prospeo.vendor()}, nil
}

func (v vendorFile) vendor() simulator.Vendor {
	b := v.BrownOut
	return simulator.Vendor{
		Key: v.Key, Quota: simulator.Quota(v.Quota), Plan: v.Plan,
		Latency: time.Duration(v.Latency), Jitter: time.Duration(v.Jitter),
		BrownOut: simulator.BrownOut{
			AfterCalls: b.AfterCalls, At: time.Duration(b.At), For: time.Duration(b.For),
			ErrorRate: b.ErrorRate, LatencyFactor: b.LatencyFactor,
		},
		Faults: simulator.Faults(v.Faults),
	}
}
