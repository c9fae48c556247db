package store

import (
	"context"
	"fmt"
	"time"
)

// Reservation is a number of calls that a fleet may make of a vendor's quota.
type Reservation struct {
	ID    string
	Until time.Time // when the last of them has arrived
	Calls int64
}

// reservationLife is how long reservations are kept: a day's quota, and a
// little more.
const reservationLife = 25 * time.Hour

// PutReservations stores reservations of a quota, the number of calls of one
// that is there already is replaced, and forgets those that ended over a day ago.
func (d *DB) PutReservations(ctx context.Context, quota string, reservations []Reservation) error {
	err := d.Write(ctx, func(tx *Tx) error {
		var newest time.Time
		for _, r := range reservations {
			err := exec(ctx, tx, 1, `INSERT INTO reservations (quota, id, until_ms, calls) VALUES (?, ?, ?, ?)
				ON CONFLICT (quota, id) DO UPDATE SET calls = excluded.calls`, quota, r.ID, millis(r.Until), r.Calls)
			if err != nil {
				return err
			}
			if r.Until.After(newest) {
				newest = r.Until
			}
		}
		return exec(ctx, tx, -1, `DELETE FROM reservations WHERE quota = ? AND until_ms < ?`, quota, millis(newest.Add(-reservationLife)))
	})
	if err != nil {
		return fmt.Errorf("store: reservations of %s: %w", quota, err)
	}
	return nil
}

// Reservations returns the reservations of a quota that end after since.
func (d *DB) Reservations(ctx context.Context, quota string, since time.Time) (all []Reservation, err error) {
	rows, err := d.QueryContext(ctx, `SELECT id, until_ms, calls FROM reservations WHERE quota = ? AND until_ms > ?`, quota, millis(since))
	if err != nil {
		return nil, fmt.Errorf("store: reservations of %s: %w", quota, err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Reservation
		var until int64
		if err := rows.Scan(&r.ID, &until, &r.Calls); err != nil {
			return nil, fmt.Errorf("store: reservations of %s: %w", quota, err)
		}
		r.Until = fromMillis(until)
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: reservations of %s: %w", quota, err)
	}
	return all, nil
}
