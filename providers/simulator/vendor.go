package simulator

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// answer is what a vendor said, by the name it is counted under.
type answer string

// The answers, beside those named like the fact they show.
const (
	noMatch       answer = "no_match"
	throttled     answer = "throttled"
	planUsedUp    answer = "plan_used_up"
	keyRefused    answer = "key_refused"
	notUnderstood answer = "not_understood"
	serverError   answer = "error"
	htmlPage      answer = "html"
	truncated     answer = "truncated"
	reset         answer = "reset"
	pending       answer = "pending"
	abandoned     answer = "abandoned" // the caller left before the answer
)

// forceable lists what a magic domain can force.
var forceable = []answer{throttled, planUsedUp, keyRefused, notUnderstood, serverError, htmlPage, truncated, reset, pending}

// reply is an answer in the vendor's words.
type reply struct {
	status int
	header map[string]string
	body   []byte
}

// dialect is a vendor's wire format.
type dialect interface {
	// key returns the key that a request carries.
	key(r *http.Request) string
	// question returns who is asked for.
	question(r *http.Request, w world) (person, bool)
	// reply words an answer. For a throttled one, window and wait say which
	// quota is used up and for how long.
	reply(a answer, about subject) reply
}

// subject is what an answer is about.
type subject struct {
	fact   fact
	email  string // as the vendor shows it
	domain string
	mx     string
	score  int
	window string        // "second", "minute" or "concurrent"
	wait   time.Duration // until the window has room
}

// vendor is one simulated vendor at work.
type vendor struct {
	name    string
	cfg     Vendor
	world   world
	dialect dialect
	now     func() time.Time

	mu       sync.Mutex
	started  time.Time
	windows  map[string]*window
	inside   int // calls under way
	ill      time.Time
	attempts map[uint64]int // by person
	billed   map[uint64]fact
	stats    VendorStats
}

func newVendor(name string, cfg Vendor, w world, d dialect, now func() time.Time) *vendor {
	v := &vendor{name: name, cfg: cfg, world: w, dialect: d, now: now}
	v.reset()
	return v
}

// reset forgets everything that happened.
func (v *vendor) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.started, v.ill = v.now(), time.Time{}
	v.windows = map[string]*window{
		"second": newWindow(time.Second, v.cfg.Quota.PerSecond),
		"minute": newWindow(time.Minute, v.cfg.Quota.PerMinute),
	}
	v.attempts, v.billed = map[uint64]int{}, map[uint64]fact{}
	v.stats = newVendorStats()
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	about, ok := v.admit()
	if !ok {
		v.say(w, throttled, about, person{})
		return
	}
	defer v.leave()
	p, understood := v.dialect.question(r, v.world)
	given, about, delay := v.decide(r, p, understood)
	if !pause(r.Context(), delay) {
		given = abandoned
	}
	v.say(w, given, about, p)
}

// admit counts a call and holds it against the quotas.
func (v *vendor) admit() (subject, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	v.stats.Calls++
	about := subject{}
	if most := v.cfg.Quota.Concurrent; most > 0 && v.inside >= most {
		about.window = "concurrent"
		v.stats.Violations[about.window]++
	}
	for _, name := range []string{"second", "minute"} {
		if wait := v.windows[name].full(now); wait > 0 {
			about.window, about.wait = name, wait
			v.stats.Violations[name]++
		}
	}
	if about.window != "" {
		return about, false
	}
	v.windows["second"].add(now)
	v.windows["minute"].add(now)
	v.inside++
	v.stats.MostConcurrent = max(v.stats.MostConcurrent, v.inside)
	return about, true
}

func (v *vendor) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inside--
}

// decide chooses the answer, and how long it takes.
func (v *vendor) decide(r *http.Request, p person, understood bool) (answer, subject, time.Duration) {
	if v.cfg.Key != "" && v.dialect.key(r) != v.cfg.Key {
		return keyRefused, subject{}, 0
	}
	if !understood {
		return notUnderstood, subject{}, 0
	}
	v.mu.Lock()
	attempt := v.attempts[p.id]
	v.attempts[p.id]++
	factor, down := v.health(attempt, p)
	exhausted := v.cfg.Plan > 0 && len(v.billed) >= v.cfg.Plan
	v.mu.Unlock()

	luck := v.luck("latency", attempt, p)
	delay := time.Duration(factor * (float64(v.cfg.Latency) + luck*float64(v.cfg.Jitter)))
	about := v.about(p)
	forced := faultOf(p)
	switch {
	case exhausted:
		return planUsedUp, about, 0
	case forced != "":
		return forced, about, delay
	case down:
		return serverError, about, delay
	}
	if fault := v.fault(attempt, p); fault != "" {
		return fault, about, delay
	}
	return byFact(about.fact), about, delay
}

// byFact is the answer of a vendor in good health.
func byFact(f fact) answer {
	if f == unknown {
		return noMatch
	}
	return answer(f)
}

// health returns the factor on the latency, and whether the brown-out fails
// this call; v.mu is held.
func (v *vendor) health(attempt int, p person) (factor float64, down bool) {
	b, now := v.cfg.BrownOut, v.now()
	begins := b.AfterCalls > 0 && v.stats.Calls >= b.AfterCalls || b.At > 0 && now.Sub(v.started) >= b.At
	if b.For <= 0 || !begins {
		return 1, false
	}
	if v.ill.IsZero() {
		v.ill = now
	}
	if now.Sub(v.ill) >= b.For {
		return 1, false
	}
	if factor = b.LatencyFactor; factor == 0 {
		factor = 1
	}
	return factor, v.luck("brown-out", attempt, p) < b.ErrorRate
}

// fault returns the fault that strikes this attempt, or "".
func (v *vendor) fault(attempt int, p person) answer {
	luck := v.luck("fault", attempt, p)
	for _, f := range []struct {
		share float64
		is    answer
	}{
		{v.cfg.Faults.Error, serverError}, {v.cfg.Faults.HTML, htmlPage}, {v.cfg.Faults.Truncated, truncated},
		{v.cfg.Faults.Reset, reset}, {v.cfg.Faults.Pending, pending},
	} {
		if luck < f.share {
			return f.is
		}
		luck -= f.share
	}
	return ""
}

// luck returns a number from 0 to 1 that stays the same for this attempt at a
// question, whatever else goes on.
func (v *vendor) luck(about string, attempt int, p person) float64 {
	return v.world.roll(v.name+" "+about+" "+strconv.Itoa(attempt), p)
}

func (v *vendor) about(p person) subject {
	f := v.world.known(v.name, p)
	return subject{
		fact: f, email: v.world.shown(f, p), domain: p.domain, mx: v.world.mxProvider(p.domain),
		score: 50 + int(49*v.world.roll("score", p)),
	}
}

// say sends the answer and counts it.
func (v *vendor) say(w http.ResponseWriter, a answer, about subject, p person) {
	v.mu.Lock()
	v.stats.Answers[string(a)]++
	if a == answer(valid) || a == answer(catchAll) {
		v.billed[p.id] = about.fact
	}
	v.mu.Unlock()
	switch a {
	case reset, abandoned:
		panic(http.ErrAbortHandler) // net/http's way to break a connection
	case htmlPage:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html><body><h1>502 Bad Gateway</h1></body></html>")) // a caller who left
		return
	}
	said := v.dialect.reply(a, about)
	if a == truncated {
		said = v.dialect.reply(byFact(about.fact), about)
		said.body = said.body[:len(said.body)/2]
	}
	for name, value := range said.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(said.body)))
	w.WriteHeader(said.status)
	_, _ = w.Write(said.body) // as above
}

// pause waits for d and reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
