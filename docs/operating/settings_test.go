// Package operating_test keeps the pages for operators true to the code.
package operating_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/app"
)

//go:generate go test -run "Test(Settings|Metrics)Page" -update .

var update = flag.Bool("update", false, "write the pages anew")

const settingsPage = "settings.md"

// preface is what the page says before its table.
const preface = `# Settings

<!-- Generated from the code by "go generate ./docs/operating"; do not edit. -->

The processes of a fleet are set up by environment variables and nothing else. A variable that is empty counts as not set. A mistake in any of them ends the process with exit code 2, before it has touched anything; all mistakes are reported at once:

` + "```sh" + `
api --validate       # or worker --validate: checks, prints without secrets, exits
api --help           # lists what it reads
` + "```" + `

Times are written 30s, 10m or 720h. Secrets are DATABASE_URL, REDIS_URL, LEDGER_REDIS_URL and whatever ends in _KEY; they are never printed.

| setting | default | read by | meaning |
|---|---|---|---|
`

func page() string {
	var b strings.Builder
	b.WriteString(preface)
	for _, s := range app.Settings() {
		var roles []string
		for _, role := range s.Roles {
			roles = append(roles, string(role))
		}
		fallback := ""
		if s.Default != "" {
			fallback = "`" + s.Default + "`"
		}
		help := strings.ReplaceAll(s.Help, "|", `\|`)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, fallback, strings.Join(roles, ", "), help)
	}
	return b.String()
}

func TestSettingsPage(t *testing.T) {
	t.Parallel()
	compare(t, settingsPage, page())
}

// compare fails if a generated page is not what the code says, or writes it
// anew.
func compare(t *testing.T, page, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says; run: go generate ./docs/operating", page)
	}
}
