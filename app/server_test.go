package app

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Handlers that are cut off have undone what they began when the stop returns:
// after it the storage is closed.
func TestShutdownAwaitsHandlersThatWereCutOff(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, mayCleanUp, clean := make(chan struct{}), make(chan struct{}), false
	s := newServer("test", listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(at)
		<-r.Context().Done() // the connection was closed
		<-mayCleanUp
		clean = true
	}))
	go func() { _ = s.http.Serve(s.listener) }()
	go func() {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String(), nil)
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			t.Errorf("answered %d", response.StatusCode)
		}
	}()
	<-at
	timeIsUp, cancel := context.WithCancel(t.Context())
	cancel()
	stopped := make(chan error)
	go func() { stopped <- s.shutdown(timeIsUp) }()
	select {
	case err := <-stopped:
		t.Fatalf("the stop did not wait: %v", err)
	case mayCleanUp <- struct{}{}: // only a handler that saw the end takes this
	}
	if err := <-stopped; err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("the stop: %v", err)
	}
	if !clean {
		t.Error("the handler was still at work")
	}
}
