// Package testredis gives tests a Redis: an in-process one, a real one, or each
// in turn.
//
// It promises that every test has a database of its own, so that tests run in
// parallel; that a real server is started at most once per test binary, listens
// on a Unix socket only, and is gone when the binary is, however it ends; and
// that a machine without Redis skips those tests, unless REQUIRE_SERVICES=1
// says that they must run. It reaches no server that it did not start.
//
// It does not hide that pub/sub, scripts and configuration belong to a whole
// server: tests of one package share them on the real one. Only tests import
// this package.
package testredis
