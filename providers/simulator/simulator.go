package simulator

import (
	"fmt"
	"html/template"
	"net/http"
	"time"

	_ "embed" // the page

	"github.com/magpie-hq/magpie/lookup"
)

// Where the vendors' interfaces begin, relative to the server's root.
const (
	HunterPath  = "/hunter/v2"
	ProspeoPath = "/prospeo"
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
	hunter := newVendor(hunterName, cfg.Hunter, w, hunterDialect{}, cfg.Now)
	prospeo := newVendor(prospeoName, cfg.Prospeo, w, prospeoDialect{}, cfg.Now)
	s := &Simulator{world: w, vendors: []*vendor{hunter, prospeo}, mux: http.NewServeMux()}
	s.mux.Handle("GET "+HunterPath+"/email-finder", hunter)
	s.mux.Handle("POST "+ProspeoPath+"/enrich-person", prospeo)
	s.mux.HandleFunc("GET /truth", s.serveTruth)
	s.mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, http.StatusOK, s.Stats()) })
	s.mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	s.mux.HandleFunc("GET /{$}", s.servePage)
	return s, nil
}

// ServeHTTP answers for all vendors, and for /truth, /stats, /reset and the page.
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
// person at a company.
func (s *Simulator) Truth(q lookup.Query) (t Truth, ok bool) {
	p, ok := s.world.person(q.Get("first_name"), q.Get("last_name"), q.Get("full_name"), q.Get("domain"), q.Get("company_name"))
	if !ok || q.Service != lookup.EmailFinder {
		return Truth{}, false
	}
	t.Vendors = map[string]VendorTruth{}
	for _, v := range s.vendors {
		f := s.world.known(v.name, p)
		t.Vendors[v.name] = VendorTruth{Knows: f != unknown, Email: s.world.shown(f, p), Status: string(f)}
		if f == valid || f == catchAll && q.Options.AcceptCatchAll {
			t.Found, t.Email = true, s.world.email(p)
		}
	}
	return t, true
}

func (s *Simulator) serveTruth(w http.ResponseWriter, r *http.Request) {
	params := r.URL.Query()
	q := lookup.Query{Service: lookup.Service(params.Get("service")), Fields: map[string]string{}}
	q.Options.AcceptCatchAll = params.Get("accept_catch_all") == "true"
	for _, field := range lookup.EmailFinder.QueryFields() {
		q.Fields[field] = params.Get(field)
	}
	truth, ok := s.Truth(q)
	if !ok {
		sendJSON(w, http.StatusBadRequest, map[string]string{
			"error": "give service=email-finder, first_name and last_name (or full_name), and domain or company_name",
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
	_ = page.Execute(w, s.Stats()) // fails only if the reader left
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(v)) // a caller who left
}
