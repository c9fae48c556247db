package tasks_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
	"github.com/magpie-hq/magpie/tasks"
)

// counts reads a registry: "name{value of each label}" → value; of a histogram
// the number of samples.
func counts(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			key := family.GetName() + "{" + strings.Join(values, ",") + "}"
			all[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// A batch pauses for credits, is resumed by the sweeper, and completes: each of
// these is counted, and so is what is open meanwhile.
func TestWorkersAreCounted(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		f := newFleet(t, testredis.Mini(t), db)
		registry := prometheus.NewRegistry()
		registry.MustRegister(tasks.NewBatchCollector(db))
		r := f.workerWith("one", func(c *tasks.Config) { c.Metrics = tasks.NewMetrics(registry) })
		org := f.org("org_a", 2*lookup.Credit)
		b := f.awaitStatus(f.batch(org, 10), store.Paused)
		f.await("the run that paused it", func() bool { return counts(t, registry)["magpie_chunk_runs_total{idle}"] > 0 })
		if got := counts(t, registry); got["magpie_open_batches{paused}"] != 1 || got["magpie_open_batches{running}"] != 0 {
			t.Errorf("while paused: %v", got)
		}
		f.grant(org, 100*lookup.Credit)
		f.wantPaid(b)
		r.Stop()
		got := counts(t, registry)
		waits := got["magpie_chunk_wait_seconds{express}"] + got["magpie_chunk_wait_seconds{bulk}"]
		var runs float64
		for name, n := range got {
			if strings.HasPrefix(name, "magpie_chunk_runs_total") {
				runs += n
			}
		}
		if got["magpie_chunk_runs_total{finished}"] != 2 || got["magpie_sweeper_repairs_total{batch_resumed}"] != 1 ||
			got["magpie_open_batches{paused}"] != 0 || waits != runs {
			t.Errorf("at the end: %v", got)
		}
	})
}

// A silent worker's round is voided, and a window that Redis lost rebuilt.
func TestRepairsAreCounted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	lost := f.batch(f.org("org_a", 100*lookup.Credit), 5)
	if err := f.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	dead := f.batch(f.org("org_b", 100*lookup.Credit), 5)
	round := store.Round{Batch: dead.ID}.String()
	err := f.rdb.SAdd(t.Context(), "asynq:queues", tasks.Express).Err() // else the inspector finds no task
	if err == nil {
		err = asynq.NewInspectorFromRedisClient(f.rdb).DeleteTask(tasks.Express, round)
	}
	if err == nil {
		err = f.rdb.HSet(t.Context(), "magpie:running", round, "dead").Err()
	}
	if err == nil {
		err = f.rdb.ZAdd(t.Context(), "magpie:workers", redis.Z{Member: "dead", Score: 1}).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	f.workerWith("one", func(c *tasks.Config) { c.Metrics = tasks.NewMetrics(registry) })
	f.wantPaid(lost)
	f.wantPaid(dead)
	got := counts(t, registry)
	for repair, want := range map[string]float64{"worker_taken_over": 1, "round_voided": 1, "window_rebuilt": 1} {
		if n := got["magpie_sweeper_repairs_total{"+repair+"}"]; n != want {
			t.Errorf("%s: %v, want %v", repair, n, want)
		}
	}
}

// slow is an engine whose rounds end when their worker stops, with rows left.
type slow struct{ began chan struct{} }

func (s slow) RunRound(ctx context.Context, r store.Round) (enrich.Ending, error) {
	s.began <- struct{}{}
	<-ctx.Done()
	r.Round++
	return enrich.Ending{Next: &r}, nil
}

// What a worker that stops gives back is counted as such.
func TestGivenBackChunksAreCounted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testredis.Mini(t), teststore.SQLite(t))
	registry := prometheus.NewRegistry()
	engine := slow{make(chan struct{}, windowSize)}
	r := tasks.NewRunner(tasks.Config{Worker: "one", Poll: 10 * time.Millisecond, Metrics: tasks.NewMetrics(registry)}, f.dispatcher, engine, f.books, time.Now)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	f.batch(f.org("org_a", 100*lookup.Credit), 5)
	<-engine.began
	r.Stop()
	if got := counts(t, registry); got["magpie_chunk_runs_total{given_back}"] != 1 || got["magpie_chunk_runs_total{again}"] != 0 {
		t.Errorf("%v", got)
	}
}
