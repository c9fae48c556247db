package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/providers/simulator"
)

const simulateExample = "magpie simulate --addr 127.0.0.1:8090 --seed 7"

var simulateCommand = command{
	name:    "simulate",
	summary: "runs the simulated vendors alone",
	help: `Usage: magpie simulate [flags]

Runs an HTTP server that speaks the vendors' formats over a made-up world whose
truth can be asked, until it is interrupted. The same seed makes the same world.
GET / shows what it saw, GET /stats the same as JSON, GET /truth what there is to
find, GET /faults what can go wrong; POST /reset forgets what happened.

The vendors: hunter, prospeo, icypeas (asynchronous), findymail, leadmagic (which
also validates addresses) and, for email validation alone, millionverifier.

Flags:
  --addr ADDR     where it listens (default 127.0.0.1:8090; port 0 takes a free
                  one)
  --seed N        which world (default 1)
  --documented    every vendor without a quota of its own has the documented one
  --fault V:F=S   vendor V answers the share S of its calls with fault F, such
                  as hunter:html=0.1; with @AT+FOR at that time only, such as
                  prospeo:throttled=1@10s+20s. May be repeated. A question about
                  the domain fault-F.test meets the fault F always
  --config FILE   how the vendors behave, as JSON; all fields may be left out:
    {"seed": 7, "documented": true,
     "hunter": {"key": "secret", "plan": 1000, "latency": "20ms", "jitter": "20ms",
       "quota": {"per_second": 10, "per_minute": 300, "per_day": 0, "concurrent": 8,
                 "fixed": false},
       "brown_out": {"after_calls": 100, "at": "0s", "for": "5s",
                     "error_rate": 0.5, "latency_factor": 4},
       "lock_out": {"after": 200, "for": "1h"}, "slow": "20s",
       "faults": {"error": 0.01, "reset": 0.01},
       "schedule": [{"fault": "html", "share": 1, "at": "10s", "for": "20s"}]},
     "icypeas": {"ready": "10s"}}
  --json          print the addresses as JSON

Example:
  ` + simulateExample + `
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		addr := flags.String("addr", "127.0.0.1:8090", "")
		file := flags.String("config", "", "")
		seed := flags.Uint64("seed", 1, "")
		documented := flags.Bool("documented", false, "")
		var faults []injection
		flags.Func("fault", "", func(text string) error {
			i, err := parseInjection(text)
			faults = append(faults, i)
			return err
		})
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
			cfg.Documented = cfg.Documented || *documented
			for _, i := range faults {
				i.into(&cfg)
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
	where := map[string]string{"url": base}
	rows := [][]string{{"simulator", base}}
	for _, p := range simulator.Profiles() {
		where[p.Name+"_url"] = base + p.Path
		rows = append(rows, []string{p.Name, base + p.Path})
	}
	rows = append(rows,
		[]string{"truth", base + "/truth?service=email-finder&full_name=Jane+Doe&domain=acme.example"},
		[]string{"counts", base + "/stats"}, []string{"faults", base + "/faults"})
	err = s.answer(where, func() { s.table(rows) })
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

// injection is a fault given on the command line.
type injection struct {
	vendor string
	spell  simulator.Spell // with For zero: at any time
}

// parseInjection reads vendor:fault=share, with @at+for if not at any time.
func parseInjection(text string) (i injection, err error) {
	rest, when, timed := strings.Cut(text, "@")
	rest, share, shared := strings.Cut(rest, "=")
	i.vendor, i.spell.Fault, _ = strings.Cut(rest, ":")
	i.spell.Share = 1
	if shared {
		i.spell.Share, err = strconv.ParseFloat(share, 64)
	}
	if timed && err == nil {
		at, long, _ := strings.Cut(when, "+")
		var errAt, errFor error
		i.spell.At, errAt = time.ParseDuration(at)
		i.spell.For, errFor = time.ParseDuration(long)
		err = errors.Join(errAt, errFor)
	}
	if err != nil || i.vendor == "" || i.spell.Fault == "" {
		return i, errors.New("want vendor:fault=share such as hunter:html=0.1, or hunter:html=1@10s+20s")
	}
	var known []string
	for _, p := range simulator.Profiles() {
		known = append(known, p.Name)
	}
	if !slices.Contains(known, i.vendor) {
		return i, fmt.Errorf("there is no vendor %q; want one of %s", i.vendor, strings.Join(known, ", "))
	}
	return i, nil
}

// into adds the fault to the configuration.
func (i injection) into(cfg *simulator.Config) {
	v := vendorIn(cfg, i.vendor)
	if i.spell.For > 0 {
		v.Schedule = append(v.Schedule, i.spell)
	} else {
		if v.Faults.Named == nil {
			v.Faults.Named = map[string]float64{}
		}
		v.Faults.Named[i.spell.Fault] = i.spell.Share
	}
	setVendor(cfg, i.vendor, v)
}

func vendorIn(cfg *simulator.Config, name string) simulator.Vendor {
	switch name {
	case "hunter":
		return cfg.Hunter
	case "prospeo":
		return cfg.Prospeo
	}
	return cfg.Others[name]
}

func setVendor(cfg *simulator.Config, name string, v simulator.Vendor) {
	switch name {
	case "hunter":
		cfg.Hunter = v
	case "prospeo":
		cfg.Prospeo = v
	default:
		if cfg.Others == nil {
			cfg.Others = map[string]simulator.Vendor{}
		}
		cfg.Others[name] = v
	}
}

type vendorFile struct {
	Key   string `json:"key"`
	Quota struct {
		PerSecond  int  `json:"per_second"`
		PerMinute  int  `json:"per_minute"`
		PerDay     int  `json:"per_day"`
		Concurrent int  `json:"concurrent"`
		Fixed      bool `json:"fixed"`
	} `json:"quota"`
	Plan     int  `json:"plan"`
	Latency  span `json:"latency"`
	Jitter   span `json:"jitter"`
	Ready    span `json:"ready"`
	Slow     span `json:"slow"`
	BrownOut struct {
		AfterCalls    int     `json:"after_calls"`
		At            span    `json:"at"`
		For           span    `json:"for"`
		ErrorRate     float64 `json:"error_rate"`
		LatencyFactor float64 `json:"latency_factor"`
	} `json:"brown_out"`
	LockOut struct {
		After int  `json:"after"`
		For   span `json:"for"`
	} `json:"lock_out"`
	Faults   map[string]float64 `json:"faults"`
	Schedule []struct {
		Fault string  `json:"fault"`
		Share float64 `json:"share"`
		At    span    `json:"at"`
		For   span    `json:"for"`
	} `json:"schedule"`
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
	cfg := simulator.Config{Seed: seed}
	if err := decodeWorld(file, &cfg); err != nil {
		return simulator.Config{}, wrong("magpie help simulate", "the file %q is not a configuration: %w", name, err)
	}
	return cfg, nil
}

// decodeWorld reads the seed, whether quotas are the documented ones, and the
// vendors by name.
func decodeWorld(in io.Reader, cfg *simulator.Config) error {
	var fields map[string]json.RawMessage
	if err := json.NewDecoder(in).Decode(&fields); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var err error
		switch {
		case name == "seed":
			err = json.Unmarshal(fields[name], &cfg.Seed)
		case name == "documented":
			err = json.Unmarshal(fields[name], &cfg.Documented)
		case slices.ContainsFunc(simulator.Profiles(), func(p simulator.Profile) bool { return p.Name == name }):
			var v vendorFile
			strict := json.NewDecoder(bytes.NewReader(fields[name]))
			strict.DisallowUnknownFields()
			err = strict.Decode(&v)
			setVendor(cfg, name, v.vendor())
		default:
			err = errors.New("want seed, documented, or a vendor")
		}
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

func (v vendorFile) vendor() simulator.Vendor {
	b := v.BrownOut
	made := simulator.Vendor{
		Key: v.Key, Quota: simulator.Quota(v.Quota), Plan: v.Plan,
		Latency: time.Duration(v.Latency), Jitter: time.Duration(v.Jitter),
		Ready: time.Duration(v.Ready), Slow: time.Duration(v.Slow),
		BrownOut: simulator.BrownOut{
			AfterCalls: b.AfterCalls, At: time.Duration(b.At), For: time.Duration(b.For),
			ErrorRate: b.ErrorRate, LatencyFactor: b.LatencyFactor,
		},
		LockOut: simulator.LockOut{After: v.LockOut.After, For: time.Duration(v.LockOut.For)},
		Faults:  simulator.Faults{Named: v.Faults},
	}
	for _, s := range v.Schedule {
		made.Schedule = append(made.Schedule, simulator.Spell{Fault: s.Fault, Share: s.Share, At: time.Duration(s.At), For: time.Duration(s.For)})
	}
	return made
}
