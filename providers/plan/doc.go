// Package plan reads the file in which an operator says how the waterfalls are:
// which providers a service asks, in which order, under which conditions, and
// what a lookup may take and cost.
//
// It promises to report every mistake at once, each with its line and what to
// write instead, and to take nothing from a file that has one: a key that it
// does not know is a mistake, never ignored. It knows no provider itself, builds
// none and asks none.
package plan
