package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Config says what the simulated world and its vendors are like. The zero
// value is a fast world without limits, keys or faults.
type Config struct {
	Seed    uint64            // decides the truth and where faults strike
	Hunter  Vendor            //
	Prospeo Vendor            //
	Others  map[string]Vendor // the other vendors that [Profiles] lists, by name
	// Documented gives each vendor that has no quota here the one that it
	// documents.
	Documented bool
	Now        func() time.Time // for quotas, schedules and brown-outs; nil: time.Now
}

// Vendor is how one simulated vendor behaves.
type Vendor struct {
	Key      string        // the only key accepted; "": any, even none
	Quota    Quota         //
	Plan     int           // billable answers before the plan is used up; 0: no end
	Latency  time.Duration // of every answer but a refusal
	Jitter   time.Duration // up to so much more, decided by the seed
	Ready    time.Duration // until an asynchronous vendor has its result
	Slow     time.Duration // how long the faults slow, stalled and silent last; 0: 20 s
	BrownOut BrownOut      //
	LockOut  LockOut       //
	Faults   Faults        //
	Schedule []Spell       // faults at known times, from the start or reset on
}

// Quota is how much a vendor allows; 0 means no limit. Calls that are refused
// do not count.
type Quota struct {
	PerSecond, PerMinute, PerDay, Concurrent int
	// Fixed counts in windows that begin anew at full seconds, minutes and
	// days. Else they slide, which allows no burst at their edges.
	Fixed bool
}

// BrownOut is one stretch of time in which a vendor is ill. It begins when
// either trigger is met.
type BrownOut struct {
	AfterCalls    int           // with this call, counted from 1; 0: not so
	At            time.Duration // so long after the start or reset; 0: not so
	For           time.Duration // how long it lasts; 0: no brown-out
	ErrorRate     float64       // share of calls that fail, 0 to 1
	LatencyFactor float64       // multiplies the latency; 0: leaves it
}

// LockOut refuses everything for a while after so many calls with a wrong key.
type LockOut struct {
	After int           // calls with a wrong key; 0: never
	For   time.Duration //
}

// Faults are shares of calls, 0 to 1, that end badly. Their sum is at most 1.
type Faults struct {
	Error     float64            // the vendor's own server error
	HTML      float64            // 502 and a page from something in front of it
	Truncated float64            // a proper status and half of the body
	Reset     float64            // the connection breaks
	Pending   float64            // "not ready, repeat the request" (Hunter only)
	Named     map[string]float64 // any other fault that [Catalogue] lists
}

// Spell is a stretch of time in which one fault strikes.
type Spell struct {
	Fault string        // as the catalogue calls it
	Share float64       // of the calls, 0 to 1; 0: all of them
	At    time.Duration // from the start or reset
	For   time.Duration //
}

// shares lists the faults' shares in an order that is always the same.
func (f Faults) shares() []faultShare {
	all := []faultShare{
		{"error", f.Error}, {"html", f.HTML}, {"truncated", f.Truncated}, {"reset", f.Reset}, {"pending", f.Pending},
	}
	for _, name := range slices.Sorted(maps.Keys(f.Named)) {
		all = append(all, faultShare{name, f.Named[name]})
	}
	return all
}

type faultShare struct {
	fault string
	share float64
}

// vendor returns how the vendor of this name behaves.
func (c Config) vendor(p profile) Vendor {
	v := c.Others[p.name]
	switch p.name {
	case hunterName:
		v = c.Hunter
	case prospeoName:
		v = c.Prospeo
	}
	if c.Documented && v.Quota == (Quota{}) {
		v.Quota = p.documented
	}
	return v
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var errs []error
	for _, p := range profiles {
		v, title := c.vendor(p), p.title
		errs = append(errs, v.validate(title))
		if v.Faults.Pending != 0 && p.immediate {
			errs = append(errs, fmt.Errorf("%s.Faults.Pending is set, but %s answers at once; set Hunter's", title, title))
		}
		if v.Ready != 0 && !p.asynchronous {
			errs = append(errs, fmt.Errorf("%s.Ready is set, but %s is not asynchronous; set Latency", title, title))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Others)) {
		if p, ok := findProfile(name); !ok || p.named {
			errs = append(errs, fmt.Errorf("there is no other vendor %q; want one of %s", name, strings.Join(otherNames(), ", ")))
		}
	}
	return errors.Join(errs...)
}

// checks collects what is wrong with one vendor.
type checks struct {
	vendor string
	errs   []error
}

func (c *checks) atLeastZero(field string, value float64) {
	if !(value >= 0) {
		c.errs = append(c.errs, fmt.Errorf("%s.%s is %g, want 0 or more", c.vendor, field, value))
	}
}

func (c *checks) share(field string, value float64) {
	if !(value >= 0 && value <= 1) {
		c.errs = append(c.errs, fmt.Errorf("%s.%s is %g, want a share from 0 to 1", c.vendor, field, value))
	}
}

func (c *checks) fault(field, name string) {
	if _, ok := findFault(name); !ok {
		c.errs = append(c.errs, fmt.Errorf("%s.%s has no fault %q; GET /faults lists them", c.vendor, field, name))
	}
}

func (v Vendor) validate(name string) error {
	c := &checks{vendor: name}
	for _, n := range []struct {
		field string
		value float64
	}{
		{"Quota.PerSecond", float64(v.Quota.PerSecond)}, {"Quota.PerMinute", float64(v.Quota.PerMinute)},
		{"Quota.PerDay", float64(v.Quota.PerDay)}, {"Quota.Concurrent", float64(v.Quota.Concurrent)},
		{"Plan", float64(v.Plan)}, {"Latency (seconds)", v.Latency.Seconds()}, {"Jitter (seconds)", v.Jitter.Seconds()},
		{"Ready (seconds)", v.Ready.Seconds()}, {"Slow (seconds)", v.Slow.Seconds()},
		{"BrownOut.AfterCalls", float64(v.BrownOut.AfterCalls)}, {"BrownOut.At (seconds)", v.BrownOut.At.Seconds()},
		{"BrownOut.For (seconds)", v.BrownOut.For.Seconds()}, {"BrownOut.LatencyFactor", v.BrownOut.LatencyFactor},
		{"LockOut.After", float64(v.LockOut.After)}, {"LockOut.For (seconds)", v.LockOut.For.Seconds()},
	} {
		c.atLeastZero(n.field, n.value)
	}
	c.share("BrownOut.ErrorRate", v.BrownOut.ErrorRate)
	if v.BrownOut.For > 0 && v.BrownOut.AfterCalls == 0 && v.BrownOut.At == 0 {
		c.errs = append(c.errs, fmt.Errorf("%s.BrownOut has no beginning; set AfterCalls or At", name))
	}
	v.validateFaults(c)
	return errors.Join(c.errs...)
}

func (v Vendor) validateFaults(c *checks) {
	sum := 0.0
	for _, f := range v.Faults.shares() {
		c.share("Faults."+f.fault, f.share)
		c.fault("Faults", f.fault)
		sum += f.share
	}
	if sum > 1 {
		c.errs = append(c.errs, fmt.Errorf("%s.Faults add up to %g, want 1 or less", c.vendor, sum))
	}
	for _, s := range v.Schedule {
		c.fault("Schedule", s.Fault)
		c.share("Schedule share", s.Share)
		c.atLeastZero("Schedule.At (seconds)", s.At.Seconds())
		if s.For <= 0 {
			c.errs = append(c.errs, fmt.Errorf("%s.Schedule has %s for %s, want a time", c.vendor, s.Fault, s.For))
		}
	}
}
