package store

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
)

// Unreachable reports whether err is about the way to a server (PostgreSQL, or
// Redis), or a server that is starting or stopping, rather than its answer:
// what failed may be tried again later.
func Unreachable(err error) bool {
	if err == nil {
		return false
	}
	_, network := errors.AsType[*net.OpError](err)
	_, name := errors.AsType[*net.DNSError](err)
	if network || name || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	text := err.Error()
	for _, said := range []string{
		"the database system is starting up", "the database system is shutting down", "terminating connection",
		"LOADING Redis", "connection reset", "connection pool timeout", "i/o timeout",
	} {
		if strings.Contains(text, said) {
			return true
		}
	}
	return false
}
