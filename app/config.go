package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/logging"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/plan"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/tasks"
)

// Role is which parts a process has.
type Role string

// The roles.
const (
	Everything Role = ""       // API, worker and simulated vendors, for one machine
	API        Role = "api"    // takes requests in
	Worker     Role = "worker" // runs tasks
)

func (r Role) serves() bool { return r != Worker }
func (r Role) works() bool  { return r != API }

// Config is what a process needs to know.
type Config struct {
	Role Role
	// Dir is the folder with an embedded process's data. It is created, and
	// must not be in use by another process.
	Dir string
	// DatabaseURL and RedisURL are the servers of a fleet: PostgreSQL and Redis.
	// Both empty: SQLite in Dir, and a Redis inside the process.
	DatabaseURL, RedisURL string
	// LedgerRedisURL is the Redis of the gate, if it is another one.
	LedgerRedisURL string
	// Addr is where the API listens; port 0 takes a free one.
	Addr string
	// OpsAddr is where health and metrics are served.
	OpsAddr string
	// AdminKey is the administrator's key; never printed or stored.
	AdminKey string
	// Price of a unit of each service; one credit where it is not given.
	Prices map[lookup.Service]lookup.Credits
	// BuyURL is where customers buy credits; "" if they ask the operator.
	BuyURL string
	// Simulator is the simulated world behind the vendors of an embedded
	// process.
	Simulator simulator.Config
	// HunterVendor and the others say how a fleet reaches the vendors.
	HunterVendor, ProspeoVendor, FindymailVendor, MillionVerifierVendor, LeadMagicVendor, IcypeasVendor Vendor
	// Hunter and the others are how much of the vendors may be used.
	Hunter, Prospeo, Findymail, MillionVerifier, LeadMagic, Icypeas providers.Limits
	// Waterfalls are which vendors are asked, in which order; nil: the standard
	// order. WaterfallsFile is where they are read from again; "": nowhere.
	Waterfalls     plan.Plan
	WaterfallsFile string
	// ChunkRows is how many rows a chunk has; 0 for 100.
	ChunkRows int64
	// Window is how many chunks of an organization and service may be
	// outstanding; 0 for 16.
	Window int

	Engine enrich.Config
	Tasks  tasks.Config
	// LogLevel is from which level on a command is to log.
	LogLevel slog.Level
	Log      *slog.Logger
}

// Vendor is how to reach a vendor.
type Vendor struct {
	Key string // the operator's; "" leaves the vendor out. Never logged.
	URL string // "" for the vendor's own
}

// embedded reports whether the process brings its own storage and vendors.
func (c Config) embedded() bool { return c.DatabaseURL == "" && c.RedisURL == "" }

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
	c.Log = logging.New(c.Log)
	return c
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c.validateStorage(wrong)
	c.validateAddresses(wrong)
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
	if share := c.Engine.WithDefaults().BatchShare; share < 1 || share > 1000 {
		wrong("BATCH_SHARE is %d, want 1 to 1000 thousandths", share)
	}
	if t := c.Tasks.WithDefaults(); t.Validate() != nil {
		wrong("WORKER_SERVERS is %d and WORKER_CONCURRENCY %d, want at most as many servers as chunks", t.Servers, t.Concurrency)
	}
	if err := c.Simulator.Validate(); err != nil {
		wrong("Simulator: %w", err)
	}
	return errors.Join(errs...)
}

func (c Config) validateStorage(wrong func(string, ...any)) {
	switch {
	case !slices.Contains([]Role{Everything, API, Worker}, c.Role):
		wrong("Role is %q, want api, worker or nothing", c.Role)
	case c.Role == Everything && !c.embedded():
		wrong("DATABASE_URL and REDIS_URL belong to the roles api and worker; a process with everything brings its own")
	case c.Role == Everything && c.Dir == "":
		wrong("Dir is empty, want the folder for the data")
	}
	if c.Role == Everything {
		return
	}
	if !hasScheme(c.DatabaseURL, "postgres", "postgresql") {
		wrong("DATABASE_URL is missing or no URL of PostgreSQL, want postgres://user:password@host:5432/name")
	}
	if !hasScheme(c.RedisURL, "redis", "rediss", "unix") {
		wrong("REDIS_URL is missing or no URL of Redis, want redis://:password@host:6379/0")
	}
	if c.LedgerRedisURL != "" && !hasScheme(c.LedgerRedisURL, "redis", "rediss", "unix") {
		wrong("LEDGER_REDIS_URL is no URL of Redis, want redis://:password@host:6379/0")
	}
	for _, u := range upstreams() {
		if vendor, _ := u.of(&c); vendor.URL != "" && !hasScheme(vendor.URL, "http", "https") {
			wrong("%s_URL is no URL, want https://host/path", u.prefix)
		}
	}
}

// hasScheme never repeats the URL: it may carry a password.
func hasScheme(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err == nil && slices.Contains(schemes, u.Scheme)
}

func (c Config) validateAddresses(wrong func(string, ...any)) {
	type address struct{ name, addr string }
	addresses := []address{{"OPS_ADDR", c.OpsAddr}}
	if c.Role.serves() {
		addresses = append(addresses, address{"API_ADDR", c.Addr})
		if len(c.AdminKey) < 16 {
			wrong("ADMIN_KEY has %d characters, want 16 or more", len(c.AdminKey))
		}
	}
	for _, a := range addresses {
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			wrong("%s is %q, want host:port such as 127.0.0.1:8080", a.name, a.addr)
		}
	}
}
