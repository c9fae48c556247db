package app

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/findymail"
	"github.com/magpie-hq/magpie/providers/hunter"
	"github.com/magpie-hq/magpie/providers/icypeas"
	"github.com/magpie-hq/magpie/providers/leadmagic"
	"github.com/magpie-hq/magpie/providers/millionverifier"
	"github.com/magpie-hq/magpie/providers/phonecheck"
	"github.com/magpie-hq/magpie/providers/plan"
	"github.com/magpie-hq/magpie/providers/prospeo"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/store"
)

// upstream is a vendor that is called over HTTP.
type upstream struct {
	adapter      providers.Adapter
	url          string // where it is, unless a setting says otherwise
	path         string // where the simulator has it
	title        string
	prefix       string // of its settings
	asynchronous bool   // hands out tickets
	of           func(*Config) (*Vendor, *providers.Limits)
}

// upstreams are all vendors, in the order in which a waterfall asks them unless
// a file says otherwise: the asynchronous ones last, for nobody after them is
// asked while they work.
func upstreams() []upstream {
	return []upstream{
		{
			hunter.Adapter{}, hunter.BaseURL, simulator.HunterPath, "Hunter", "HUNTER", false,
			func(c *Config) (*Vendor, *providers.Limits) { return &c.HunterVendor, &c.Hunter },
		},
		{
			prospeo.Adapter{}, prospeo.BaseURL, simulator.ProspeoPath, "Prospeo", "PROSPEO", false,
			func(c *Config) (*Vendor, *providers.Limits) { return &c.ProspeoVendor, &c.Prospeo },
		},
		{
			findymail.Adapter{}, findymail.BaseURL, simulator.FindymailPath, "Findymail", "FINDYMAIL", false,
			func(c *Config) (*Vendor, *providers.Limits) { return &c.FindymailVendor, &c.Findymail },
		},
		{
			millionverifier.Adapter{}, millionverifier.BaseURL, simulator.MillionVerifierPath, "MillionVerifier", "MILLIONVERIFIER", false,
			func(c *Config) (*Vendor, *providers.Limits) { return &c.MillionVerifierVendor, &c.MillionVerifier },
		},
		{
			leadmagic.Adapter{}, leadmagic.BaseURL, simulator.LeadMagicPath, "LeadMagic", "LEADMAGIC", false,
			func(c *Config) (*Vendor, *providers.Limits) { return &c.LeadMagicVendor, &c.LeadMagic },
		},
		{
			icypeas.Adapter{}, icypeas.BaseURL, simulator.IcypeasPath, "Icypeas", "ICYPEAS", true,
			func(c *Config) (*Vendor, *providers.Limits) { return &c.IcypeasVendor, &c.Icypeas },
		},
	}
}

// knownProviders are what a waterfall may consist of, those without a key too.
func knownProviders() plan.Known {
	local := phonecheck.Provider{}
	known := plan.Known{local.Name(): local.Services()}
	for _, u := range upstreams() {
		known[u.adapter.Name()] = u.adapter.Services()
	}
	return known
}

// standardPlan asks every provider of a service, in the order of upstreams.
func standardPlan() plan.Plan {
	standard := plan.Plan{lookup.MobileValidation: {Order: []string{phonecheck.Provider{}.Name()}}}
	for _, u := range upstreams() {
		for _, service := range u.adapter.Services() {
			w := standard[service]
			w.Order = append(w.Order, u.adapter.Name())
			standard[service] = w
		}
	}
	return standard
}

// openProviders puts the adapters, each behind its guard, into the waterfalls.
// An embedded process starts the simulated vendors first.
func (a *App) openProviders(ctx context.Context, registry *prometheus.Registry) error {
	if a.cfg.embedded() {
		if err := a.openSimulator(ctx); err != nil {
			return err
		}
	}
	a.providerMetrics = providers.NewMetrics(registry)
	a.guards = map[string]*providers.Guard{}
	a.fleet = a.newFleet()
	guard := func(p providers.Provider, limits providers.Limits) {
		g := providers.NewGuard(p, limits, a.providerMetrics, a.cfg.Log)
		a.fleet.Join(g)
		a.guards[p.Name()] = g
	}
	guard(phonecheck.Provider{}, providers.Limits{})
	for _, u := range upstreams() {
		vendor, limits := u.of(&a.cfg)
		if vendor.Key == "" && (!a.cfg.embedded() || vendor.URL == "") {
			continue
		}
		if vendor.URL != "" {
			u.url = vendor.URL
		}
		guard(providers.NewHTTP(u.adapter, providers.HTTPConfig{BaseURL: u.url, Key: vendor.Key, Longest: longestCall(a.cfg.Waterfalls, u.adapter.Name())}), *limits)
	}
	guards := slices.SortedFunc(maps.Values(a.guards), func(x, y *providers.Guard) int { return cmp.Compare(x.Name(), y.Name()) })
	a.board = providers.NewBoard(a.rdb, store.NewID("prc", time.Now()), a.providerMetrics, guards, a.cfg.Log)
	a.waterfalls.Set(a.build(ctx, a.cfg.Waterfalls))
	return nil
}

