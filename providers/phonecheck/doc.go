// Package phonecheck answers mobile validation from the numbering plans of the
// world, without asking anybody.
//
// It knows how numbers are built, not whether a line is live, and does not see
// numbers that moved to another carrier: its answers say confirmed false.
package phonecheck
