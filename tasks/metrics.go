package tasks

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/store"
)

// How a task that runs a chunk ended, as a label.
const (
	runFinished  = "finished"   // the chunk has no open rows left
	runAgain     = "again"      // rows are left and are asked at once
	runDeferred  = "deferred"   // rows are left and wait: no vendor or no credits
	runGivenBack = "given_back" // the worker stops; others ask the rest
	runIdle      = "idle"       // the batch is paused, cancelled or gone
	runFailed    = "failed"     // SQL or Redis is away; Asynq tries again
)

// What the sweeper repaired, as a label.
const (
	repairWorker = "worker_taken_over" // a silent worker
	repairRound  = "round_voided"      // a round that nobody runs any more
	repairWindow = "window_rebuilt"    // a batch that its window did not have
	repairBatch  = "batch_resumed"     // a batch whose wake-up was lost, or that waited its turn
	repairGate   = "gate_mended"       // an overdue hold, or an account in which the gate was behind
)

// Metrics counts what workers do with tasks. Labels are from fixed lists.
type Metrics struct {
	runs    *prometheus.CounterVec
	waits   *prometheus.HistogramVec
	repairs *prometheus.CounterVec
}

// NewMetrics registers the metrics of a worker; registerer may be nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_chunk_runs_total", Help: "Tasks that ran a chunk, by how they ended; finished: the chunk is done.",
		}, []string{"ending"}),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "magpie_chunk_wait_seconds",
			Help:    "Time from enqueueing a chunk to its run, by queue; earlier tries of the same task included.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"queue"}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_sweeper_repairs_total", Help: "What the sweeper found lost and repaired.",
		}, []string{"repair"}),
	}
	for _, ending := range []string{runFinished, runAgain, runDeferred, runGivenBack, runIdle, runFailed} {
		m.runs.WithLabelValues(ending)
	}
	for _, queue := range []string{Express, Bulk} {
		m.waits.WithLabelValues(queue)
	}
	for _, repair := range []string{repairWorker, repairRound, repairWindow, repairBatch, repairGate} {
		m.repairs.WithLabelValues(repair)
	}
	if registerer != nil {
		registerer.MustRegister(m.runs, m.waits, m.repairs)
	}
	return m
}

// ran counts a run of a chunk. stopping tells that it was cut short because its
// worker ends.
func (m *Metrics) ran(e enrich.Ending, err error, stopping bool) {
	ending := runFinished
	switch {
	case err != nil:
		ending = runFailed
	case e.Idle:
		ending = runIdle
	case e.Next == nil:
	case stopping:
		ending = runGivenBack
	case e.After > 0:
		ending = runDeferred
	default:
		ending = runAgain
	}
	m.runs.WithLabelValues(ending).Inc()
}

// waited counts how long a task of one of our queues waited. A task without a
// time was enqueued by an older program.
func (m *Metrics) waited(queue string, since int64) {
	if since > 0 && (queue == Express || queue == Bulk) {
		m.waits.WithLabelValues(queue).Observe(max(0, time.Since(time.UnixMilli(since)).Seconds()))
	}
}

func (m *Metrics) repaired(what string, times int) {
	m.repairs.WithLabelValues(what).Add(float64(times))
}

// BatchCollector counts the open batches when metrics are scraped.
type BatchCollector struct {
	db   *store.DB
	open *prometheus.Desc
}

// NewBatchCollector returns a collector for the batches in db.
func NewBatchCollector(db *store.DB) *BatchCollector {
	return &BatchCollector{db: db, open: prometheus.NewDesc("magpie_open_batches", "Batches that have not ended, by status.", []string{"status"}, nil)}
}

// Describe sends the metric's description.
func (c *BatchCollector) Describe(to chan<- *prometheus.Desc) { to <- c.open }

// Collect counts in one query. Without SQL it sends nothing.
func (c *BatchCollector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	counts, err := store.CountOpenBatches(ctx, c.db)
	if err != nil {
		return
	}
	for _, status := range store.OpenStatuses {
		to <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, float64(counts[status]), string(status))
	}
}
