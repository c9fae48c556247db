package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

// Config sets what the API allows and charges. A zero value means the default,
// except where it says otherwise.
type Config struct {
	// AdminKeyHash is store.HashSecret of the administrator's key. Empty: nobody
	// is administrator.
	AdminKeyHash []byte
	// Prices are what a found result costs. Default 1 credit.
	Prices map[lookup.Service]lookup.Credits
	// Services reports whether a service can be asked. Default: all can.
	Services func(lookup.Service) bool
	// ChunkRows is how many rows of a batch make a chunk. Default 100.
	ChunkRows int64
	// Limits bound an upload's rows and cells.
	Limits intake.Limits
	// MaxUploadBytes bounds an uploaded file. Default 2 GiB.
	MaxUploadBytes int64
	// SpoolDir is where an upload lies until it is whole. Default: the system's
	// directory for temporary files.
	SpoolDir string
	// RequestsPerMinute bounds the requests of each API key. Default 3,000.
	RequestsPerMinute int
	// BuyURL is where credits are bought; "" if only the operator grants them.
	BuyURL string
	// Version is what the OpenAPI document says. Default "dev".
	Version string
}

func (c Config) withDefaults() Config {
	if c.Services == nil {
		c.Services = lookup.Service.Known
	}
	if c.ChunkRows <= 0 {
		c.ChunkRows = 100
	}
	if c.MaxUploadBytes <= 0 {
		c.MaxUploadBytes = 2 << 30
	}
	if c.RequestsPerMinute <= 0 {
		c.RequestsPerMinute = 3000
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	return c
}

// Dispatcher hands work to the workers. Neither call fails: what cannot be done
// at once is done later.
type Dispatcher interface {
	// Start begins or resumes handing out a batch's chunks.
	Start(ctx context.Context, batch store.Batch)
	// Wake lets the batches of an organization go on that wait for credits, or for
	// room under a cap.
	Wake(ctx context.Context, org string)
}

// Database is a *store.DB as far as the API may use it: to find out who calls,
// and for what administrators ask. Nothing of an organization's can be had from
// it but through As.
type Database interface {
	As(org string) *store.Tenant
	KeyBySecret(ctx context.Context, secret string) (store.Key, error)

	CreateOrg(ctx context.Context, id, name string, now time.Time) (store.Org, error)
	GetOrg(ctx context.Context, id string) (store.Org, error)
	Orgs(ctx context.Context, after string, limit int) ([]store.Org, error)
	CreateKey(ctx context.Context, org, name, secret string, monthlyCap lookup.Credits, now time.Time) (store.Key, error)
	SetKeyCap(ctx context.Context, org, id string, monthlyCap lookup.Credits) (store.Key, error)
	Keys(ctx context.Context, org string) ([]store.Key, error)
	RevokeKey(ctx context.Context, org, id string, now time.Time) error
}

// Deps are the parts the API works with. All but Queues, Providers and Metrics are
// needed.
type Deps struct {
	DB         Database
	Books      *books.Books
	Gate       *ledger.Gate
	Engine     *enrich.Engine
	Dispatcher Dispatcher
	// Queues is the queue monitor, shown to administrators under /ops/queues.
	Queues http.Handler
	// Providers says how the fleet stands with its vendors. Default: with none.
	Providers func(ctx context.Context) ([]providers.Summary, error)
	// Metrics counts requests. Default: counted, shown nowhere.
	Metrics *Metrics
	Log     *slog.Logger
	Now     func() time.Time
}

// maxPrice keeps the most that a batch can cost countable.
const maxPrice = 1_000_000 * lookup.Credit

type api struct {
	Deps

	cfg  Config
	huma huma.API
}

// New returns the handler of the whole API.
func New(cfg Config, deps Deps) (http.Handler, error) {
	if deps.DB == nil || deps.Books == nil || deps.Gate == nil || deps.Engine == nil || deps.Dispatcher == nil || deps.Log == nil || deps.Now == nil {
		return nil, errors.New("api: a part is missing in Deps; give all but Queues, Providers and Metrics")
	}
	cfg = cfg.withDefaults()
	for service, price := range cfg.Prices {
		if !service.Known() || price < 0 || price > maxPrice {
			return nil, errors.New("api: the price of " + string(service) + " is out of range; want a known service and 0 to " + maxPrice.String() + " credits")
		}
	}
	if deps.Metrics == nil {
		deps.Metrics = NewMetrics(nil)
	}
	a := &api{Deps: deps, cfg: cfg}
	mux := http.NewServeMux()
	a.huma = newHuma(mux, cfg.Version, a.guard)
	a.registerBatches()
	a.registerSubmit()
	a.registerResults()
	a.registerLookups()
	a.registerCredits()
	a.registerOrgs()
	a.registerKeys()
	a.registerGrants()
	a.registerAudit()
	a.registerProviders()
	a.mountQueues(mux)
	document, err := a.document()
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /openapi.json", document)
	limits := newLimiter(cfg.RequestsPerMinute, deps.Now)
	return a.visit(a.recover(a.authenticate(a.limit(limits, problemsOf(mux))))), nil
}

// price is what a found result of a service costs.
func (a *api) price(s lookup.Service) lookup.Credits {
	if price, ok := a.cfg.Prices[s]; ok {
		return price
	}
	return lookup.Credit
}

// available returns nil if the service can be asked, and else the refusal.
func (a *api) available(s lookup.Service) error {
	if a.cfg.Services(s) {
		return nil
	}
	detail := "no provider is configured for " + string(s)
	if there := a.configured(); there == "" {
		detail += ", nor for any other service; ask the operator"
	} else {
		detail += "; configured are " + there
	}
	return unavailable(detail)
}

func (a *api) configured() string {
	list := ""
	for _, s := range lookup.Services {
		if !a.cfg.Services(s) {
			continue
		}
		if list != "" {
			list += ", "
		}
		list += string(s)
	}
	return list
}
