package providers_test

import (
	"os"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/app"
)

// Every vendor that can be configured has a page with all that an operator looks
// for, and a line in the list.
func TestEveryVendorHasAPage(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, s := range app.Settings() {
		prefix, isKey := strings.CutSuffix(s.Name, "_API_KEY")
		if !isKey {
			continue
		}
		seen++
		name := strings.ToLower(prefix) + ".md"
		if !strings.Contains(string(list), "]("+name+")") {
			t.Errorf("README.md does not list %s", name)
		}
		page, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("%s has no page: %v", s.Name, err)
			continue
		}
		for _, part := range []string{"## What it gives", "## Configure it", "## What it charges", "## Quirks", s.Name + "="} {
			if !strings.Contains(string(page), part) {
				t.Errorf("%s has no %q", name, part)
			}
		}
	}
	if seen < 6 {
		t.Errorf("only %d keys among the settings", seen)
	}
}
