package books

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what keeps gate and books together. Labels are from fixed lists.
type Metrics struct {
	loads       *prometheus.CounterVec
	voids       prometheus.Counter
	differences prometheus.Counter
	overdue     prometheus.Gauge
	expired     prometheus.Counter
	events      *prometheus.CounterVec
}

// NewMetrics registers the books' metrics; registerer may be nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_account_loads_total", Help: "Accounts loaded from SQL into the gate, by cause.",
		}, []string{"cause"}),
		voids: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_voids_total", Help: "Holds closed with nothing charged, because nobody else had closed them.",
		}),
		differences: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_ledger_differences_total", Help: "Accounts that the sweeper found in another state in the gate than in SQL. 0 unless something failed.",
		}),
		overdue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "magpie_overdue_hold_age_seconds", Help: "How long the oldest overdue hold had been overdue at the last sweep; 0 if there was none.",
		}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_lots_expired_total", Help: "Lots whose rest was posted as breakage.",
		}),
	}
	m.events = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "magpie_credit_events_total", Help: "Accounts that fell below their threshold or ran out, once a crossing.",
	}, []string{"event"})
	for _, kind := range kinds {
		m.events.WithLabelValues(kind)
	}
	for _, cause := range loadCauses {
		m.loads.WithLabelValues(cause)
	}
	if registerer != nil {
		registerer.MustRegister(m.loads, m.voids, m.differences, m.overdue, m.expired, m.events)
	}
	return m
}
