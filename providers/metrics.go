package providers

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what guards let through and what they hold back. Labels come
// from fixed lists: providers, outcomes and reasons of the guard itself.
type Metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	held    *prometheus.CounterVec
	guards  standings
	cost    *prometheus.CounterVec
}

// NewMetrics registers the metrics. With a nil registerer they are counted but
// shown nowhere.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_provider_calls_total",
			Help: "Calls to upstream providers, by what the answer meant.",
		}, []string{"provider", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "magpie_provider_call_seconds",
			Help:    "Duration of calls to upstream providers, without waiting for a turn.",
			Buckets: latencyBuckets,
		}, []string{"provider"}),
		held: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_provider_held_back_total",
			Help: "Questions that the guard did not let through to a provider, by why.",
		}, []string{"provider", "reason"}),
		cost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_provider_cost_total",
			Help: "What upstream providers cost by the waterfall file, in its unit; a call whose answer was lost counts as a hit.",
		}, []string{"provider"}),
	}
	if registerer != nil {
		registerer.MustRegister(m.calls, m.seconds, m.held, m.cost, &m.guards)
	}
	return m
}

// standings shows how guards stand when somebody looks.
type standings struct {
	mu     sync.Mutex
	guards map[string]*Guard // by provider: a new one takes the place of an old one
}

var (
	conditionDesc = prometheus.NewDesc("magpie_provider_condition",
		"1 for the condition a provider is in, as this process last heard of it from the fleet; parked needs the operator.",
		[]string{"provider", "condition"}, nil)
	usedDesc = prometheus.NewDesc("magpie_provider_quota_used",
		"Calls that the whole fleet has made in a window of a provider's quota or leased for it, as this process last heard.",
		[]string{"provider", "window"}, nil)
	quotaDesc = prometheus.NewDesc("magpie_provider_quota",
		"Calls that a provider's quota allows in a window.", []string{"provider", "window"}, nil)
	rateDesc = prometheus.NewDesc("magpie_provider_rate",
		"Calls a second that the fleet allows itself now; less than the quota after a provider complained.", []string{"provider"}, nil)

	conditions = []string{"closed", "half-open", "open", "parked"}
)

func (s *standings) add(g *Guard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guards == nil {
		s.guards = map[string]*Guard{}
	}
	s.guards[g.Name()] = g
}

// Describe implements [prometheus.Collector].
func (s *standings) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{conditionDesc, usedDesc, quotaDesc, rateDesc} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *standings) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	guards := slices.Collect(maps.Values(s.guards))
	s.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, g := range guards {
		state := g.State()
		for _, c := range conditions {
			is := 0.0
			if c == state.Condition {
				is = 1
			}
			gauge(conditionDesc, is, state.Provider, c)
		}
		for _, q := range state.Quotas {
			gauge(usedDesc, float64(q.Used), state.Provider, q.Window)
			gauge(quotaDesc, float64(q.Quota), state.Provider, q.Window)
		}
		if len(state.Quotas) > 0 {
			gauge(rateDesc, state.Rate, state.Provider)
		}
	}
}

// spent counts what a provider cost.
func (m *Metrics) spent(provider string, cost Cost) {
	if m != nil && cost > 0 {
		m.cost.WithLabelValues(provider).Add(float64(cost) / float64(CostUnit))
	}
}

// latencyBuckets are fine enough to tell a p95 from.
var latencyBuckets = []float64{.005, .01, .02, .03, .05, .075, .1, .15, .2, .3, .5, .75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 25, 60, 180}

// Why a guard holds a question back; also the Answer.Reason.
const (
	heldParked    = "parked"
	heldOpen      = "breaker_open"
	heldBusy      = "busy"      // every concurrent place stayed taken
	heldPaced     = "paced"     // no turn within the patience
	heldCancelled = "cancelled" // the caller left
)

var heldReasons = []string{heldParked, heldOpen, heldBusy, heldPaced, heldCancelled}

// providerMetrics are one provider's; the zero value counts nothing.
type providerMetrics struct {
	calls   map[Outcome]prometheus.Counter
	seconds prometheus.Observer
	held    map[string]prometheus.Counter
}

// provider returns the metrics of one provider, every value present at zero.
func (m *Metrics) provider(name string) providerMetrics {
	if m == nil {
		return providerMetrics{}
	}
	pm := providerMetrics{
		calls:   map[Outcome]prometheus.Counter{},
		seconds: m.seconds.WithLabelValues(name),
		held:    map[string]prometheus.Counter{},
	}
	m.cost.WithLabelValues(name)
	for _, o := range Outcomes {
		pm.calls[o] = m.calls.WithLabelValues(name, o.String())
	}
	for _, reason := range heldReasons {
		pm.held[reason] = m.held.WithLabelValues(name, reason)
	}
	return pm
}

func (pm providerMetrics) called(o Outcome, took time.Duration) {
	if counter, ok := pm.calls[o]; ok {
		counter.Inc()
		pm.seconds.Observe(took.Seconds())
	}
}

func (pm providerMetrics) heldBack(reason string) {
	if counter, ok := pm.held[reason]; ok {
		counter.Inc()
	}
}
