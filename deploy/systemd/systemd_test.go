// Package systemd_test checks the examples of units and their environment files
// against the settings that the processes read.
package systemd_test

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/app"
)

// assignments are the lines of a file that give a name a value; of several with
// one name the last counts, unless the name is EnvironmentFile or Environment.
func assignments(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.ContainsAny(line[:1], "#[") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("%s: %q gives nothing a value", file, line)
		}
		if name == "EnvironmentFile" || name == "Environment" {
			value = strings.TrimSpace(found[name] + " " + value)
		}
		found[name] = value
	}
	return found
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for role, file := range map[app.Role]string{app.API: "magpie-api.service", app.Worker: "magpie-worker@.service"} {
		unit := assignments(t, file)
		if want := "/opt/magpie/bin/" + string(role); unit["ExecStart"] != want {
			t.Errorf("%s starts %q, want %s", file, unit["ExecStart"], want)
		}
		env := map[string]string{}
		for path := range strings.FieldsSeq(unit["EnvironmentFile"]) {
			maps.Copy(env, assignments(t, strings.TrimPrefix(path, "/etc/magpie/")+".example"))
		}
		if name, value, ok := strings.Cut(unit["Environment"], "="); ok {
			env[name] = strings.ReplaceAll(value, "%i", "1")
		}
		for name := range env {
			if !slices.ContainsFunc(app.Settings(), func(s app.Setting) bool { return s.Name == name && slices.Contains(s.Roles, role) }) {
				t.Errorf("%s sets %s, which is no setting of the %s", file, name, role)
			}
		}
		var said bytes.Buffer
		if code := app.Run(t.Context(), role, []string{"--validate"}, func(name string) string { return env[name] }, &said, &said); code != 0 {
			t.Errorf("%s: exit code %d\n%s", file, code, said.String())
		}
	}
}

func TestWorkersHaveTimeToStop(t *testing.T) {
	t.Parallel()
	stop, err := time.ParseDuration(assignments(t, "worker.env.example")["STOP_TIME"])
	if err != nil {
		t.Fatal(err)
	}
	grace, err := time.ParseDuration(assignments(t, "magpie-worker@.service")["TimeoutStopSec"] + "s")
	if err != nil {
		t.Fatal(err)
	}
	if grace <= stop {
		t.Errorf("TimeoutStopSec is %s, want more than STOP_TIME (%s)", grace, stop)
	}
}
