// Command magpie is the command line for customers and operators of Magpie. It
// submits files, follows batches, downloads results and asks single questions
// through the HTTP API; magpie dev and magpie demo run everything in one
// process, with no other server.
//
// It promises: answers go to stdout and everything else to stderr, where each
// line begins with error:, warning: or hint:, apart from the progress of a
// batch and the log of a server; --json writes the answer of any command as JSON that only ever gains
// fields; it exits with 0 when done, 1 when it failed, 2 when it was used
// wrongly and 3 when a batch is paused for credits or at a cap; and no data can write
// control characters to a terminal.
//
// It builds nothing itself: processes come from package app, requests from
// package client.
package main
