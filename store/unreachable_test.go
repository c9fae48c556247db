package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/magpie-hq/magpie/store"
)

func TestUnreachable(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"nothing":        {nil, false},
		"refused":        {fmt.Errorf("store: begin: %w", refused), true},
		"unknown host":   {&net.DNSError{Name: "db"}, true},
		"starting":       {errors.New("FATAL: the database system is starting up (SQLSTATE 57P03)"), true},
		"wrong password": {errors.New("FATAL: password authentication failed (SQLSTATE 28P01)"), false},
		"caller hung up": {context.Canceled, false},
		"not there":      {store.ErrNotFound, false},
	} {
		if got := store.Unreachable(tc.err); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
	if _, err := store.OpenPostgres(t.Context(), "postgres://magpie@127.0.0.1:1/magpie"); !store.Unreachable(err) {
		t.Errorf("a server that is not there: %v", err)
	}
}
