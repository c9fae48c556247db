package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/lookup"
)

// An upload that breaks off half-way leaves nothing: no batch, no file, and a
// key that can be used again.
func TestInterruptedUpload(t *testing.T) {
	t.Parallel()
	var spool string
	h := newHouse(t, func(c *api.Config, _ *api.Deps) { spool = c.SpoolDir })
	answered := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(answered)
		h.handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	upload, rows := io.Pipe()
	request, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/batches?service=email-finder", upload)
	request.Header.Set("X-API-Key", h.key)
	request.Header.Set("Content-Type", "text/csv")
	request.Header.Set("Idempotency-Key", "once-1")
	go func() {
		io.WriteString(rows, "full name,domain\n"+strings.Repeat("Ada Lovelace,a.example\n", 10_000))
		hangUp()
		rows.CloseWithError(io.ErrClosedPipe)
	}()
	if answer, err := server.Client().Do(request); err == nil {
		t.Errorf("answered %d", answer.StatusCode)
	}
	<-answered
	h.nothingStored()
	if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
		t.Errorf("the spool still holds %v, err %v", left, err)
	}
	h.postCSV("/v1/batches?service=email-finder", people, idem).want(202)
}

// The client goes away while the rows are being stored.
func TestClientGoneWhileStoring(t *testing.T) {
	t.Parallel()
	ctx, hangUp := context.WithCancel(t.Context())
	h := newHouse(t, func(c *api.Config, _ *api.Deps) {
		c.Services = func(lookup.Service) bool { hangUp(); return true } // called before the first row is stored
	})
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/batches?service=email-finder", strings.NewReader(people))
	r.Header.Set("X-API-Key", h.key)
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("Idempotency-Key", "once-1")
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if w.Code != 499 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	h.nothingStored()
	if len(h.dispatcher.started) > 0 {
		t.Error("a batch was started")
	}
}
