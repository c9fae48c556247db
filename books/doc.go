// Package books is the memory of the ledger: every credit in and out, in SQL,
// by double entry, and the only way an account gets into the gate.
//
// It promises that a grant is written before the gate learns of it and counts
// once per reference; that a hold has at most one closing, and whoever comes
// second obeys the one that stands; that a charge is written in the transaction
// that stores the results it pays for, and only in the generation in which its
// credits were held ([ErrFenced] otherwise); and that every entry takes from
// one account what it gives to another. Grants, refreshes, refunds and revokes
// are numbered together, one organization's one after the other; a charge waits
// for nobody but at the account row, which it touches late.
//
// Credits are in lots, which a charge burns by the slices that its hold took in
// the gate. Several grants may share a lot; what remains of each is worked out
// when somebody asks ([Books.Grants]), by the gate's own order. What is left of
// a lot is breakage once no hold of before its end can be open any more.
//
// That an account runs low is an event, written with the level that SQL remembers
// and told once a crossing to a [Watcher].
//
// It does not decide what is charged: packages enrich and store do, inside the
// same transaction. It does not decide when a cycle ends or who has paid.
package books
