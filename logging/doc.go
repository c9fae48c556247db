// Package logging joins log lines: what belongs to a request, a round or a
// worker is put into the context once, and every line written with that
// context carries it. A request's id thus reaches the call to a vendor through
// packages that know nothing of requests.
//
// The names are fixed, so that a log can be searched by them: request (an HTTP
// request), batch, chunk and round (a task's round), hold (the id of a round or
// lookup in gate, queue and closings) and worker. Values are ids, never
// personal data.
package logging
