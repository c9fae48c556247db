package operating_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/app"
)

// The example is a file that the processes accept, and names every key.
func TestWaterfallsPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("waterfalls.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("there is no example")
	}
	file := filepath.Join(t.TempDir(), "waterfalls.yaml")
	if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"WATERFALLS": file, "DATABASE_URL": "postgres://a:b@c/d", "REDIS_URL": "redis://cache"}
	var said bytes.Buffer
	if code := app.Run(t.Context(), app.Worker, []string{"--validate"}, func(name string) string { return env[name] }, &said, &said); code != 0 {
		t.Errorf("exit code %d\n%s", code, said.String())
	}
	for _, key := range []string{"call", "hit", "repeats", "timeout", "when", "country", "has", "time", "cost", "order", "provider"} {
		if !strings.Contains(example, key+":") || !strings.Contains(string(page), key+"`") && !strings.Contains(string(page), "`"+key+".") {
			t.Errorf("%s is not in the example, or not explained", key)
		}
	}
}
