package providers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what guards let through and what they hold back. Labels come
// from fixed lists: providers, outcomes and reasons of the guard itself.
type Metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	held    *prometheus.CounterVec
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
		registerer.MustRegister(m.calls, m.seconds, m.held, m.cost)
	}
	return m
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
