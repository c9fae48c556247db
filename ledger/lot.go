package ledger

import (
	"cmp"
	"math"
)

// Class is how the credits of a lot came in. Among lots that expire at the same
// time, a lower class is used first.
type Class int64

// The classes, in the order in which they are used.
const (
	Promotional  Class = iota // given away
	Subscription              // of a billing cycle
	Paid                      // bought, or given by hand
)

// Lot is credits that expire together. Amounts are millicredits.
type Lot struct {
	ID      int64 // the number of the grant that began it
	Class   Class
	Expires int64 // Unix milliseconds; 0: never
	Free    int64 // neither held nor captured; of an expired lot, expired
	Held    int64
}

// Expired reports whether the lot is expired at a time in Unix milliseconds.
func (l Lot) Expired(at int64) bool { return l.Expires != 0 && l.Expires <= at }

// BurnOrder compares two lots by which is used first: the one that expires
// sooner, then promotional before paid, then the older. The gate keeps its lots
// in this order and holds from the front.
func BurnOrder(a, b Lot) int {
	return cmp.Or(
		cmp.Compare(a.expiry(), b.expiry()),
		cmp.Compare(a.Class, b.Class),
		cmp.Compare(a.ID, b.ID),
	)
}

func (l Lot) expiry() int64 {
	if l.Expires == 0 {
		return math.MaxInt64
	}
	return l.Expires
}

// MaxLots is how many lots an account may have in the gate.
const MaxLots = 16

// Slice is a part of a lot.
type Slice struct {
	Lot    int64 `json:"lot"`
	Amount int64 `json:"amount"` // millicredits
}

// Burn takes an amount from slices that are in burn order: from the first until
// it is spent. It returns what was taken, less than the amount if there is not
// enough, and what is left.
func Burn(slices []Slice, amount int64) (taken, left []Slice) {
	for _, s := range slices {
		part := min(s.Amount, amount)
		amount -= part
		if part > 0 {
			taken = append(taken, Slice{s.Lot, part})
		}
		if part < s.Amount {
			left = append(left, Slice{s.Lot, s.Amount - part})
		}
	}
	return taken, left
}

// Sum is the amount of all slices, in millicredits.
func Sum(slices []Slice) (amount int64) {
	for _, s := range slices {
		amount += s.Amount
	}
	return amount
}

// Level says how an account's available and held credits stand to its threshold.
type Level int64

// Levels, each below the one before.
const (
	Plenty    Level = iota
	Low             // below the threshold
	Exhausted       // not enough for one more unit
)
