package store_test

import (
	"testing"
	"time"

	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

func TestTrails(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a, b := org(t, db, "org_a"), org(t, db, "org_b")
		one, two := lookup.Question{1}, lookup.Question{2}
		put := func(owner string, trails map[lookup.Question][]store.Trace) {
			write(t, db, func(tx *store.Tx) error { return store.ReplaceTrails(t.Context(), tx, owner, trails) })
		}
		whole := store.Trace{
			Question: one, Provider: "slow", Ticket: "newer", Missed: true, Lost: 2,
			Spent: 35_000, Took: 1500 * time.Millisecond, At: start,
		}
		put(a, map[lookup.Question][]store.Trace{
			one: {{Question: one, Provider: "slow", Ticket: "job", At: start}, {Question: one, Provider: "slower", Ticket: "job", At: start}},
			two: {{Question: two, Provider: "slow", At: start}},
		})
		put(b, map[lookup.Question][]store.Trace{one: {{Question: one, Provider: "slow", Ticket: "b", At: start}}})
		put(a, map[lookup.Question][]store.Trace{one: {whole}, two: nil})
		both := []lookup.Question{one, two}
		known, err := db.Recall(t.Context(), a, both, store.Since{Trails: start})
		if err != nil || len(known.Trails) != 1 || len(known.Trails[one]) != 1 || len(known.Answers) != 0 {
			t.Fatalf("%+v, %v; want one trace", known, err)
		}
		if got := known.Trails[one][0]; got != whole {
			t.Errorf("%+v, want %+v", got, whole)
		}
		if known, err := db.As(b).Recall(t.Context(), both, store.Since{}); err != nil || known.Trails[one][0].Ticket != "b" {
			t.Errorf("%+v, %v; want the organization's own", known, err)
		}
		if known, err := db.Recall(t.Context(), a, both, store.Since{Trails: start.Add(time.Second)}); err != nil || len(known.Trails) != 0 {
			t.Errorf("%+v, %v; want none so new", known, err)
		}
	})
}

// A question may have been paid for and be open again, after its answer grew old.
func TestRecallTellsAnswersFromTrails(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a, question := org(t, db, "org_a"), lookup.Question{7}
		write(t, db, func(tx *store.Tx) error {
			if _, err := store.PutAnswers(t.Context(), tx, a, []store.Answer{{Question: question, Result: []byte(`{}`), Provider: "fast"}}, start, start); err != nil {
				return err
			}
			return store.ReplaceTrails(t.Context(), tx, a, map[lookup.Question][]store.Trace{question: {{Question: question, Provider: "slow", Missed: true, At: start}}})
		})
		known, err := db.Recall(t.Context(), a, []lookup.Question{question}, store.Since{})
		if err != nil || len(known.Answers) != 1 || known.Answers[question].Provider != "fast" || len(known.Trails[question]) != 1 || !known.Trails[question][0].Missed {
			t.Errorf("%+v, %v; want one answer and one trace", known, err)
		}
	})
}
