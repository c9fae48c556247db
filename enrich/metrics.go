package enrich

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/lookup"
)

// Metrics counts what the engine does. Labels are from fixed lists.
type Metrics struct {
	lookups *prometheus.CounterVec
	charged *prometheus.CounterVec
	rounds  *prometheus.CounterVec
	granted prometheus.Counter
	refused prometheus.Counter
	settled prometheus.Counter
	fenced  prometheus.Counter

	waiting   prometheus.Counter
	unguarded prometheus.Counter
}

// How a round ended, as a label.
const (
	roundClosed  = "closed"  // its chunk has no open rows left
	roundOpen    = "open"    // rows are left for another round
	roundRefused = "refused" // too few credits
	roundStale   = "stale"   // it was over before it began
)

// NewMetrics registers the engine's metrics; registerer may be nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_lookups_total", Help: "Lookups answered and stored, by service and outcome.",
		}, []string{"service", "outcome"}),
		charged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_charged_credits_total", Help: "Credits charged, by service.",
		}, []string{"service"}),
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_rounds_total", Help: "Rounds of chunks, by how they ended.",
		}, []string{"ending"}),
		granted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_holds_granted_total", Help: "Holds granted, whole or in part.",
		}),
		settled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_holds_settled_total", Help: "Holds settled by who held them; the sweeper settles the others.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_holds_refused_total", Help: "Holds refused: too few credits, at a cap, or above the share of batches.",
		}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_commits_fenced_total", Help: "Commits rolled back because the account was loaded again.",
		}),
		waiting: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_claims_waiting_total", Help: "Rows put off because the organization was asking the same elsewhere at that moment.",
		}),
		unguarded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "magpie_claims_failed_total", Help: "Rounds and lookups that asked without a claim because Redis did not answer in time.",
		}),
	}
	for _, s := range lookup.Services {
		m.charged.WithLabelValues(string(s))
		for _, o := range lookup.Outcomes {
			m.lookups.WithLabelValues(string(s), string(o))
		}
	}
	for _, ending := range []string{roundClosed, roundOpen, roundRefused, roundStale} {
		m.rounds.WithLabelValues(ending)
	}
	if registerer != nil {
		registerer.MustRegister(m.lookups, m.charged, m.rounds, m.granted, m.refused, m.settled, m.fenced, m.waiting, m.unguarded)
	}
	return m
}

// stored counts answers that were committed.
func (m *Metrics) stored(service lookup.Service, answers []answer, charged lookup.Credits) {
	for _, a := range answers {
		m.lookups.WithLabelValues(string(service), string(a.Outcome)).Inc()
	}
	m.charged.WithLabelValues(string(service)).Add(float64(charged) / float64(lookup.Credit))
}
