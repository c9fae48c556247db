package store_test

import (
	"testing"
	"time"

	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

func TestTickets(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		a, b := org(t, db, "org_a"), org(t, db, "org_b")
		one, two := lookup.Question{1}, lookup.Question{2}
		put := func(owner string, tickets map[lookup.Question][]store.Ticket) {
			write(t, db, func(tx *store.Tx) error { return store.ReplaceTickets(t.Context(), tx, owner, tickets) })
		}
		put(a, map[lookup.Question][]store.Ticket{
			one: {{Provider: "slow", ID: "job", At: start}, {Provider: "slower", ID: "job", At: start}}, two: {{Provider: "slow", ID: "other", At: start}},
		})
		put(b, map[lookup.Question][]store.Ticket{one: {{Provider: "slow", ID: "b", At: start}}})
		put(a, map[lookup.Question][]store.Ticket{one: {{Provider: "slow", ID: "newer", At: start}}, two: nil})
		found, err := db.FindTickets(t.Context(), a, []lookup.Question{one, two}, start)
		if err != nil || len(found) != 1 || len(found[one]) != 1 {
			t.Fatalf("%+v, %v; want one ticket", found, err)
		}
		if got := found[one][0]; got.ID != "newer" || got.Provider != "slow" || got.Question != one || !got.At.Equal(start) {
			t.Errorf("%+v", got)
		}
		if found, err := db.As(b).FindTickets(t.Context(), []lookup.Question{one}, start); err != nil || found[one][0].ID != "b" {
			t.Errorf("%+v, %v; want the organization's own", found, err)
		}
		if found, err := db.FindTickets(t.Context(), a, []lookup.Question{one}, start.Add(time.Second)); err != nil || len(found) != 0 {
			t.Errorf("%+v, %v; want none so new", found, err)
		}
	})
}
