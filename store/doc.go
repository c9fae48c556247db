// Package store keeps in SQL what must last, except for money (package books):
// organizations, API keys, batches with their chunks and results, answers that
// may be reused, single lookups and idempotency keys.
//
// It promises that a write is one transaction ([DB.Write]), that an error which
// leaves its outcome open says so ([ErrUnknownOutcome]), and that every read
// and write of a customer's object names the organization it belongs to: an
// object of another organization is [ErrNotFound]. Behind [DB.As] PostgreSQL
// holds that by itself, even where a query forgets its condition: every table
// has row-level security (migration 00002), and one of the tests fails for a
// table without. SQLite has no such wall.
//
// It makes no decision about a batch's life: packages enrich and tasks do. Only
// whether a cap leaves room is worked out here ([Room]), where what is spent is. It
// never talks to Redis. Times are stored as Unix milliseconds, amounts as
// millicredits, inputs and results as one JSON document a chunk and round.
package store
