// Package app builds Magpie's processes out of its packages, and is the only
// place that knows them all.
//
// [New] checks a configuration and opens what the process needs, [App.Start]
// begins to serve, [App.Stop] ends in order: no new requests, calls under way
// finished, results stored, then everything closed. Several can run in one
// program, which tests use.
//
// Built so far is the embedded process, which needs nothing beside itself: an
// in-process Redis, SQLite in a folder, simulated vendors. Flags, signals and
// what people read belong to package cmd/magpie.
package app
