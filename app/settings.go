package app

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// Setting is one environment variable that the processes of a fleet read.
type Setting struct {
	Name    string
	Default string // "": none
	Help    string
	Roles   []Role // that read it

	set func(c *Config, value string) error
}

var (
	both       = []Role{API, Worker}
	apiOnly    = []Role{API}
	workerOnly = []Role{Worker}
)

// Settings lists every setting there is.
func Settings() []Setting {
	s := []Setting{
		{"DATABASE_URL", "", "PostgreSQL: postgres://user:password@host:5432/name. Required.", both, text(func(c *Config) *string { return &c.DatabaseURL })},
		{"REDIS_URL", "", "Redis or Valkey 6.2 or newer, with maxmemory-policy noeviction: redis://:password@host:6379/0. Required.", both, text(func(c *Config) *string { return &c.RedisURL })},
		{"LEDGER_REDIS_URL", "", "Another Redis for balances and holds, if they are not to share the queues'. The same for all processes.", both, text(func(c *Config) *string { return &c.LedgerRedisURL })},
		{"API_ADDR", ":8080", "Where the API listens.", apiOnly, text(func(c *Config) *string { return &c.Addr })},
		{"OPS_ADDR", ":9090", "Where /healthz, /readyz and /metrics are served. Keep it away from the internet.", both, text(func(c *Config) *string { return &c.OpsAddr })},
		{"ADMIN_KEY", "", "The administrator's key, 16 characters or more. Required.", apiOnly, text(func(c *Config) *string { return &c.AdminKey })},
		{"BUY_URL", "", "Where customers buy credits; named in refusals.", apiOnly, text(func(c *Config) *string { return &c.BuyURL })},
		{"PRICES", "", "Credits of a unit where it is not 1: email-finder=1.5,mobile-validation=0.25. Batches keep the price they were accepted at.", apiOnly, setPrices},
		{"CHUNK_ROWS", "100", "Rows of a batch in one task. A chunk should take one to five seconds.", apiOnly, whole(func(c *Config, n int) { c.ChunkRows = int64(n) })},
		{"WINDOW", "16", "Chunks of one organization and service that may be out with workers. The same for all processes.", both, whole(func(c *Config, n int) { c.Window = n })},
		{"WORKER_CONCURRENCY", "4", "Chunks that a worker runs at once.", workerOnly, whole(func(c *Config, n int) { c.Tasks.Concurrency = n })},
		{"WORKER_SERVERS", "1", "Over how many Asynq servers these chunks are spread, each of which takes one task at a time from Redis. Raise it where chunks wait although workers are idle.", workerOnly, whole(func(c *Config, n int) { c.Tasks.Servers = n })},
		{"ROWS_IN_FLIGHT", "16", "Rows of a chunk that are asked at once.", workerOnly, whole(func(c *Config, n int) { c.Engine.InFlight = n })},
		{"BATCH_SHARE", "500", "Thousandths of an organization's balance that its batches may hold at once, all together, so that single lookups find credits beside them; one unit always. 1000: all of it.", workerOnly, whole(func(c *Config, n int) { c.Engine.BatchShare = int64(n) })},
		{"STOP_TIME", "30s", "How long a worker that stops waits for its chunks. The grace period of whatever stops it must be longer.", workerOnly, duration(func(c *Config, d time.Duration) { c.Tasks.StopTime = d })},
		{"REUSE_WINDOW", "720h", "How long an answer that was paid for answers the same question again, free.", both, duration(func(c *Config, d time.Duration) { c.Engine.ReuseWindow = d })},
		{"ROW_DEADLINE", "10m", "After how long without any answer the rows of a chunk that no provider could answer are failed.", workerOnly, duration(func(c *Config, d time.Duration) { c.Engine.RowDeadline = d })},
		{"LOOKUP_PATIENCE", "25s", "How long a single lookup tries.", apiOnly, duration(func(c *Config, d time.Duration) { c.Engine.LookupPatience = d })},
		{"WATERFALLS", "", "A YAML file with the order of the vendors, their time limits, costs and conditions (waterfalls.md). Read again on SIGHUP. Without it all vendors with a key are asked in a standard order.", both, setWaterfalls},
		{"LOG_LEVEL", "info", "debug, info, warn or error. Logs are JSON on stderr.", both, setLogLevel},
	}
	for _, u := range upstreams() {
		s = append(s, vendorSettings(u.prefix, u.title, u.of)...)
	}
	return s
}

