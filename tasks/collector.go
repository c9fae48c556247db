package tasks

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Collector reads the queues when metrics are scraped. Asynq's own collector
// fails for all queues when one task's hash is missing; this one reads nothing
// but lengths and the oldest waiting task.
type Collector struct {
	rdb    redis.UniversalClient
	tasks  *prometheus.Desc
	oldest *prometheus.Desc
}

// NewCollector returns a collector for the queues in rdb.
func NewCollector(rdb redis.UniversalClient) *Collector {
	return &Collector{
		rdb:    rdb,
		tasks:  prometheus.NewDesc("magpie_queue_tasks", "Tasks in a queue, by state.", []string{"queue", "state"}, nil),
		oldest: prometheus.NewDesc("magpie_queue_oldest_pending_seconds", "How long the oldest pending task has waited.", []string{"queue"}, nil),
	}
}

// Describe sends the metrics' descriptions.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.tasks
	to <- c.oldest
}

// scrapeTime bounds a look at the queues.
const scrapeTime = 2 * time.Second

// queueState is what one queue holds, as the replies to come.
type queueState struct {
	lists  map[string]*redis.IntCmd
	oldest *redis.StringCmd
}

// Collect reads all queues in two round trips. Without Redis it sends nothing.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	states := make(map[string]queueState, len(Queues))
	_, _ = c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // an empty queue has no oldest task: redis.Nil
		for _, queue := range Queues {
			key := func(name string) string { return "asynq:{" + queue + "}:" + name }
			states[queue] = queueState{
				lists: map[string]*redis.IntCmd{
					"pending": p.LLen(ctx, key("pending")), "active": p.LLen(ctx, key("active")),
					"retry": p.ZCard(ctx, key("retry")), "scheduled": p.ZCard(ctx, key("scheduled")), "archived": p.ZCard(ctx, key("archived")),
				},
				oldest: p.LIndex(ctx, key("pending"), -1),
			}
		}
		return nil
	})
	for queue, s := range states {
		for state, n := range s.lists {
			if n.Err() == nil {
				to <- prometheus.MustNewConstMetric(c.tasks, prometheus.GaugeValue, float64(n.Val()), queue, state)
			}
		}
		if s.lists["pending"].Err() == nil {
			to <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, c.age(ctx, queue, s.oldest.Val()), queue)
		}
	}
}

// age is how long a pending task has waited; 0 if there is none.
func (c *Collector) age(ctx context.Context, queue, id string) float64 {
	if id == "" {
		return 0
	}
	since, err := c.rdb.HGet(ctx, "asynq:{"+queue+"}:t:"+id, "pending_since").Int64()
	if err != nil {
		return 0
	}
	return max(0, time.Since(time.Unix(0, since)).Seconds())
}
