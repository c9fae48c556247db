package client

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// post is a call that makes or costs something. Under its Idempotency-Key it
// may be repeated.
func post(path, idempotencyKey string, content any) (call, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return call{}, fmt.Errorf("client: POST %s: %w", path, err)
	}
	return call{
		method: http.MethodPost, path: path, repeatable: true,
		header: http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {keyOr(idempotencyKey)}},
		body:   func() (io.Reader, error) { return bytes.NewReader(text), nil },
	}, nil
}

// keyOr returns the caller's Idempotency-Key, or a new one.
func keyOr(idempotencyKey string) string {
	if idempotencyKey != "" {
		return idempotencyKey
	}
	return rand.Text()
}

// watch returns the content in a form that tells when it is no longer read: a
// transport may go on reading after it has returned an answer.
func watch(content io.Reader) (body io.Reader, done <-chan struct{}) {
	closed := make(chan struct{})
	return watched{content, sync.OnceFunc(func() { close(closed) })}, closed
}

type watched struct {
	io.Reader

	closed func()
}

// Close tells that nothing will be read any more.
func (w watched) Close() error {
	w.closed()
	return nil
}

// path joins segments, of which any may come from outside.
func path(segments ...string) string {
	var joined strings.Builder
	for _, s := range segments {
		joined.WriteString("/" + url.PathEscape(s))
	}
	return joined.String()
}
