package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// reader walks the file's nodes and collects mistakes.
type reader struct {
	file     string
	known    Known
	plan     Plan
	costs    map[string]providers.Terms
	mistakes []error
}

// wrongf notes a mistake at a node.
func (r *reader) wrongf(at *yaml.Node, format string, args ...any) {
	r.mistakes = append(r.mistakes, fmt.Errorf("%s:%d: %w", r.file, at.Line, fmt.Errorf(format, args...)))
}

func (r *reader) read(text []byte) {
	in := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	if err := in.Decode(&document); err != nil {
		r.unreadable(err)
		return
	}
	if err := in.Decode(&more); err == nil {
		r.wrongf(&more, "another document begins; keep all in one")
	} else if !errors.Is(err, io.EOF) {
		r.unreadable(err)
	}
	r.fields(document.Content[0], "the file", map[string]func(*yaml.Node){
		"costs":      func(n *yaml.Node) { r.eachProvider(n, "costs", r.readCosts) },
		"waterfalls": r.readWaterfalls,
	})
}

// unreadable notes that the file is no YAML, or empty.
func (r *reader) unreadable(err error) {
	if errors.Is(err, io.EOF) {
		r.mistakes = append(r.mistakes, fmt.Errorf("%s is empty; want waterfalls, or unset WATERFALLS for the standard order", r.file))
		return
	}
	r.mistakes = append(r.mistakes, fmt.Errorf("%s is no YAML: %s", r.file, strings.TrimPrefix(err.Error(), "yaml: ")))
}

// pairs calls each with the keys and values of a mapping.
func (r *reader) pairs(n *yaml.Node, what string, each func(key, value *yaml.Node)) {
	if n = plain(n); n.Kind != yaml.MappingNode {
		r.wrongf(n, "%s is not a mapping; want lines such as key: value", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			r.wrongf(key, "%s has %q twice; keep one", what, key.Value)
			continue
		}
		seen[key.Value] = true
		each(key, plain(value))
	}
}

// fields reads a mapping whose keys are fixed.
func (r *reader) fields(n *yaml.Node, what string, known map[string]func(*yaml.Node)) {
	r.pairs(n, what, func(key, value *yaml.Node) {
		read, ok := known[key.Value]
		if !ok {
			r.wrongf(key, "%s has no %q; want %s", what, key.Value, names(known))
			return
		}
		read(value)
	})
}

// items calls each with the items of a list.
func (r *reader) items(n *yaml.Node, what string, each func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.wrongf(n, "%s is not a list; want one such as [a, b]", what)
		return
	}
	for _, item := range n.Content {
		each(plain(item))
	}
}

