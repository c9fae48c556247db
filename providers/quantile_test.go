package providers

import (
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	counts := func(at map[int]int64) []int64 {
		all := make([]int64, len(latencyBuckets)+1)
		for i, n := range at {
			all[i] = n
		}
		return all
	}
	last := len(latencyBuckets)
	for name, c := range map[string]struct {
		counts   []int64
		share    float64
		low, top time.Duration
	}{
		"no calls":        {counts(nil), 0.5, 0, 0},
		"nothing at all":  {nil, 0.5, 0, 0},
		"one bucket":      {counts(map[int]int64{2: 10}), 0.5, 10 * time.Millisecond, 20 * time.Millisecond},
		"half and half":   {counts(map[int]int64{0: 50, 12: 50}), 0.5, 4 * time.Millisecond, 5 * time.Millisecond},
		"the slow ones":   {counts(map[int]int64{0: 50, 12: 50}), 0.95, 750 * time.Millisecond, time.Second},
		"beyond the last": {counts(map[int]int64{last: 10}), 0.95, 3 * time.Minute, 3 * time.Minute},
	} {
		if got := quantile(c.counts, c.share); got < c.low || got > c.top {
			t.Errorf("%s: %s, want %s to %s", name, got, c.low, c.top)
		}
	}
}
