package store_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/internal/teststore"
	"github.com/magpie-hq/magpie/store"
)

func TestReservations(t *testing.T) {
	t.Parallel()
	teststore.Each(t, func(t *testing.T, db *store.DB) {
		now := time.UnixMilli(1_800_000_000_000).UTC()
		put := func(quota string, all ...store.Reservation) {
			t.Helper()
			if err := db.PutReservations(t.Context(), quota, all); err != nil {
				t.Fatal(err)
			}
		}
		put("v", store.Reservation{ID: "old", Until: now.Add(-26 * time.Hour), Calls: 1})
		put("v", store.Reservation{ID: "a", Until: now.Add(-23 * time.Hour), Calls: 100})
		put("w", store.Reservation{ID: "a", Until: now, Calls: 7})
		for range 2 { // told twice, it counts once
			put("v", store.Reservation{ID: "b", Until: now, Calls: 50}, store.Reservation{ID: "a", Until: now.Add(-23 * time.Hour), Calls: 60})
		}
		read := func(since time.Time) []store.Reservation {
			t.Helper()
			all, err := db.Reservations(t.Context(), "v", since)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(all, func(a, b store.Reservation) int { return strings.Compare(a.ID, b.ID) })
			return all
		}
		a, b := store.Reservation{ID: "a", Until: now.Add(-23 * time.Hour), Calls: 60}, store.Reservation{ID: "b", Until: now, Calls: 50}
		if got := read(now.Add(-48 * time.Hour)); !reflect.DeepEqual(got, []store.Reservation{a, b}) {
			t.Errorf("%+v, want a and b, and nothing that is older than a day", got)
		}
		if got := read(now.Add(-time.Minute)); !reflect.DeepEqual(got, []store.Reservation{b}) {
			t.Errorf("%+v, want b", got)
		}
	})
}
