package providers

import (
	"cmp"
	"context"
	_ "embed" // the script
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/lookup"
)

const (
	boardKey   = "magpie:providers"
	boardEvery = 5 * time.Second  // between two reports of a process
	boardFresh = 16 * time.Second // older reports are of processes that are gone
	boardKeep  = time.Minute
	boardTime  = 2 * time.Second // for one call to Redis
	// latencySpan is over how long latencies are told.
	latencySpan = 5 * time.Minute
)

var (
	//go:embed board.lua
	boardSource string
	boardScript = redis.NewScript(boardSource)
)

// Board is where the processes of a fleet say how they stand with their vendors.
// Each writes a report to Redis every few seconds; whoever reads adds up those
// that are fresh. Nothing is decided by it.
type Board struct {
	rdb     redis.UniversalClient
	process string
	metrics *Metrics
	guards  []*Guard
	log     *slog.Logger

	mu   sync.Mutex
	past []latencies // oldest first
}

// NewBoard returns the board of a process, which must have an id of its own.
func NewBoard(rdb redis.UniversalClient, process string, m *Metrics, guards []*Guard, log *slog.Logger) *Board {
	return &Board{rdb: rdb, process: process, metrics: m, guards: guards, log: log}
}

// processReport is what a process says of one provider. Calls and costs are since it
// began; latencies are recent.
type processReport struct {
	State    State            `json:"state"`
	Services []lookup.Service `json:"services"`
	Calls    map[string]int64 `json:"calls"`
	HeldBack map[string]int64 `json:"held_back"`
	Cost     float64          `json:"cost"`
	Latency  []int64          `json:"latency"`
}

// latencies are what had been counted at a moment.
type latencies struct {
	at     time.Time
	counts []processReport
}

// Run writes reports until ctx ends, and then takes the last one away.
func (b *Board) Run(ctx context.Context) {
	tick := time.NewTicker(boardEvery)
	defer tick.Stop()
	for silent := false; ; {
		err := b.Write(ctx)
		if err != nil && !silent && ctx.Err() == nil {
			b.log.WarnContext(ctx, "the page of providers is missing this process", "err", err)
		}
		silent = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = b.say(context.WithoutCancel(ctx), "") // or it grows old
			return
		}
	}
}

// Write writes a report as of now.
func (b *Board) Write(ctx context.Context) error {
	reports := make([]processReport, len(b.guards))
	for i, g := range b.guards {
		reports[i] = b.metrics.report(g)
	}
	b.mu.Lock()
	if now := time.Now(); len(b.past) == 0 || now.Sub(b.past[len(b.past)-1].at) >= boardEvery {
		b.past = append(b.past, latencies{now, reports})
		b.past = slices.DeleteFunc(b.past, func(l latencies) bool { return now.Sub(l.at) > latencySpan })
	}
	first := b.past[0].counts
	b.mu.Unlock()
	said := slices.Clone(reports)
	for i := range said {
		said[i].Latency = since(first[i].Latency, said[i].Latency)
	}
	text, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("providers: report: %w", err)
	}
	return b.say(ctx, string(text))
}

// since are the counts that were added.
func since(before, now []int64) []int64 {
	added := make([]int64, len(now))
	for i := range now {
		added[i] = now[i] - before[i]
	}
	return added
}

func (b *Board) say(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, boardTime)
	defer cancel()
	if err := boardScript.Run(ctx, b.rdb, []string{boardKey}, b.process, boardKeep.Milliseconds(), text).Err(); err != nil {
		return fmt.Errorf("providers: board: %w", err)
	}
	return nil
}

// report reads what was counted for a guard's provider.
func (m *Metrics) report(g *Guard) processReport {
	name := g.Name()
	r := processReport{State: g.State(), Services: g.Services(), Calls: map[string]int64{}, HeldBack: map[string]int64{}}
	for _, o := range Outcomes {
		r.Calls[o.String()] = int64(read(m.calls.WithLabelValues(name, o.String())).GetCounter().GetValue())
	}
	for _, reason := range heldReasons {
		r.HeldBack[reason] = int64(read(m.held.WithLabelValues(name, reason)).GetCounter().GetValue())
	}
	r.Cost = read(m.cost.WithLabelValues(name)).GetCounter().GetValue()
	if histogram, ok := m.seconds.WithLabelValues(name).(readable); ok {
		h, below := read(histogram).GetHistogram(), uint64(0)
		for _, bucket := range h.GetBucket() { // they are cumulative
			r.Latency = append(r.Latency, int64(bucket.GetCumulativeCount()-below))
			below = bucket.GetCumulativeCount()
		}
		r.Latency = append(r.Latency, int64(h.GetSampleCount()-below))
	}
	return r
}

