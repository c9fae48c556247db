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
	pending       answer = "pending"
	accepted      answer = "accepted"  // a job was taken on
	abandoned     answer = "abandoned" // the caller left before the answer
)

// reply is an answer in the vendor's words.
type reply struct {
	status int
	header map[string]string
	body   []byte
}

func (r *reply) set(header, value string) {
	if r.header == nil {
		r.header = map[string]string{}
	}
	r.header[header] = value
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

// ticketed is the dialect of an asynchronous vendor.
type ticketed interface {
	// ticket returns which job a request asks for.
	ticket(r *http.Request) string
}

// subject is what an answer is about.
type subject struct {
	fact    fact
	email   string // as the vendor shows it
	status  string // instead of the vendor's own word for fact
	name    string
	domain  string
	mx      string
	score   int
	mailbox bool          // the question is about an address
	ticket  string        // of the job
	window  string        // "second", "minute", "day" or "concurrent"
	wait    time.Duration // until the window has room
	quota   int           // how much that window allows
}

// spelt returns the vendor's own word, unless a fault has another.
func (s subject) spelt(own string) string {
	if s.status != "" {
		return s.status
	}
	return own
}

// saying is an answer on its way out.
type saying struct {
	answer answer
	about  subject
	fault  *Fault
}

// job is a question put to an asynchronous vendor.
type job struct {
	person person
	ready  time.Time
}

// vendor is one simulated vendor at work.
type vendor struct {
	profile
	cfg        Vendor
	configured bool // among Config.Others
	world      world
	now        func() time.Time

	mu       sync.Mutex
	started  time.Time
	windows  map[string]*window
	inside   int // calls under way
	ill      time.Time
	wrong    int // calls with a wrong key since the last lock-out
	locked   time.Time
	attempts map[uint64]int // by person
	billed   map[uint64]fact
	charged  map[uint64]bool // billed, or charged and never shown
	jobs     map[string]job
	stats    VendorStats
}

func newVendor(p profile, cfg Vendor, w world, now func() time.Time) *vendor {
	if cfg.Slow == 0 {
		cfg.Slow = 20 * time.Second
	}
	v := &vendor{profile: p, cfg: cfg, world: w, now: now}
	v.reset()
	return v
}

// reset forgets everything that happened.
func (v *vendor) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := v.cfg.Quota
	v.started, v.ill, v.wrong, v.locked = v.now(), time.Time{}, 0, time.Time{}
	v.windows = map[string]*window{
		"second": newWindow(time.Second, q.PerSecond, q.Fixed),
		"minute": newWindow(time.Minute, q.PerMinute, q.Fixed),
		"day":    newWindow(24*time.Hour, q.PerDay, q.Fixed),
	}
	v.attempts, v.billed, v.charged = map[uint64]int{}, map[uint64]fact{}, map[uint64]bool{}
	v.jobs = map[string]job{}
	v.stats = newVendorStats()
}

// windowNames are in the order in which they are named to the caller: the
// longest that is full counts.
var windowNames = []string{"second", "minute", "day"}

// reader finds out who a request asks for.
type reader func(r *http.Request, w world) (person, bool)

// decider chooses the answer to a request that was understood, and how long it
// takes.
type decider func(p person) (saying, time.Duration)

// handler serves one of the vendor's paths.
func (v *vendor) handler(read reader, decide decider) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		about, ok := v.admit()
		if !ok {
			v.say(w, r, saying{answer: throttled, about: about}, person{})
			return
		}
		defer v.leave()
		p, understood := read(r, v.world)
		var said saying
		var delay time.Duration
		switch {
		case v.refuses(v.dialect.key(r)):
			said.answer = keyRefused
		case !understood:
			said.answer = notUnderstood
		default:
			said, delay = decide(p)
		}
		if !pause(r.Context(), delay) {
			said = saying{answer: abandoned}
		}
		v.say(w, r, said, p)
	}
}

