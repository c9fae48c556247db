// Package books is the memory of the ledger: every credit in and out, in SQL,
// by double entry, and the only way an account gets into the gate.
//
// It promises that a grant is written before the gate learns of it and counts
// once per reference; that a hold has at most one closing, and whoever comes
// second obeys the one that stands; that a charge is written in the transaction
// that stores the results it pays for, and only in the generation in which its
// credits were held ([ErrFenced] otherwise); and that every entry takes from
// one account what it gives to another.
//
// It does not decide what is charged: packages enrich and store do, inside the
// same transaction. Lots that expire, refunds, caps and statements are not
// built yet.
package books
