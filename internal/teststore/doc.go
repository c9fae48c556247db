// Package teststore gives tests a database of Magpie's schema: SQLite in a
// folder, PostgreSQL, or both in turn, alone or beside a Redis.
//
// It promises that every test has a database of its own, that a PostgreSQL
// server is started at most once per test binary, listens on a Unix socket only
// and is gone when the binary is, however it ends; that tests connect to it as
// an ordinary role, which row-level security binds; and that a machine without
// PostgreSQL skips those tests, unless REQUIRE_SERVICES=1 says that they must
// run. It reaches no server that it did not start.
//
// The server does not sync to disk: what it has committed survives its own end,
// not the machine's. Only tests import this package.
package teststore