// vendorSettings are those of one vendor. Limits are the whole fleet's.
func vendorSettings(prefix, name string, of func(*Config) (*Vendor, *providers.Limits)) []Setting {
	limit := func(set func(l *providers.Limits, n int)) func(*Config, string) error {
		return whole(func(c *Config, n int) { _, l := of(c); set(l, n) })
	}
	return []Setting{
		{prefix + "_API_KEY", "", "Your key for " + name + ". Without it " + name + " is not asked.", both, text(func(c *Config) *string { v, _ := of(c); return &v.Key })},
		{prefix + "_URL", "", "Where " + name + " is, if not at its own address; the simulator, for one.", both, text(func(c *Config) *string { v, _ := of(c); return &v.URL })},
		{prefix + "_PER_SECOND", "5", "Calls a second that all processes together may make to " + name + ": your quota. The same for all processes, as are the next three.", both, limit(func(l *providers.Limits, n int) { l.PerSecond = float64(n) })},
		{prefix + "_PER_MINUTE", "", "Calls a minute that all processes together may make to " + name + ".", both, limit(func(l *providers.Limits, n int) { l.PerMinute = n })},
		{prefix + "_PER_DAY", "", "Calls in 24 hours that all processes together may make to " + name + ".", both, limit(func(l *providers.Limits, n int) { l.PerDay = n })},
		{prefix + "_CONCURRENT", "16", "Calls to " + name + " that all processes together may have under way.", both, limit(func(l *providers.Limits, n int) { l.MaxConcurrent = n })},
	}
}

// FromEnv reads the configuration of a role. The error names every setting that
// is wrong, without its value where that may be a secret.
func FromEnv(role Role, getenv func(string) string) (Config, error) {
	c := Config{Role: role}
	var errs []error
	for _, s := range Settings() {
		value := getenv(s.Name)
		if value == "" {
			value = s.Default
		}
		if value == "" || !slices.Contains(s.Roles, role) {
			continue
		}
		if err := s.set(&c, value); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", s.Name, err))
		}
	}
	return c, errors.Join(append(errs, c.Validate())...)
}

func text(of func(c *Config) *string) func(*Config, string) error {
	return func(c *Config, value string) error {
		*of(c) = value
		return nil
	}
}

func whole(set func(c *Config, n int)) func(*Config, string) error {
	return func(c *Config, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("is %q, want a whole number from 1", value)
		}
		set(c, n)
		return nil
	}
}

func duration(set func(c *Config, d time.Duration)) func(*Config, string) error {
	return func(c *Config, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("is %q, want a time such as 30s, 10m or 720h", value)
		}
		set(c, d)
		return nil
	}
}

func setPrices(c *Config, value string) error {
	c.Prices = map[lookup.Service]lookup.Credits{}
	for item := range strings.SplitSeq(value, ",") {
		name, amount, _ := strings.Cut(strings.TrimSpace(item), "=")
		service, err := lookup.ParseService(name)
		if err != nil {
			return fmt.Errorf("is wrong: %w", err)
		}
		if c.Prices[service], err = lookup.ParseCredits(amount); err != nil {
			return fmt.Errorf("is wrong for %s: %w", service, err)
		}
	}
	return nil
}

func setLogLevel(c *Config, value string) error {
	if err := c.LogLevel.UnmarshalText([]byte(value)); err != nil {
		return fmt.Errorf("is %q, want debug, info, warn or error", value)
	}
	return nil
}

// Describe writes the effective configuration of a role, secrets only as
// whether they are set.
func Describe(role Role, getenv func(string) string) string {
	var b strings.Builder
	for _, s := range Settings() {
		if !slices.Contains(s.Roles, role) {
			continue
		}
		value := getenv(s.Name)
		switch {
		case value == "":
			value = s.Default
		case s.secret():
			value = "(set)"
		}
		fmt.Fprintf(&b, "%s=%s\n", s.Name, value)
	}
	return b.String()
}

// secret reports whether the value may be or contain a secret.
func (s Setting) secret() bool {
	return strings.HasSuffix(s.Name, "_KEY") || slices.Contains([]string{"DATABASE_URL", "REDIS_URL", "LEDGER_REDIS_URL"}, s.Name)
}
