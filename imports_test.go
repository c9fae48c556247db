package magpie_test

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layer says what the packages of one place may know.
type layer struct {
	packages string   // a path of the module, or a pattern of path.Match
	may      []string // packages and patterns of ours that they may import; their own internal/ always
	never    []string // what else they must not know: import paths, and all beneath them
	because  string
}

// layers is the whole shape of the program, from top to bottom: the first
// matching line counts, and a package without a line is refused until someone
// has decided where it belongs. Tests may import what they like.
var layers = []layer{
	{
		packages: "cmd/*",
		may:      []string{"app", "client", "demo", "lookup", "providers", "providers/simulator"},
		never:    []string{"database/sql", "github.com/hibiken", "github.com/redis"},
		because:  "a command reads flags and signals, and says how the simulated vendors are; the process is built in app",
	},
	{
		packages: "demo",
		may:      []string{"app", "client", "enrich", "intake", "lookup", "providers", "providers/simulator", "tasks"},
		because:  "the demo drives the program from outside, so that what it audits is what a customer sees",
	},
	{
		packages: "demo/gen",
		because:  "it writes a file of data and needs nothing of ours",
	},
	{
		packages: "bench",
		may:      []string{"*", "*/*"},
		because:  "it drives the program from outside, and its parts one at a time",
	},
	{
		packages: "internal/*",
		may:      []string{"*", "*/*"},
		because:  "test support serves the tests of every package",
	},
	{
		packages: "app",
		may: []string{
			"api", "web", "intake", "tasks", "enrich", "alerts", "webhooks", "providers", "providers/*",
			"books", "store", "ledger", "client", "logging", "lookup",
		},
		because: "app is the only place that knows every package",
	},
	{
		packages: "api",
		may:      []string{"intake", "tasks", "enrich", "alerts", "webhooks", "providers", "books", "store", "ledger", "logging", "lookup"},
		because:  "HTTP is the outermost shell; it learns about vendors only through app",
	},
	{
		packages: "web",
		may:      []string{"intake", "tasks", "enrich", "alerts", "webhooks", "providers", "books", "store", "ledger", "lookup"},
		because:  "the dashboard stands beside the API, not on top of it",
	},
	{
		packages: "intake",
		may:      []string{"lookup"},
		never:    []string{"database/sql", "github.com/redis", "net/http"},
		because:  "reading a file needs neither the network nor storage",
	},
	{
		packages: "tasks",
		may:      []string{"enrich", "alerts", "webhooks", "providers", "books", "store", "ledger", "logging", "lookup"},
		never:    []string{"net/http"},
		because:  "a worker runs without the API, so tasks must not know it",
	},
	{
		packages: "enrich",
		may:      []string{"providers", "books", "store", "ledger", "logging", "lookup"},
		never:    []string{"github.com/hibiken", "net/http"},
		because:  "a lookup is the same for a batch row and an API call, so it knows neither queue nor HTTP",
	},
	{
		packages: "alerts",
		may:      []string{"providers", "books", "store", "ledger", "lookup"},
		because:  "subscriptions are matched without queues, HTTP handlers or deliveries",
	},
	{
		packages: "webhooks",
		may:      []string{"store", "lookup"},
		because:  "a delivery sends what is stored and never moves credits",
	},
	{
		packages: "providers/*",
		may:      []string{"providers", "lookup"},
		never:    []string{"database/sql", "github.com/hibiken", "github.com/redis"},
		because:  "an adapter knows one vendor's wire format: no other vendor, no credits, no storage",
	},
	{
		packages: "providers",
		may:      []string{"lookup"},
		never:    []string{"database/sql", "github.com/hibiken"},
		because:  "what a result costs and whether it was stored is not the providers' business",
	},
	{
		packages: "books",
		may:      []string{"store", "ledger", "lookup"},
		never:    []string{"github.com/hibiken", "github.com/redis", "net/http"},
		because:  "the books are SQL; they reach Redis only through the gate",
	},
	{
		packages: "store",
		may:      []string{"ledger", "lookup"},
		never:    []string{"github.com/hibiken", "github.com/redis", "net/http"},
		because:  "the store is SQL and nothing else",
	},
	{
		packages: "ledger",
		never:    []string{"database/sql", "github.com/hibiken", "net/http"},
		because:  "the gate is Redis and whole numbers; it imports none of our packages",
	},
	{
		packages: "client",
		may:      []string{"lookup"},
		never:    []string{"database/sql", "github.com/hibiken", "github.com/redis"},
		because:  "other people's programs import the client and must not inherit the server",
	},
	{
		packages: "logging",
		never:    []string{"database/sql", "github.com/hibiken", "github.com/redis", "net/http"},
		because:  "everybody may put ids into a context, so it imports none of our packages",
	},
	{
		packages: "lookup",
		never:    []string{"database/sql", "github.com/hibiken", "github.com/redis", "net/http", "os"},
		because:  "the vocabulary knows no technology and imports none of our packages",
	},
}

