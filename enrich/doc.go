// Package enrich answers questions: one lookup, or the open rows of one round
// of a chunk. Both go the same way: reuse what the organization has paid for
// already, hold credits for the rest, ask the waterfall, store the results and
// their charge in one SQL transaction, settle the hold.
//
// It promises that a result is stored with its charge or not at all; that the
// same hold is closed once, so that a run repeated after a crash, or by two
// workers at once, ends in the same answer; that one question is charged once
// an organization and reuse window; and that what cannot be answered now stays
// open until its deadline and is then failed, free. A batch pauses when there is
// nothing left for it, of credits or of room under a cap, not even what is held;
// until then it waits. What all batches of an organization hold leaves a part of
// its balance to single lookups.
//
// It does not know queues: which round runs when and where is the business of
// package tasks. After a crash before the commit, upstream calls are repeated.
package enrich
