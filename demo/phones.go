package demo

import (
	_ "embed"
	"slices"
)

//go:generate go run ./gen phones.csv

//go:embed phones.csv
var phones []byte

// Phones returns a CSV file of several hundred telephone numbers from more than
// 25 countries, with the columns row_id, name, phone and country (two letters;
// empty where the number says it). They are written with spaces, dashes, dots,
// brackets, 00 or +, in national form, with extensions, letters and the digits
// of other scripts; some stand there twice, written differently, and some are
// not numbers. The copy is the caller's.
func Phones() []byte { return slices.Clone(phones) }