// importFaults finds imports that point upwards or sideways.
func importFaults(t tree) []string {
	var faults []string
	for pkg, files := range t.packages() {
		at := slices.IndexFunc(layers, func(l layer) bool { return matches(l.packages, pkg) })
		if at < 0 {
			if pkg != "." {
				faults = append(faults, pkg+": the package has no line in layers; decide what it may import, and why")
			}
			continue
		}
		for _, file := range files {
			for _, spec := range t.code[file].Imports {
				imported, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
				if problem := layers[at].problem(pkg, imported); problem != "" {
					faults = append(faults, t.faultf(spec, "%s", problem))
				}
			}
		}
	}
	return faults
}

// problem says what is wrong with an import by pkg, or returns "".
func (l layer) problem(pkg, imported string) string {
	ours, isOurs := strings.CutPrefix(imported, module)
	for _, beneath := range l.never {
		if imported == beneath || strings.HasPrefix(imported, beneath+"/") {
			return fmt.Sprintf("%s must not import %s: %s", pkg, imported, l.because)
		}
	}
	switch {
	case !isOurs, strings.HasPrefix(ours, pkg+"/internal/"):
		return ""
	case strings.HasPrefix(ours, "internal/") && !strings.HasPrefix(pkg, "internal/"):
		return fmt.Sprintf("%s must not import %s: internal/ is support for tests only", pkg, ours)
	case slices.ContainsFunc(l.may, func(pattern string) bool { return matches(pattern, ours) }):
		return ""
	}
	return fmt.Sprintf("%s must not import %s: %s", pkg, ours, l.because)
}

func matches(pattern, pkg string) bool {
	ok, err := path.Match(pattern, pkg)
	return ok && err == nil
}

func TestImportRule(t *testing.T) {
	t.Parallel()
	importing := func(file, pkg string) map[string]string {
		return map[string]string{file: "package p\nimport _ \"" + pkg + "\"\n"}
	}
	runExamples(t, importFaults, []example{
		{"tasks on api", importing("tasks/a.go", module+"api"), "tasks/a.go:2: tasks must not import api: a worker"},
		{"providers on ledger", importing("providers/a.go", module+"ledger"), "providers/a.go:2: providers must not import ledger"},
		{"providers on store", importing("providers/a.go", module+"store"), "providers/a.go:2: providers must not import store"},
		{"one vendor on another", importing("providers/x/a.go", module+"providers/y"), "providers/x/a.go:2: providers/x must not import providers/y"},
		{"a vendor on providers", importing("providers/x/a.go", module+"providers"), ""},
		{"ledger on lookup", importing("ledger/a.go", module+"lookup"), "ledger/a.go:2: ledger must not import lookup"},
		{"lookup on ledger", importing("lookup/a.go", module+"ledger"), "lookup/a.go:2: lookup must not import ledger"},
		{"lookup on HTTP", importing("lookup/a.go", "net/http"), "lookup/a.go:2: lookup must not import net/http"},
		{"lookup beneath Redis", importing("lookup/a.go", "github.com/redis/go-redis/v9"), "lookup/a.go:2: lookup must not import github.com/redis/go-redis/v9"},
		{"a name that only begins alike", importing("lookup/a.go", "net/httpx"), ""},
		{"intake on store", importing("intake/a.go", module+"store"), "intake/a.go:2: intake must not import store"},
		{"a command on store", importing("cmd/api/a.go", module+"store"), "cmd/api/a.go:2: cmd/api must not import store"},
		{"a command on app", importing("cmd/api/a.go", module+"app"), ""},
		{"anything on a command", importing("app/a.go", module+"cmd/api"), "app/a.go:2: app must not import cmd/api"},
		{"test support in code", importing("ledger/a.go", module+"internal/x"), "ledger/a.go:2: ledger must not import internal/x"},
		{"test support in app", importing("app/a.go", module+"internal/x"), "app/a.go:2: app must not import internal/x"},
		{"test support in a test", importing("ledger/a_test.go", module+"internal/x"), ""},
		{"test support on test support", importing("internal/x/a.go", module+"internal/y"), ""},
		{"a package's own internals", importing("api/a.go", module+"api/internal/x"), ""},
		{"a package without a line", importing("util/a.go", "fmt"), "util: the package has no line in layers"},
	})
}

func TestEveryLayerSaysWhy(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, l := range layers {
		if l.because == "" || seen[l.packages] {
			t.Errorf("layer %q: want one line for it, with a reason", l.packages)
		}
		seen[l.packages] = true
	}
}