// plain follows an alias.
func plain(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// eachProvider reads a mapping by providers' names.
func (r *reader) eachProvider(n *yaml.Node, what string, read func(name string, n *yaml.Node)) {
	r.pairs(n, what, func(key, value *yaml.Node) {
		if r.knows(key) {
			read(key.Value, value)
		}
	})
}

// knows reports whether a node names a provider.
func (r *reader) knows(n *yaml.Node) bool {
	if _, ok := r.known[n.Value]; ok && n.Kind == yaml.ScalarNode {
		return true
	}
	r.wrongf(n, "there is no provider %q; want one of %s", n.Value, names(r.known))
	return false
}

func (r *reader) readCosts(name string, n *yaml.Node) {
	var t providers.Terms
	what := "costs of " + name
	r.fields(n, what, map[string]func(*yaml.Node){
		"call": func(n *yaml.Node) { t.PerCall = r.cost(n, what+": call") },
		"hit":  func(n *yaml.Node) { t.PerHit = r.cost(n, what+": hit") },
		"repeats": func(n *yaml.Node) {
			if t.FreeRepeats = n.Value == "free"; !t.FreeRepeats && n.Value != "charged" {
				r.wrongf(n, "%s: repeats is %q, want free or charged", what, n.Value)
			}
		},
	})
	r.costs[name] = t
}

func (r *reader) readWaterfalls(n *yaml.Node) {
	r.pairs(n, "waterfalls", func(key, value *yaml.Node) {
		service, err := lookup.ParseService(key.Value)
		if err != nil {
			r.wrongf(key, "%w", err)
			return
		}
		r.plan[service] = r.waterfall(service, value)
	})
}

func (r *reader) waterfall(service lookup.Service, n *yaml.Node) Waterfall {
	w := Waterfall{Terms: map[string]providers.Terms{}}
	what, ordered := string(service), false
	r.fields(n, what, map[string]func(*yaml.Node){
		"order": func(n *yaml.Node) {
			ordered = true
			r.items(n, what+": order", func(n *yaml.Node) { r.step(service, n, &w) })
		},
		"budget": func(n *yaml.Node) {
			r.fields(n, what+": budget", map[string]func(*yaml.Node){
				"time": func(n *yaml.Node) { w.Budget.Time = r.duration(n, what+": budget: time", longestBudget) },
				"cost": func(n *yaml.Node) {
					if w.Budget.Cost = r.cost(n, what+": budget: cost"); w.Budget.Cost == 0 {
						r.wrongf(n, "%s: budget: cost is 0, want more; leave it out for no limit", what)
					}
				},
			})
		},
	})
	if n.Kind == yaml.MappingNode && !ordered {
		r.wrongf(n, "%s has no order; want the providers to ask, or order: [] to offer no such service", what)
	}
	return w
}

// step reads one provider of a waterfall: its name, or a mapping with more.
func (r *reader) step(service lookup.Service, n *yaml.Node, w *Waterfall) {
	name, terms := n, providers.Terms{}
	if n.Kind == yaml.MappingNode {
		name = nil
		what := string(service) + ": a provider of order"
		r.fields(n, what, map[string]func(*yaml.Node){
			"provider": func(n *yaml.Node) { name = n },
			"timeout":  func(n *yaml.Node) { terms.Timeout = r.duration(n, what+": timeout", longestTimeout) },
			"when":     func(n *yaml.Node) { terms.When = r.condition(service, n) },
		})
		if name == nil {
			r.wrongf(n, "%s has no name; want provider: NAME in it", what)
			return
		}
	}
	switch {
	case !r.knows(name):
	case !slices.Contains(r.known[name.Value], service):
		r.wrongf(name, "%s cannot be asked for %s; take it out", name.Value, service)
	case slices.Contains(w.Order, name.Value):
		r.wrongf(name, "%s: order has %s twice; keep one", service, name.Value)
	default:
		w.Order = append(w.Order, name.Value)
		w.Terms[name.Value] = terms
	}
}

func (r *reader) condition(service lookup.Service, n *yaml.Node) (c providers.Condition) {
	what := string(service) + ": when"
	r.fields(n, what, map[string]func(*yaml.Node){
		"country": func(n *yaml.Node) {
			r.items(n, what+": country", func(n *yaml.Node) {
				if !lookup.KnownCountry(n.Value) {
					r.wrongf(n, "%s: there is no country %q; want a code of ISO 3166-1 such as DE or GB", what, n.Value)
				}
				c.Countries = append(c.Countries, n.Value)
			})
		},
		"has": func(n *yaml.Node) {
			r.items(n, what+": has", func(n *yaml.Node) {
				if !slices.Contains(service.QueryFields(), n.Value) {
					r.wrongf(n, "%s: questions have no %q; want one of %s", what, n.Value, strings.Join(service.QueryFields(), ", "))
				}
				c.Has = append(c.Has, n.Value)
			})
		},
	})
	return c
}

const (
	// longestTimeout is shorter than a hold lives.
	longestTimeout = 3 * time.Minute
	longestBudget  = time.Hour
)

func (r *reader) duration(n *yaml.Node, what string, most time.Duration) time.Duration {
	d, err := time.ParseDuration(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode || d < time.Millisecond || d > most {
		r.wrongf(n, "%s is %q, want a time such as 500ms or 20s, at most %s", what, n.Value, most)
	}
	return d
}

// cost reads an amount with up to six decimals, exactly.
func (r *reader) cost(n *yaml.Node, what string) providers.Cost {
	const most = 1_000_000
	amount, ok := new(big.Rat).SetString(n.Value)
	wellFormed := ok && n.Kind == yaml.ScalarNode && !strings.ContainsAny(n.Value, "/eExXpP_")
	if wellFormed {
		amount.Mul(amount, new(big.Rat).SetInt64(int64(providers.CostUnit)))
	}
	if !wellFormed || !amount.IsInt() || amount.Sign() < 0 || amount.Cmp(new(big.Rat).SetInt64(most*int64(providers.CostUnit))) > 0 {
		r.wrongf(n, "%s is %q, want an amount from 0 to %d with at most six decimals, such as 0.035", what, n.Value, most)
		return 0
	}
	return providers.Cost(amount.Num().Int64())
}
