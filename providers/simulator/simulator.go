package simulator

import (
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	_ "embed" // the page

	"github.com/magpie-hq/magpie/lookup"
)

// Simulator is the server. It is an [http.Handler] for any listener.
type Simulator struct {
	world   world
	vendors []*vendor // in the order in which a waterfall asks them
	mux     *http.ServeMux
}

// New builds a simulator. The error reports every mistake in the configuration.
func New(cfg Config) (*Simulator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	w := world{seed: cfg.Seed}
	s := &Simulator{world: w, mux: http.NewServeMux()}
	for _, p := range profiles {
		v := newVendor(p, cfg.vendor(p), w, cfg.Now)
		_, v.configured = cfg.Others[p.name]
		s.add(v)
	}
	s.mux.HandleFunc("GET /truth", s.serveTruth)
	s.mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, http.StatusOK, s.Stats()) })
	s.mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, http.StatusOK, Catalogue()) })
	s.mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	s.mux.HandleFunc("GET /{$}", s.servePage)
	return s, nil
}

// add gives a vendor its paths.
func (s *Simulator) add(v *vendor) {
	s.vendors = append(s.vendors, v)
	handle := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		s.mux.HandleFunc(method+" "+v.path+path, h)
	}
	decide := v.decide
	if v.asynchronous {
		decide = v.accept
		handle(v.read, v.handler(v.taken, v.report))
	}
	for _, pattern := range []string{v.find, v.validate} {
		if pattern != "" {
			handle(pattern, v.handler(v.dialect.question, decide))
		}
	}
}

// ServeHTTP answers for all vendors, and for /truth, /stats, /faults, /reset and the page.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Reset forgets everything that happened. The truth stays; calls under way are
// counted in the old or the new time.
func (s *Simulator) Reset() {
	for _, v := range s.vendors {
		v.reset()
	}
}

// Truth is what the world holds about one question.
type Truth struct {
	Vendors map[string]VendorTruth `json:"vendors"`
	// Found tells whether a careful waterfall over all vendors ends with a
	// result, and Email which.
	Found bool   `json:"found"`
	Email string `json:"email,omitempty"`
}

// VendorTruth is what one vendor has about a question.
type VendorTruth struct {
	Knows  bool   `json:"knows"`
	Email  string `json:"email,omitempty"`  // as the vendor shows it
	Status string `json:"status,omitempty"` // valid, catch_all, unverified, masked, foreign or blocked
}

// Truth returns the truth about a query. ok is false if it does not name a
// person at a company or, for email validation, an address.
func (s *Simulator) Truth(q lookup.Query) (t Truth, ok bool) {
	var p person
	switch q.Service {
	case lookup.EmailFinder:
		p, ok = s.world.person(q.Get("first_name"), q.Get("last_name"), q.Get("full_name"), q.Get("domain"), q.Get("company_name"))
	case lookup.EmailValidation:
		p, ok = s.world.mailbox(q.Get("email"))
	}
	if !ok {
		return Truth{}, false
	}
	t.Vendors = map[string]VendorTruth{}
	for _, v := range s.vendors {
		if !slices.Contains(v.services(), q.Service) {
			continue
		}
		f := s.world.known(v.profile, p)
		email := s.world.shown(f, p)
		t.Vendors[v.name] = VendorTruth{Knows: f != unknown, Email: email, Status: string(f)}
		if s.counts(v, q, f) {
			t.Found, t.Email = true, email
		}
	}
	return t, true
}

// counts reports whether a fact is worth money to those who ask q of v. Vendors
// that nobody configured do not count, else every audit would miss them.
func (s *Simulator) counts(v *vendor, q lookup.Query, f fact) bool {
	if !v.named && !v.configured {
		return false
	}
	return f == valid || f == catchAll && q.Options.AcceptCatchAll || q.Service == lookup.EmailValidation && f == invalid
}

func (s *Simulator) serveTruth(w http.ResponseWriter, r *http.Request) {
	params := r.URL.Query()
	q := lookup.Query{Service: lookup.Service(params.Get("service")), Fields: map[string]string{}}
	q.Options.AcceptCatchAll = params.Get("accept_catch_all") == "true"
	for _, field := range q.Service.QueryFields() {
		q.Fields[field] = params.Get(field)
	}
	truth, ok := s.Truth(q)
	if !ok {
		sendJSON(w, http.StatusBadRequest, map[string]string{
			"error": "give service=email-finder, first_name and last_name (or full_name), and domain or company_name; or service=email-validation and email",
		})
		return
	}
	sendJSON(w, http.StatusOK, truth)
}

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

func (s *Simulator) servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, struct { // fails only if the reader left
		Stats
		Vendors   []shownVendor
		Catalogue []Fault
	}{s.Stats(), s.shownVendors(), Catalogue()})
}

// shownVendor is a vendor on the page.
type shownVendor struct {
	Profile
	VendorStats
	Quota Quota
}

func (s *Simulator) shownVendors() []shownVendor {
	stats := s.Stats()
	shown := make([]shownVendor, len(s.vendors))
	for i, p := range Profiles() {
		shown[i] = shownVendor{p, stats.Vendors[p.Name], s.vendors[i].cfg.Quota}
	}
	return shown
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(v)) // a caller who left
}
