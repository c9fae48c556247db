// Package api is Magpie's HTTP interface: batches, single lookups, credits and
// the administrator's routes, with the OpenAPI document generated from the same
// code.
//
// It promises that every refusal is application/problem+json, names the
// parameter at fault and never repeats a value; that unknown parameters and
// fields are refused by name; that another organization's object is not found;
// that an upload which is refused or broken off leaves nothing behind; and that
// a POST repeated under the same Idempotency-Key answers what it answered first
// and charges nothing twice.
//
// It asks no provider and moves no credit itself: packages enrich and books do,
// and chunks are handed out by whatever [Dispatcher] it is given.
package api
