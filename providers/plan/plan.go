package plan

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// Waterfall is what the file says of one service.
type Waterfall struct {
	Order  []string // names of providers; none: the service is not offered
	Terms  map[string]providers.Terms
	Budget providers.Budget
}

// Plan is the waterfalls of the services.
type Plan map[lookup.Service]Waterfall

// Known are the providers that a file may name, and what each can be asked.
type Known map[string][]lookup.Service

// maxFile bounds the file; one that says everything has a few hundred lines.
const maxFile = 1 << 20

// Read reads a file. Services that it does not name are as in standard, with the
// costs that the file gives. The error joins one for each mistake.
func Read(name string, known Known, standard Plan) (Plan, error) {
	text, err := os.ReadFile(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", name, reason(err))
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s has %d bytes, want at most %d; is it the right file?", name, len(text), maxFile)
	}
	return Parse(name, text, known, standard)
}

// reason is an error of a file without its name, which is said already.
func reason(err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return failed.Err
	}
	return err
}

// Parse is [Read] of a text, which errors call name.
func Parse(name string, text []byte, known Known, standard Plan) (Plan, error) {
	r := &reader{file: name, known: known, plan: Plan{}, costs: map[string]providers.Terms{}}
	r.read(text)
	if len(r.mistakes) > 0 {
		return nil, errors.Join(r.mistakes...)
	}
	for service, w := range standard {
		if _, said := r.plan[service]; !said {
			r.plan[service] = w
		}
	}
	for service, w := range r.plan {
		r.plan[service] = w.with(r.costs)
	}
	return r.plan, nil
}

// with returns the waterfall with what its providers cost.
func (w Waterfall) with(costs map[string]providers.Terms) Waterfall {
	terms := make(map[string]providers.Terms, len(w.Order))
	for _, name := range w.Order {
		t, c := w.Terms[name], costs[name]
		t.PerCall, t.PerHit, t.FreeRepeats = c.PerCall, c.PerHit, c.FreeRepeats
		terms[name] = t
	}
	w.Terms = terms
	return w
}

// names lists what a map knows, for people.
func names[V any](of map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(of)), ", ") }
