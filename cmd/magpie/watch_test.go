package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// stub is a server of which watch sees one batch, answered by answer with the
// number of the look.
func stub(t *testing.T, answer func(look int64) (status int, batch string)) *installation {
	t.Helper()
	var looks atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status, batch := answer(looks.Add(1))
		w.Header().Set("Retry-After", "3600") // longer than the client waits
		w.WriteHeader(status)
		_, _ = io.WriteString(w, batch)
	}))
	t.Cleanup(server.Close)
	return nowhere(t).with("MAGPIE_URL", server.URL).with("MAGPIE_API_KEY", "mgp_test")
}

// A server that restarts does not end watching; one that stays away does.
func TestWatchOutlivesARestart(t *testing.T) {
	t.Parallel()
	i := stub(t, func(look int64) (int, string) {
		if look < mostMisses {
			return http.StatusServiceUnavailable, ""
		}
		return http.StatusOK, `{"id":"bat_1","status":"completed"}`
	})
	r := i.magpie("watch", "bat_1")
	if r.code != exitDone || strings.Count(r.errors, "warning: the server does not answer") != 1 {
		t.Errorf("%+v", r)
	}
	gone := stub(t, func(int64) (int, string) { return http.StatusServiceUnavailable, "" })
	if r := gone.magpie("watch", "bat_1"); r.code != exitFailed || !strings.Contains(r.errors, "error: the server answered 503") {
		t.Errorf("%+v", r)
	}
}

// Between the arrival of credits and the batch going on, nothing is missing.
func TestWatchWaitsForWhatNeedsNothing(t *testing.T) {
	t.Parallel()
	i := stub(t, func(look int64) (int, string) {
		if look < 3 {
			return http.StatusOK, `{"id":"bat_1","status":"paused","pause_reason":"insufficient_credits"}`
		}
		return http.StatusOK, `{"id":"bat_1","status":"completed"}`
	})
	if r := i.magpie("watch", "bat_1"); r.code != exitDone {
		t.Errorf("%+v", r)
	}
}

func TestStoppingToWatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	i := stub(t, func(look int64) (int, string) {
		if look == 3 {
			cancel()
		}
		return http.StatusOK, `{"id":"bat_1","status":"running"}`
	})
	var out, errors strings.Builder
	code := run(ctx, []string{"watch", "bat_1"}, i.environment(), strings.NewReader(""), &out, &errors)
	if code != exitFailed || out.String() != "" || !strings.Contains(errors.String(), "hint: see how it went with: magpie watch bat_1") {
		t.Errorf("%d, %q, %q", code, out.String(), errors.String())
	}
}

// The folder may be that of another server.
func TestLocalKeysOfAnotherServer(t *testing.T) {
	t.Parallel()
	i := install(t, plenty).with("MAGPIE_API_KEY", "")
	if err := writeKeys(i.dir); err != nil {
		t.Fatal(err)
	}
	if r := i.magpie("credits"); r.code != exitFailed || !strings.Contains(r.errors, "hint: the keys in .magpie are not this server's") {
		t.Errorf("%+v", r)
	}
}

// Keys of a folder are shown to no other machine.
func TestLocalKeysStayHere(t *testing.T) {
	t.Parallel()
	for address, used := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost:1": true, "http://[::1]:1": true, "": true,
		"https://magpie.example": false, "http://127.0.0.1.example": false, "http://10.0.0.1": false, "%": false,
	} {
		i := nowhere(t).with("MAGPIE_URL", address)
		if err := writeKeys(i.dir); err != nil {
			t.Fatal(err)
		}
		s := &session{env: i.environment(), stderr: io.Discard}
		if got := s.localKey() != ""; got != used {
			t.Errorf("%q: used %t, want %t", address, got, used)
		}
	}
}
