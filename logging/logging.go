package logging

import (
	"context"
	"log/slog"
	"slices"
)

// The names of the ids.
const (
	Request = "request"
	Batch   = "batch"
	Chunk   = "chunk"
	Round   = "round"
	Hold    = "hold"
	Worker  = "worker"
)

type idsKey struct{}

// With returns a context whose log lines carry ids, beside those of ctx. An id
// that ctx has already is replaced.
func With(ctx context.Context, ids ...slog.Attr) context.Context {
	all := slices.Clone(idsOf(ctx))
	for _, id := range ids {
		all = slices.DeleteFunc(all, func(a slog.Attr) bool { return a.Key == id.Key })
		all = append(all, id)
	}
	return context.WithValue(ctx, idsKey{}, all)
}

func idsOf(ctx context.Context) []slog.Attr {
	ids, _ := ctx.Value(idsKey{}).([]slog.Attr) // none: no ids
	return ids
}

// New returns a logger that writes the lines of log with the ids of their
// context.
func New(log *slog.Logger) *slog.Logger { return slog.New(handler{log.Handler()}) }

// handler adds the ids of the context to what another handler writes.
type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if ids := idsOf(ctx); len(ids) > 0 {
		r = r.Clone()
		r.AddAttrs(ids...)
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
