// Package millionverifier speaks the wire format of MillionVerifier
// (https://api.millionverifier.com/api/v3).
//
// It builds requests and classifies answers for email validation. MillionVerifier
// answers everything with status 200: an error is a text in the body, and one that
// is set outweighs whatever else is there. Only "ok" and "invalid" are definite.
// The key can be given in the query alone, so the address of a request is never
// to be logged. The package makes no call and keeps no state.
package millionverifier
