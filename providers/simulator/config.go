package simulator

import (
	"errors"
	"fmt"
	"time"
)

// Config says what the simulated world and its vendors are like. The zero
// value is a fast world without limits, keys or faults.
type Config struct {
	Seed    uint64           // decides the truth and where faults strike
	Hunter  Vendor           //
	Prospeo Vendor           //
	Now     func() time.Time // for quotas and brown-outs; nil: time.Now
}

// Vendor is how one simulated vendor behaves.
type Vendor struct {
	Key      string        // the only key accepted; "": any, even none
	Quota    Quota         //
	Plan     int           // billable answers before the plan is used up; 0: no end
	Latency  time.Duration // of every answer but a refusal
	Jitter   time.Duration // up to so much more, decided by the seed
	BrownOut BrownOut      //
	Faults   Faults        //
}

// Quota is how much a vendor allows, in windows that slide; 0 means no limit.
// Calls that are refused do not count.
type Quota struct {
	PerSecond, PerMinute, Concurrent int
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

// Faults are shares of calls, 0 to 1, that end badly. Their sum is at most 1.
type Faults struct {
	Error     float64 // the vendor's own server error
	HTML      float64 // 502 and a page from something in front of it
	Truncated float64 // a proper status and half of the body
	Reset     float64 // the connection breaks
	Pending   float64 // "not ready, repeat the request" (Hunter only)
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var pending error
	if c.Prospeo.Faults.Pending != 0 {
		pending = errors.New("Prospeo.Faults.Pending is set, but Prospeo answers at once; set Hunter's")
	}
	return errors.Join(c.Hunter.validate("Hunter"), c.Prospeo.validate("Prospeo"), pending)
}

func (v Vendor) validate(name string) error {
	var errs []error
	atLeastZero := func(field string, value float64) {
		if !(value >= 0) {
			errs = append(errs, fmt.Errorf("%s.%s is %g, want 0 or more", name, field, value))
		}
	}
	share := func(field string, value float64) {
		if !(value >= 0 && value <= 1) {
			errs = append(errs, fmt.Errorf("%s.%s is %g, want a share from 0 to 1", name, field, value))
		}
	}
	atLeastZero("Quota.PerSecond", float64(v.Quota.PerSecond))
	atLeastZero("Quota.PerMinute", float64(v.Quota.PerMinute))
	atLeastZero("Quota.Concurrent", float64(v.Quota.Concurrent))
	atLeastZero("Plan", float64(v.Plan))
	atLeastZero("Latency (seconds)", v.Latency.Seconds())
	atLeastZero("Jitter (seconds)", v.Jitter.Seconds())
	atLeastZero("BrownOut.AfterCalls", float64(v.BrownOut.AfterCalls))
	atLeastZero("BrownOut.At (seconds)", v.BrownOut.At.Seconds())
	atLeastZero("BrownOut.For (seconds)", v.BrownOut.For.Seconds())
	atLeastZero("BrownOut.LatencyFactor", v.BrownOut.LatencyFactor)
	share("BrownOut.ErrorRate", v.BrownOut.ErrorRate)
	if v.BrownOut.For > 0 && v.BrownOut.AfterCalls == 0 && v.BrownOut.At == 0 {
		errs = append(errs, fmt.Errorf("%s.BrownOut has no beginning; set AfterCalls or At", name))
	}
	f := v.Faults
	share("Faults.Error", f.Error)
	share("Faults.HTML", f.HTML)
	share("Faults.Truncated", f.Truncated)
	share("Faults.Reset", f.Reset)
	share("Faults.Pending", f.Pending)
	if sum := f.Error + f.HTML + f.Truncated + f.Reset + f.Pending; sum > 1 {
		errs = append(errs, fmt.Errorf("%s.Faults add up to %g, want 1 or less", name, sum))
	}
	return errors.Join(errs...)
}