// readable is a metric that tells its value.
type readable interface{ Write(out *dto.Metric) error }

func read(m readable) *dto.Metric {
	var value dto.Metric
	_ = m.Write(&value) // of a counter or histogram, which cannot fail
	return &value
}

// Summary is how a fleet stands with one provider.
type Summary struct {
	State
	Services  []lookup.Service
	Processes int              // that reported lately
	Calls     map[string]int64 // since they began, by outcome
	HeldBack  map[string]int64 // questions not let through, by why
	Cost      float64          // of the calls, in the waterfall file's unit
	// P50 and P95 are of the calls of the last five minutes: half of them, and
	// 19 of 20, were as fast. 0: there were none.
	P50, P95 time.Duration
}

// Read adds up the reports that are fresh, that of its own process as of now.
func (b *Board) Read(ctx context.Context) ([]Summary, error) {
	if err := b.Write(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, boardTime)
	defer cancel()
	var clock *redis.TimeCmd
	var board *redis.MapStringStringCmd
	_, err := b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		clock, board = p.Time(ctx), p.HGetAll(ctx, boardKey)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("providers: board: %w", err)
	}
	sums := map[string]*sum{}
	for _, text := range board.Val() {
		written, text, _ := strings.Cut(text, " ")
		ms, err := strconv.ParseInt(written, 10, 64)
		var reports []processReport
		if err != nil || clock.Val().Sub(time.UnixMilli(ms)) > boardFresh || json.Unmarshal([]byte(text), &reports) != nil {
			continue // of a process that is gone, or of another version
		}
		for _, r := range reports {
			if sums[r.State.Provider] == nil {
				sums[r.State.Provider] = &sum{Summary: Summary{Calls: map[string]int64{}, HeldBack: map[string]int64{}}}
			}
			sums[r.State.Provider].add(r)
		}
	}
	all := make([]Summary, 0, len(sums))
	for _, s := range sums {
		s.P50, s.P95 = quantile(s.latency, 0.50), quantile(s.latency, 0.95)
		all = append(all, s.Summary)
	}
	slices.SortFunc(all, func(a, b Summary) int { return cmp.Compare(a.Provider, b.Provider) })
	return all, nil
}

// sum is a summary that is being added up.
type sum struct {
	Summary
	latency []int64
}

// severity orders conditions: of what processes say the worst counts.
var severity = map[string]int{"closed": 0, "half-open": 1, "open": 2, "parked": 3}

// add adds a process's report. What a process says of the fleet may be a moment
// old, so the worst of it counts; calls under way are its own.
func (s *sum) add(r processReport) {
	state := r.State
	if s.Processes > 0 {
		if severity[state.Condition] < severity[s.Condition] {
			state = s.State
		}
		state.Until = later(s.Until, r.State.Until)
		state.NotBefore = later(s.NotBefore, r.State.NotBefore)
		state.Rate = max(s.Rate, r.State.Rate)
		state.InFlight = s.InFlight + r.State.InFlight
		state.Quotas = fullest(s.Quotas, r.State.Quotas)
	}
	s.State, s.Services = state, r.Services
	s.Processes++
	s.Cost += r.Cost
	for outcome, n := range r.Calls {
		s.Calls[outcome] += n
	}
	for reason, n := range r.HeldBack {
		s.HeldBack[reason] += n
	}
	if len(s.latency) < len(r.Latency) {
		s.latency = append(s.latency, make([]int64, len(r.Latency)-len(s.latency))...)
	}
	for i, n := range r.Latency {
		s.latency[i] += n
	}
}

// fullest are the uses of each window that are furthest.
func fullest(a, b []QuotaUse) []QuotaUse {
	most := map[string]QuotaUse{}
	for _, use := range slices.Concat(a, b) {
		if known, ok := most[use.Window]; !ok || use.Used > known.Used {
			most[use.Window] = use
		}
	}
	return slices.SortedFunc(maps.Values(most), func(x, y QuotaUse) int { return cmp.Compare(x.Quota, y.Quota) })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// quantile estimates the duration that a share of the calls did not exceed, as
// if they were spread evenly in their bucket.
func quantile(counts []int64, share float64) time.Duration {
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	rank, low := share*float64(total), 0.0
	for i, n := range counts {
		if i == len(latencyBuckets) { // beyond the last
			break
		}
		high := latencyBuckets[i]
		if n > 0 && rank <= float64(n) {
			return time.Duration((low + (high-low)*rank/float64(n)) * float64(time.Second))
		}
		rank, low = rank-float64(n), high
	}
	if total == 0 {
		return 0
	}
	return time.Duration(low * float64(time.Second))
}
