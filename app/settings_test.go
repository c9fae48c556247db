package app_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/internal/teststore"
)

func good() map[string]string {
	return map[string]string{
		"DATABASE_URL": "postgres://magpie:secret1@db/magpie", "REDIS_URL": "redis://:secret2@cache:6379/0",
		"ADMIN_KEY": "secret3-secret3-secret3", "HUNTER_API_KEY": "secret4",
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change map[string]string
		want   []string // in the error; none: the settings are good
	}{
		"good":             {},
		"nothing at all":   {map[string]string{"DATABASE_URL": "", "REDIS_URL": "", "ADMIN_KEY": ""}, []string{"DATABASE_URL", "REDIS_URL", "ADMIN_KEY"}},
		"another database": {map[string]string{"DATABASE_URL": "mysql://root:secret9@db"}, []string{"DATABASE_URL", "postgres://"}},
		"no number":        {map[string]string{"CHUNK_ROWS": "many", "WINDOW": "0"}, []string{`CHUNK_ROWS is "many"`, `WINDOW is "0"`}},
		"no time":          {map[string]string{"REUSE_WINDOW": "30 days", "LOOKUP_PATIENCE": "-1s"}, []string{"REUSE_WINDOW", "LOOKUP_PATIENCE"}},
		"prices":           {map[string]string{"PRICES": "email-finder=1.5, mobile-validation=0.25"}, nil},
		"a wrong price":    {map[string]string{"PRICES": "email-finder=1.2345"}, []string{"PRICES", "email-finder", "three decimals"}},
		"a wrong service":  {map[string]string{"PRICES": "email=1"}, []string{"PRICES", "email"}},
		"a wrong address":  {map[string]string{"API_ADDR": "8080", "OPS_ADDR": "x"}, []string{"API_ADDR", "OPS_ADDR"}},
		"a wrong level":    {map[string]string{"LOG_LEVEL": "loud"}, []string{"LOG_LEVEL"}},
		"a short key":      {map[string]string{"ADMIN_KEY": "secret5"}, []string{"ADMIN_KEY has 7 characters"}},
		"a vendor's URL":   {map[string]string{"HUNTER_URL": "hunter.io"}, []string{"HUNTER_URL"}},
	} {
		env := good()
		maps.Copy(env, tc.change)
		var out bytes.Buffer
		code := app.Run(t.Context(), app.API, []string{"--validate"}, func(name string) string { return env[name] }, &out, &out)
		if wantCode := min(2, 2*len(tc.want)); code != wantCode {
			t.Errorf("%s: exit code %d, want %d\n%s", name, code, wantCode, out.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, out.String())
			}
		}
		if strings.Contains(out.String(), "secret") {
			t.Errorf("%s: a secret is in\n%s", name, out.String())
		}
	}
}

// A worker cannot have more servers than chunks: one of them would have none.
func TestServersOfAWorker(t *testing.T) {
	t.Parallel()
	for servers, want := range map[string]string{
		"": "", "4": "", "5": "WORKER_SERVERS is 5 and WORKER_CONCURRENCY 4, want at most as many", "0": `WORKER_SERVERS is "0"`,
	} {
		env := good()
		env["WORKER_CONCURRENCY"], env["WORKER_SERVERS"] = "4", servers
		var out bytes.Buffer
		code := app.Run(t.Context(), app.Worker, []string{"--validate"}, func(name string) string { return env[name] }, &out, &out)
		if (code == 0) != (want == "") || !strings.Contains(out.String(), want) {
			t.Errorf("%q servers: exit code %d, want %q in\n%s", servers, code, want, out.String())
		}
	}
}

// What a process is started with that it does not know does not start it, and
// what was asked for can be piped.
func TestArguments(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"--validate": "WINDOW=16", "--help": "WINDOW (default 16)",
		"validate": `an argument too many: "validate"`, "--valid": "-valid",
	} {
		env := good()
		var out, said bytes.Buffer
		code := app.Run(t.Context(), app.Worker, []string{arg}, func(name string) string { return env[name] }, &out, &said)
		answer, rest := &out, &said
		if code != 0 {
			answer, rest = &said, &out
		}
		if known := arg == "--validate" || arg == "--help"; known != (code == 0) || code != 0 && code != 2 {
			t.Errorf("%s: exit code %d", arg, code)
		}
		if !strings.Contains(answer.String(), want) || rest.Len() > 0 {
			t.Errorf("%s: stdout %q, stderr %q, want %q", arg, out.String(), said.String(), want)
		}
	}
}

func TestHelpListsEverySettingOfItsRole(t *testing.T) {
	t.Parallel()
	for _, role := range []app.Role{app.API, app.Worker} {
		var out bytes.Buffer
		if code := app.Run(t.Context(), role, []string{"--help"}, func(string) string { return "" }, &out, &out); code != 0 {
			t.Errorf("exit code %d", code)
		}
		for _, s := range app.Settings() {
			reads := false
			for _, r := range s.Roles {
				reads = reads || r == role
			}
			if listed := strings.Contains(out.String(), "  "+s.Name+" ") || strings.Contains(out.String(), "  "+s.Name+"\n"); listed != reads {
				t.Errorf("%s, %s: listed %t, read %t", role, s.Name, listed, reads)
			}
		}
	}
}

// A Redis that throws keys away when it is full is refused, and whoever connects
// to PostgreSQL as a superuser is warned before that.
func TestServersAreChecked(t *testing.T) {
	t.Parallel()
	ordinary, super := teststore.PostgresURLs(t)
	env := good()
	env["REDIS_URL"] = testredis.Own(t, "--maxmemory-policy", "allkeys-lru")
	env["API_ADDR"], env["OPS_ADDR"] = "127.0.0.1:0", "127.0.0.1:0"
	for _, url := range []string{ordinary, super} { // the first makes the tables
		env["DATABASE_URL"] = url
		var out bytes.Buffer
		code := app.Run(t.Context(), app.API, nil, func(name string) string { return env[name] }, &out, &out)
		if code != 1 || !strings.Contains(out.String(), "maxmemory-policy noeviction") {
			t.Errorf("exit code %d\n%s", code, out.String())
		}
		if strings.Contains(out.String(), "row-level security does not hold") != (url == super) {
			t.Errorf("a superuser %t, said:\n%s", url == super, out.String())
		}
	}
}
