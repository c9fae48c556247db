package enrich_test

import (
	"testing"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
)

// count reads a counter without labels.
func (b *bench) count(name string) float64 {
	b.t.Helper()
	families, err := b.counts.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	b.t.Fatalf("there is no %s", name)
	return 0
}

// A hold is granted and settled for each question that was paid for; one that
// is answered from memory needs none, and a refusal is no grant.
func TestHoldsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t, testredis.Mini(t), teststore.SQLite(t), 2*lookup.Credit)
	for _, n := range []int{1, 2, 1, 3} { // the third is known, the fourth too much
		_, err := b.engine.Lookup(t.Context(), b.request("hit", n))
		if (err != nil) != (n == 3) {
			t.Errorf("lookup %d: %v", n, err)
		}
	}
	for name, want := range map[string]float64{
		"magpie_holds_granted_total": 2, "magpie_holds_settled_total": 2, "magpie_holds_refused_total": 1,
	} {
		if got := b.count(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
