package app_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/providers/simulator"
)

// scale is how long and large a test of a fleet is.
type scale struct {
	workers int
	time    time.Duration
	every   time.Duration // between two killed workers
	rows    int
}

// soaking returns the full size if MAGPIE_SOAK asks for it.
func soaking(short, full scale) scale {
	if os.Getenv("MAGPIE_SOAK") != "" {
		return full
	}
	return short
}

// hunter is what the one vendor of these fleets saw.
func (f *fleet) hunter() simulator.VendorStats {
	f.t.Helper()
	var stats simulator.Stats
	f.getJSON(f.simulator.API+"/stats", &stats)
	return stats.Vendors["hunter"]
}

// idle waits.
func (f *fleet) idle(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.t.Context().Done():
	}
}

// Workers are killed and started all the time: the vendor counts no call over
// its quota.
func TestFleetKeepsQuotas(t *testing.T) {
	t.Parallel()
	s := soaking(scale{workers: 3, time: 8 * time.Second, every: 2 * time.Second, rows: 3000},
		scale{workers: 8, time: 2 * time.Minute, every: 3 * time.Second, rows: 40_000})
	vendor := vendorSetting(t, simulator.Vendor{
		Key: "key", Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond,
		Quota: simulator.Quota{PerSecond: 200, PerMinute: 5000, Concurrent: 50},
	})
	f := newFleet(t, s.workers, vendor, "PROSPEO_API_KEY=", "HUNTER_PER_SECOND=200", "HUNTER_PER_MINUTE=5000", "HUNTER_CONCURRENT=50")
	f.submit(s.rows)
	f.await("first calls", 30*time.Second, func() bool { return f.hunter().Calls > 0 })
	began := time.Now()
	for n := 0; time.Since(began) < s.time; n++ {
		f.idle(s.every)
		worker := n % s.workers
		f.workers[worker].kill()
		f.workers[worker] = f.worker()
	}
	took := time.Since(began)
	seen := f.hunter()
	for window, n := range seen.Violations {
		if n > 0 {
			t.Errorf("%d calls over the quota: %s", n, window)
		}
	}
	if least := int(min(5000, 50*s.time.Seconds())); seen.Calls < least {
		t.Errorf("%d calls in %s, want %d or more", seen.Calls, took, least)
	}
	t.Logf("%d calls in %s, at most %d at once", seen.Calls, took, seen.MostConcurrent)
}

// A vendor dies under load and comes back: the fleet probes it once a second,
// and uses it again within two. No row is lost, and none charged for nothing.
func TestFleetMeetsADeadVendor(t *testing.T) {
	t.Parallel()
	s := soaking(scale{workers: 3, time: 5 * time.Second, rows: 1200}, scale{workers: 8, time: 20 * time.Second, rows: 6000})
	const alive = 4 * time.Second
	vendor := vendorSetting(t, simulator.Vendor{
		Key: "key", Latency: 20 * time.Millisecond, Quota: simulator.Quota{PerSecond: 200, Concurrent: 50},
		Schedule: []simulator.Spell{{Fault: "reset", At: alive, For: s.time}},
	})
	f := newFleet(t, s.workers, vendor, "PROSPEO_API_KEY=", "HUNTER_PER_SECOND=200", "HUNTER_CONCURRENT=50")
	b := f.submit(s.rows)
	f.await("first calls", 30*time.Second, func() bool { return f.hunter().Calls > 0 })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.simulator.API+"/reset", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	began := time.Now()
	f.idle(time.Until(began.Add(alive + time.Second)))
	open := f.hunter().Calls
	f.idle(time.Until(began.Add(alive + s.time - 50*time.Millisecond)))
	probes := f.hunter().Calls - open
	if most := int(s.time/time.Second) + 1; probes > most || probes == 0 {
		t.Errorf("%d calls to a vendor that is down for %s, want one a second", probes, s.time)
	}
	dead := f.hunter().Calls
	f.idle(time.Until(began.Add(alive + s.time + 2*time.Second)))
	if back := f.hunter().Calls - dead; back < 20 {
		t.Errorf("%d calls within two seconds after the vendor came back", back)
	}
	f.awaitDone(b.ID, int64(s.rows))
	f.wantEveryRowOnce(b.ID, s.rows)
	seen := f.hunter()
	for window, n := range seen.Violations {
		if n > 0 {
			t.Errorf("%d calls over the quota: %s", n, window)
		}
	}
	t.Logf("%d probes in %s, %d calls in all", probes, s.time, seen.Calls)
}