// refuses reports whether a key does not open the door. Too many wrong ones
// close it for a while, for the right one too.
func (v *vendor) refuses(key string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.now().Before(v.locked) {
		return true
	}
	if v.cfg.Key == "" || key == v.cfg.Key {
		return false
	}
	if v.wrong++; v.cfg.LockOut.After > 0 && v.wrong >= v.cfg.LockOut.After {
		v.wrong, v.locked = 0, v.now().Add(v.cfg.LockOut.For)
	}
	return true
}

// admit counts a call and holds it against the quotas.
func (v *vendor) admit() (subject, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	v.stats.Calls++
	about := subject{}
	if most := v.cfg.Quota.Concurrent; most > 0 && v.inside >= most {
		about.window, about.quota = "concurrent", most
		v.stats.Violations[about.window]++
	}
	for _, name := range windowNames {
		if wait := v.windows[name].full(now); wait > 0 {
			about.window, about.wait, about.quota = name, wait, len(v.windows[name].allowed)
			v.stats.Violations[name]++
		}
	}
	if about.window != "" {
		return about, false
	}
	for _, name := range windowNames {
		v.windows[name].add(now)
	}
	v.inside++
	v.stats.MostConcurrent = max(v.stats.MostConcurrent, v.inside)
	return about, true
}

func (v *vendor) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inside--
}

// accept takes on a job.
func (v *vendor) accept(p person) (saying, time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	id := v.name[:1] + strconv.Itoa(len(v.jobs)+1) + "-" + strconv.FormatUint(p.id, 36)
	v.jobs[id] = job{person: p, ready: v.now().Add(v.cfg.Ready)}
	return saying{answer: accepted, about: subject{ticket: id}}, v.cfg.Latency
}

// taken finds the person a job is about.
func (v *vendor) taken(r *http.Request, _ world) (person, bool) {
	asynchronous, ok := v.dialect.(ticketed)
	if !ok {
		return person{}, false
	}
	id := asynchronous.ticket(r)
	v.mu.Lock()
	defer v.mu.Unlock()
	j, ok := v.jobs[id]
	j.person.job = id
	return j.person, ok
}

// report answers for a job: when it is done, as another vendor would at once.
func (v *vendor) report(p person) (saying, time.Duration) {
	v.mu.Lock()
	ready := v.jobs[p.job].ready
	v.mu.Unlock()
	if v.now().Before(ready) {
		return saying{answer: pending, about: subject{ticket: p.job}}, v.cfg.Latency
	}
	return v.decide(p)
}

// decide chooses the answer, and how long it takes.
func (v *vendor) decide(p person) (saying, time.Duration) {
	v.mu.Lock()
	attempt := v.attempts[p.id]
	v.attempts[p.id]++
	factor, down := v.health(attempt, p)
	exhausted := v.cfg.Plan > 0 && len(v.billed) >= v.cfg.Plan
	v.mu.Unlock()

	luck := v.luck("latency", attempt, p)
	delay := time.Duration(factor * (float64(v.cfg.Latency) + luck*float64(v.cfg.Jitter)))
	about := v.about(p)
	forced := magic(v.name, p)
	switch {
	case exhausted:
		return saying{answer: planUsedUp, about: about}, 0
	case forced != nil:
		return forced.strike(attempt, about), delay
	case down:
		return saying{answer: serverError, about: about}, delay
	}
	if fault := v.fault(attempt, p); fault != nil && (about.fact == valid || !fault.needsSubject()) {
		return fault.strike(0, about), delay
	}
	return saying{answer: byFact(about.fact), about: about}, delay
}

