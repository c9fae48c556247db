package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/tasks"
)

// Config is what an embedded process needs to know.
type Config struct {
	// Dir is the folder with the process's data. It is created, and must not
	// be in use by another process.
	Dir string
	// Addr is where the API listens; port 0 takes a free one.
	Addr string
	// OpsAddr is where health and metrics are served.
	OpsAddr string
	// AdminKey is the administrator's key; never printed or stored.
	AdminKey string
	// Price of a unit of each service; one credit where it is not given.
	Prices map[lookup.Service]lookup.Credits
	// Simulator is the simulated world behind the vendors.
	Simulator simulator.Config
	// Hunter and Prospeo are how much of the vendors may be used.
	Hunter, Prospeo providers.Limits
	// CallTimeout bounds one call to a vendor; 0 for the adapters' default.
	CallTimeout time.Duration
	// ChunkRows is how many rows a chunk has; 0 for 100.
	ChunkRows int64
	// Window is how many chunks of an organization and service may be
	// outstanding; 0 for 16.
	Window int

	Engine enrich.Config
	Tasks  tasks.Config
	Log    *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.ChunkRows == 0 {
		c.ChunkRows = 100
	}
	if c.Window == 0 {
		c.Window = 16
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Dir == "" {
		wrong("Dir is empty, want the folder for the data")
	}
	for _, a := range []struct{ name, addr string }{{"Addr", c.Addr}, {"OpsAddr", c.OpsAddr}} {
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			wrong("%s is %q, want host:port such as 127.0.0.1:8080", a.name, a.addr)
		}
	}
	if len(c.AdminKey) < 16 {
		wrong("AdminKey has %d characters, want 16 or more", len(c.AdminKey))
	}
	for service, price := range c.Prices {
		if !service.Known() {
			wrong("Prices has the unknown service %q", service)
		}
		if price < 0 {
			wrong("Prices[%s] is %s, want 0 or more", service, price)
		}
	}
	if c.ChunkRows < 0 || c.Window < 0 {
		wrong("ChunkRows is %d and Window is %d, want 1 or more (0 for the default)", c.ChunkRows, c.Window)
	}
	if e := c.Engine.WithDefaults(); e.HoldLife <= e.RoundTime {
		wrong("Engine.HoldLife (%s) must outlast Engine.RoundTime (%s), or a running round loses its hold", e.HoldLife, e.RoundTime)
	}
	if err := c.Simulator.Validate(); err != nil {
		wrong("Simulator: %w", err)
	}
	return errors.Join(errs...)
}
