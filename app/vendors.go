package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/hunter"
	"github.com/magpie-hq/magpie/providers/phonecheck"
	"github.com/magpie-hq/magpie/providers/prospeo"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/store"
)

// openProviders puts the adapters, each behind its guard, into the waterfalls.
// An embedded process starts the simulated vendors first.
func (a *App) openProviders(ctx context.Context, registry *prometheus.Registry) (providers.Waterfalls, error) {
	if a.cfg.embedded() {
		if err := a.openSimulator(ctx); err != nil {
			return nil, err
		}
	}
	metrics := providers.NewMetrics(registry)
	a.fleet = a.newFleet()
	var finders []providers.Provider
	for _, v := range []struct {
		adapter providers.Adapter
		vendor  Vendor
		url     string
		limits  providers.Limits
	}{
		{hunter.Adapter{}, a.cfg.HunterVendor, hunter.BaseURL, a.cfg.Hunter},
		{prospeo.Adapter{}, a.cfg.ProspeoVendor, prospeo.BaseURL, a.cfg.Prospeo},
	} {
		if v.vendor.Key == "" && !a.cfg.embedded() {
			continue
		}
		if v.vendor.URL != "" {
			v.url = v.vendor.URL
		}
		call := providers.NewHTTP(v.adapter, providers.HTTPConfig{BaseURL: v.url, Key: v.vendor.Key})
		guard := providers.NewGuard(call, v.limits, metrics, a.cfg.Log)
		a.fleet.Join(guard)
		finders = append(finders, guard)
	}
	return providers.Waterfalls{
		lookup.EmailFinder: {Providers: finders},
		lookup.MobileValidation: {Providers: []providers.Provider{
			providers.NewGuard(phonecheck.Provider{}, providers.Limits{}, metrics, a.cfg.Log),
		}},
	}, nil
}

// openSimulator starts the simulated vendors and points the adapters at them.
func (a *App) openSimulator(ctx context.Context) error {
	var err error
	if a.simulator, err = simulator.New(a.cfg.Simulator); err != nil {
		return err
	}
	if err := a.listen(ctx, "simulator", "127.0.0.1:0", a.simulator); err != nil {
		return err
	}
	a.cfg.HunterVendor = Vendor{Key: a.cfg.Simulator.Hunter.Key, URL: a.SimulatorURL() + simulator.HunterPath}
	a.cfg.ProspeoVendor = Vendor{Key: a.cfg.Simulator.Prospeo.Key, URL: a.SimulatorURL() + simulator.ProspeoPath}
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