// longestCall is the longest that any waterfall lets a call to a provider take. A
// file that is read later cannot make it longer: by it the fleet knows when a
// process that died has no call under way any more.
func longestCall(p plan.Plan, provider string) (longest time.Duration) {
	for _, w := range p {
		longest = max(longest, w.Terms[provider].Timeout)
	}
	return longest
}

// build makes waterfalls of a plan (nil: the standard one). Providers without a
// key are left out.
func (a *App) build(ctx context.Context, p plan.Plan) providers.Waterfalls {
	if p == nil {
		p = standardPlan()
	}
	asynchronous := map[string]bool{}
	for _, u := range upstreams() {
		asynchronous[u.adapter.Name()] = u.asynchronous
	}
	built := providers.Waterfalls{}
	for service, said := range p {
		w := &providers.Waterfall{Terms: maps.Clone(said.Terms), Budget: said.Budget, Metrics: a.providerMetrics}
		var asked []string
		w.Local = true
		for _, name := range said.Order {
			if guard := a.guards[name]; guard != nil {
				w.Providers = append(w.Providers, guard)
				async, called := asynchronous[name] // those that are called over HTTP
				w.Asynchronous, w.Local = w.Asynchronous || async, w.Local && !called
				asked = append(asked, name)
			}
		}
		built[service] = w
		a.cfg.Log.InfoContext(ctx, "waterfall", "service", service, "providers", asked)
	}
	return built
}

// openSimulator starts the simulated vendors and points the adapters at those that
// the configuration knows; the others are not asked.
func (a *App) openSimulator(ctx context.Context) error {
	var err error
	if a.simulator, err = simulator.New(a.cfg.Simulator); err != nil {
		return err
	}
	if err := a.listen(ctx, "simulator", "127.0.0.1:0", a.simulator); err != nil {
		return err
	}
	vendors := map[string]simulator.Vendor{"hunter": a.cfg.Simulator.Hunter, "prospeo": a.cfg.Simulator.Prospeo}
	maps.Copy(vendors, a.cfg.Simulator.Others)
	for _, u := range upstreams() {
		if simulated, ok := vendors[u.adapter.Name()]; ok {
			vendor, _ := u.of(&a.cfg)
			*vendor = Vendor{Key: simulated.Key, URL: a.SimulatorURL() + u.path}
		}
	}
	return nil
}

// newFleet shares the vendors' limits with all processes on the same Redis and
// the same SQL.
func (a *App) newFleet() *providers.Fleet {
	return providers.NewFleet(providers.FleetConfig{
		Redis: a.rdb, Checkpoint: checkpoint{a.db}, Log: a.cfg.Log,
		Member: store.NewID("mbr", time.Now()), Alone: a.cfg.embedded(),
	})
}

// checkpoint keeps reservations of calls in SQL.
type checkpoint struct{ db *store.DB }

// Reserve stores reservations.
func (c checkpoint) Reserve(ctx context.Context, quota string, reservations []providers.Reservation) error {
	all := make([]store.Reservation, len(reservations))
	for i, r := range reservations {
		all[i] = store.Reservation(r)
	}
	return c.db.PutReservations(ctx, quota, all)
}

// Reservations returns those that end after since.
func (c checkpoint) Reservations(ctx context.Context, quota string, since time.Time) ([]providers.Reservation, error) {
	stored, err := c.db.Reservations(ctx, quota, since)
	all := make([]providers.Reservation, len(stored))
	for i, r := range stored {
		all[i] = providers.Reservation(r)
	}
	return all, err
}
