package enrich_test

import (
	"errors"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/store"
)

// A vendor that takes its time is asked once and then read, whichever process
// runs the rounds. Its job also answers whoever asks the same next.
func TestAsynchronousVendorIsAskedOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, "icypeas", simulator.Vendor{Ready: 10 * time.Second}, providers.Limits{})
	rows, known := l.people(20)
	id := l.ask(rows...).ID
	for range 3 { // ordered, not ready, ready
		if asked := l.get(id).Rows.Asked; asked != 0 {
			t.Errorf("%d rows have an answer before the vendor has one", asked)
		}
		l.round(id, 0)
		l.restart()
		l.clock.advance(5 * time.Second)
	}
	l.wantOutcome(id, store.RowCounts{Total: 20, Askable: 20, Asked: 20, Found: known, NotFound: 20 - known}, lookup.Credits(known)*lookup.Credit)
	l.wantSound(id)
	if s := l.stats(); s.Answers["accepted"] != 20 || s.Answers["pending"] != 20 || s.Calls != 60 {
		t.Errorf("the vendor saw %+v, want 20 questions, read twice each", s)
	}
	var left int
	if err := l.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM tickets`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d tickets are left, %v", left, err)
	}
}

// A single lookup runs out of patience; what it ordered is read by the next.
func TestLookupLeavesItsTicket(t *testing.T) {
	t.Parallel()
	l := newLab(t, "icypeas", simulator.Vendor{Ready: 10 * time.Second}, providers.Limits{})
	q := someone(t, "fault-gzip.test") // which the vendor has, in a compressed answer
	ask := func() (lookup.Row, error) {
		return l.engine.Lookup(t.Context(), enrich.Request{ID: store.NewID("lkp", l.clock.Now()), Org: org, Key: "key_test", Query: q, Price: lookup.Credit})
	}
	if _, err := ask(); !errors.Is(err, enrich.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	l.restart()
	l.clock.advance(11 * time.Second)
	if row, err := ask(); err != nil || *row.Outcome != lookup.Found || row.Credits != lookup.Credit {
		t.Errorf("%+v, %v", row, err)
	}
	if s := l.stats(); s.Answers["accepted"] != 1 || s.Charged != 1 {
		t.Errorf("the vendor saw %+v, want one question", s)
	}
	l.wantSound()
}
