package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/magpie-hq/magpie/logging"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// visit is what is known of a request beside its content. Middleware fills it
// in, handlers and the log line read it.
type visit struct {
	id      string // of the request
	request *http.Request
	writer  http.ResponseWriter
	route   string // the pattern that matched, without the caller's ids
	caller  caller
}

// caller is who sent a request.
type caller struct {
	org, key   string         // of an organization's key
	monthlyCap lookup.Credits // of that key; 0: none
	admin      bool
	refused    *problem // why it is neither
}

type visitKey struct{}

// visitOf returns the visit of a request's context.
func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}

// wantedID is what a caller's own request id must look like to be taken over.
var wantedID = regexp.MustCompile(`^[A-Za-z0-9._-]{8,64}$`)

// visit gives the request an id, counts it and writes its log line: neither its
// query nor anything of its bodies, which are personal data.
func (a *api) visit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := a.Now()
		v := &visit{id: r.Header.Get("X-Request-Id")}
		if !wantedID.MatchString(v.id) {
			v.id = store.NewID("req", begun)
		}
		w.Header().Set("X-Request-Id", v.id)
		out := &recorder{ResponseWriter: w}
		ctx := logging.With(r.Context(), slog.String(logging.Request, v.id))
		r = r.WithContext(context.WithValue(ctx, visitKey{}, v))
		v.request, v.writer = r, out
		defer a.logVisit(r, out, begun)
		next.ServeHTTP(out, r)
	})
}

func (a *api) logVisit(r *http.Request, out *recorder, begun time.Time) {
	v, took := visitOf(r.Context()), a.Now().Sub(begun)
	a.Metrics.answered(v.route, r.Method, out.status, took)
	a.Log.InfoContext(r.Context(), "request", "method", r.Method, "route", v.route, "status", out.status,
		"bytes", out.bytes, "duration", took, "org", v.caller.org, "key", v.caller.key)
}

// recover keeps a panic from reaching the server.
func (a *api) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer a.answerPanic(w, r)
		next.ServeHTTP(w, r)
	})
}

// answerPanic answers a panic with a problem whose reference is in the log, or
// cuts the connection where an answer has begun: a truncated download must not
// look whole.
func (a *api) answerPanic(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	v := visitOf(r.Context())
	a.Log.ErrorContext(r.Context(), "a request panicked", "route", v.route, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	if out, ok := w.(*recorder); ok && out.status != 0 {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, r, problemOf(errors.New("panic")))
}

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter

	status int
	bytes  int64
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// problemsOf serves mux, with problems instead of its plain texts where no
// route matches.
func problemsOf(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		visitOf(r.Context()).route = pattern
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		unmatched := &recorder{ResponseWriter: nowhere{http.Header{}}}
		handler.ServeHTTP(unmatched, r)
		if unmatched.status == http.StatusMethodNotAllowed {
			allow := unmatched.Header().Get("Allow")
			writeProblem(w, r, newProblem(http.StatusMethodNotAllowed, codeMethod, "this path does not take the method; want "+allow).with("Allow", allow))
			return
		}
		writeProblem(w, r, newProblem(http.StatusNotFound, codeNotFound, "there is no such path; /openapi.json lists them"))
	})
}

// nowhere is a response that nobody reads.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header       { return n.header }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