// strike returns what a vendor with this fault says at an attempt.
func (f *Fault) strike(attempt int, about subject) saying {
	s := saying{answer: byFact(about.fact), about: about, fault: f}
	if f.until > 0 && attempt >= f.until {
		s.fault = nil
		return s
	}
	if f.says != "" {
		s.answer = f.says
	}
	if f.shown != nil {
		f.shown(&s.about)
	}
	return s
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

// fault returns the fault that strikes this attempt, by schedule or by seed.
func (v *vendor) fault(attempt int, p person) *Fault {
	v.mu.Lock()
	since := v.now().Sub(v.started)
	v.mu.Unlock()
	for i, s := range v.cfg.Schedule {
		strikes := s.Share == 0 || v.luck("spell "+strconv.Itoa(i), attempt, p) < s.Share
		if strikes && since >= s.At && since < s.At+s.For {
			return faultsByName[s.Fault]
		}
	}
	luck := v.luck("fault", attempt, p)
	for _, f := range v.cfg.Faults.shares() {
		if luck < f.share {
			return faultsByName[f.fault]
		}
		luck -= f.share
	}
	return nil
}

// luck returns a number from 0 to 1 that stays the same for this attempt at a
// question, whatever else goes on.
func (v *vendor) luck(about string, attempt int, p person) float64 {
	return v.world.roll(v.name+" "+about+" "+strconv.Itoa(attempt), p)
}

func (v *vendor) about(p person) subject {
	f := v.world.known(v.profile, p)
	if forced := magic(v.name, p); forced != nil && p.address == "" {
		f = valid // what the fault then does to it is its business
	}
	return subject{
		fact: f, email: v.world.shown(f, p), name: p.name, domain: p.domain, mx: v.world.mxProvider(p.domain),
		score: 50 + int(49*v.world.roll("score", p)), mailbox: p.address != "", ticket: p.job,
	}
}

// count keeps books of what was said, and of what the vendor charges for it.
func (v *vendor) count(s saying, p person) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kind := string(s.answer)
	bills := s.answer == answer(valid) || s.answer == answer(catchAll) || s.answer == answer(invalid)
	serves := bills
	if s.fault != nil {
		kind = s.fault.Name
		v.stats.Faults[s.fault.Number]++
		serves, bills = serves && s.fault.Answers, bills && (s.fault.Answers || s.fault.bills || s.fault.way == halved || s.fault.way == cut)
	}
	v.stats.Answers[kind]++
	if serves {
		v.billed[p.id] = s.about.fact
	}
	if bills && (!v.repeatsFree || !v.charged[p.id]) {
		v.charged[p.id] = true
		v.stats.Charged++
	}
}

// say sends the answer and counts it.
func (v *vendor) say(w http.ResponseWriter, r *http.Request, s saying, p person) {
	v.count(s, p)
	if s.answer == abandoned {
		panic(http.ErrAbortHandler) // net/http's way to break a connection
	}
	said := v.dialect.reply(s.answer, s.about)
	way := whole
	if s.fault != nil {
		way = s.fault.way
		if s.fault.words != nil {
			s.fault.words(&said)
		}
	}
	v.deliver(r.Context(), w, said, way)
}

// deliver sends a reply well or badly.
func (v *vendor) deliver(ctx context.Context, w http.ResponseWriter, said reply, way delivery) {
	length := -1
	switch way {
	case broken:
		panic(http.ErrAbortHandler)
	case silence:
		pause(ctx, v.cfg.Slow)
		panic(http.ErrAbortHandler)
	case late:
		if !pause(ctx, v.cfg.Slow) {
			panic(http.ErrAbortHandler)
		}
	case halved:
		said.body = said.body[:len(said.body)/2]
	case cut, stalling:
		length, said.body = len(said.body), said.body[:len(said.body)/2]
	case packed:
		compress(&said)
	case oversized:
		inflate(&said)
	case whole:
	}
	if length < 0 {
		length = len(said.body)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	for name, value := range said.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(said.status)
	_, _ = w.Write(said.body) // a caller who left
	if way == cut || way == stalling {
		_ = http.NewResponseController(w).Flush() // not every writer can
		if way == stalling {
			pause(ctx, v.cfg.Slow)
		}
		panic(http.ErrAbortHandler)
	}
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
