package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers/simulator"
	"github.com/magpie-hq/magpie/tasks"
)

// installation is a real one, as small as it gets.
type installation struct {
	t    *testing.T
	vars map[string]string
	dir  string // in which commands are started
}

// install starts an installation whose organization has some credits.
func install(t *testing.T, credits lookup.Credits) *installation {
	t.Helper()
	keys := app.Keys{Admin: "mga_the_administrators_key", API: "mgp_the_developers_key"}
	a, err := app.New(t.Context(), app.Config{
		Dir: t.TempDir(), Addr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", AdminKey: keys.Admin, ChunkRows: 2,
		Simulator: simulator.Config{
			Seed: 1, Hunter: simulator.Vendor{Key: "h"}, Prospeo: simulator.Vendor{Key: "p"},
			Others: map[string]simulator.Vendor{"millionverifier": {Key: "m"}},
		},
		Tasks: tasks.Config{Poll: 5 * time.Millisecond, Sweep: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if _, err := a.SeedDeveloper(t.Context(), keys.API, credits); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	return &installation{t: t, dir: t.TempDir(), vars: map[string]string{
		"MAGPIE_URL": a.URL(), "MAGPIE_API_KEY": keys.API, "MAGPIE_ADMIN_KEY": keys.Admin,
	}}
}

// nowhere is a place without a server and without keys.
func nowhere(t *testing.T) *installation {
	t.Helper()
	return &installation{t: t, dir: t.TempDir(), vars: map[string]string{"MAGPIE_URL": "http://127.0.0.1:1"}}
}

// with returns the same installation, with a variable set otherwise.
func (i *installation) with(name, value string) *installation {
	other := &installation{t: i.t, dir: i.dir, vars: maps.Clone(i.vars)}
	other.vars[name] = value
	return other
}

func (i *installation) environment() environment {
	return environment{get: func(name string) string { return i.vars[name] }, dir: i.dir, poll: 5 * time.Millisecond}
}

// result is what a command left behind.
type result struct {
	code        int
	out, errors string
}

func (i *installation) magpie(args ...string) result { return i.reading("", args...) }

func (i *installation) reading(stdin string, args ...string) result {
	i.t.Helper()
	var out, errors bytes.Buffer
	code := run(i.t.Context(), args, i.environment(), strings.NewReader(stdin), &out, &errors)
	return result{code, out.String(), errors.String()}
}

// must runs a command that has to succeed, and returns its stdout.
func (i *installation) must(args ...string) string {
	i.t.Helper()
	r := i.magpie(args...)
	if r.code != exitDone {
		i.t.Fatalf("magpie %q ended with %d\n%s%s", args, r.code, r.out, r.errors)
	}
	return r.out
}

// answer runs a command with --json that has to end with code, and reads its
// answer.
func (i *installation) answer(code int, args ...string) object {
	i.t.Helper()
	r := i.magpie(append(args, "--json")...)
	if r.code != code {
		i.t.Fatalf("magpie %q ended with %d, want %d\n%s%s", args, r.code, code, r.out, r.errors)
	}
	var o object
	if err := json.Unmarshal([]byte(r.out), &o); err != nil {
		i.t.Fatalf("magpie %q answered %q: %v", args, r.out, err)
	}
	return o
}

// object is a JSON object.
type object map[string]any

// text is a field that holds a text; "" if there is none.
func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// needs reports fields that are missing.
func (o object) needs(t *testing.T, fields ...string) {
	t.Helper()
	for _, f := range fields {
		if _, ok := o[f]; !ok {
			t.Errorf("the answer has no %s: %v", f, o)
		}
	}
}

// file writes a file and returns its path.
func (i *installation) file(name, content string) string {
	i.t.Helper()
	path := filepath.Join(i.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		i.t.Fatal(err)
	}
	return path
}

// phones is a file that five found rows come out of, and one invalid one.
const phones = "name,Phone\nA,+44 20 7946 0018\nB,+33 1 23 45 67 89\nC,+49 30 123456\nD,+1 212 555 0100\nE,+41 44 668 18 00\nF,nonsense\n"

// writeKeys makes the keys of a 'magpie dev' in dir.
func writeKeys(dir string) error {
	_, err := app.LoadKeys(filepath.Join(dir, ".magpie"))
	return err
}
