// Package ledger is the gate: it decides, in Redis and atomically, whether
// credits may be set aside for work, and debits them per successful result.
//
// A job holds credits before it starts ([Gate.Hold]) and its hold is settled
// when its charge has been written to SQL ([Gate.Settle]). The gate is fast and
// forgetful: SQL is the memory (package books), and an account that Redis does
// not have is never zero and never unlimited but [ErrMissing], to be loaded from
// SQL ([Gate.Load]). Loading raises the account's generation; holds of an older
// generation no longer count, and what was charged under them is part of what
// was loaded. A revoke is such a load.
//
// An account has up to [MaxLots] lots of credits, each with an end. A hold takes
// slices of them in [BurnOrder] and keeps those until it is settled: a charge
// burns the first ([Burn]), the rest goes back. What is free of a lot expires at
// its end by the gate's own clock, swept or not; what is held of it may still be
// charged, and expires when it is released.
//
// # Invariants
//
// For every account, after every script:
//
//  1. granted = available + held + captured + expired + revoked
//  2. available ≥ 0 and held ≥ 0, whatever callers interleave
//  3. a hold is closed once, captured at most once and never for more than it
//     holds; repeating a call with the same id changes nothing and returns the
//     first answer (refusals are not recorded)
//  4. only a charge of the hold's own generation is captured
//
// A script checks the account it reads for the first two: one that does not add
// up, or that no script wrote, is [ErrCorrupt] and is not touched.
//
// # What it does not do
//
// It does not know what credits were spent on, keeps no history, and does not
// make a charge durable. It never lets a hold expire by itself (the credits
// would be lost): overdue holds are listed by [Gate.Overdue] for a sweeper that
// closes them in SQL first.
//
// Amounts are whole millicredits below 2^53, since Lua's numbers are doubles.
// Every script is idempotent by the id it is given, because the client retries
// calls whose answer was lost. The format of an account has a version: to a
// script that reads another one the account is missing, and loading writes it
// anew. So two versions of the scripts can run side by side during a deployment;
// they fence each other off, which costs loads and never credits.
package ledger
