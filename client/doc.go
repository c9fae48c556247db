// Package client is the Go client of Magpie's HTTP API, for customers and, with
// an administrator's key, for operators.
//
// It promises that a call which is repeated after a broken connection has its
// effect once: everything that creates or costs something carries an
// Idempotency-Key, and calls which the server or the network refused for a
// moment are tried again a few times, no sooner than the server asks for. A
// refusal is an [*Error], with the code that programs act on. Uploads and
// downloads stream.
//
// It follows no redirects, since that would show the key to another host, and
// has no time limit but that of the context it is given.
package client
