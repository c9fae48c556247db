// Package app builds Magpie's processes out of its packages, and is the only
// place that knows them all.
//
// [New] checks a configuration and opens what the process needs, [App.Start]
// begins to serve, [App.Stop] ends in order: no new requests, calls under way
// finished, results stored, then everything closed. Several can run in one
// program, which tests use.
//
// A process has a [Role]. The embedded process has everything in it: an
// in-process Redis, SQLite in a folder, simulated vendors. A fleet has any number
// of processes of the roles API and Worker, over one PostgreSQL and Redis; they
// read their settings from the environment ([FromEnv]). Flags, signals and what
// people read belong to the commands.
package app
