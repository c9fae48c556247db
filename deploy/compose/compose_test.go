// Package compose_test checks what can be checked of the compose file without
// Docker: its form, and that the processes accept what it sets.
package compose_test

import (
	"bytes"
	neturl "net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/magpie-hq/magpie/app"
)

// file is compose.yaml, with the keys that it uses and no others.
type file struct {
	Name     string             `json:"name"`
	Services map[string]service `json:"services"`
	Volumes  map[string]any     `json:"volumes"`

	Process  any `json:"x-magpie"`        //nolint:tagliatelle // as compose spells it
	Servers  any `json:"x-after-servers"` //nolint:tagliatelle // as compose spells it
	Ready    any `json:"x-ready"`         //nolint:tagliatelle // as compose spells it
	Settings any `json:"x-settings"`      //nolint:tagliatelle // as compose spells it
}

type service struct {
	Image       string                       `json:"image"`
	Build       string                       `json:"build"`
	Restart     string                       `json:"restart"`
	ReadOnly    bool                         `json:"read_only"`
	CapDrop     []string                     `json:"cap_drop"`
	SecurityOpt []string                     `json:"security_opt"`
	Command     []string                     `json:"command"`
	Environment map[string]string            `json:"environment"`
	Ports       []string                     `json:"ports"`
	Volumes     []string                     `json:"volumes"`
	DependsOn   map[string]map[string]string `json:"depends_on"`
	Deploy      struct {
		Replicas int `json:"replicas"`
	} `json:"deploy"`
	HealthCheck struct {
		Test        []string `json:"test"`
		Interval    string   `json:"interval"`
		Timeout     string   `json:"timeout"`
		Retries     int      `json:"retries"`
		StartPeriod string   `json:"start_period"`
	} `json:"healthcheck"`
	StopGracePeriod string `json:"stop_grace_period"`
}

func read(t *testing.T) file {
	t.Helper()
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// reference is a variable as compose.yaml uses them: ${NAME:?why} or ${NAME-}.
var reference = regexp.MustCompile(`\$\{([A-Z_]+)(:\?[^}]+|-)\}`)

// filled is the environment of a service once .env is filled in.
func (s service) filled() map[string]string {
	env := map[string]string{}
	for name, value := range s.Environment {
		env[name] = reference.ReplaceAllString(value, "0123456789abcdef0123456789abcdef")
	}
	return env
}

func TestServices(t *testing.T) {
	t.Parallel()
	f := read(t)
	for _, want := range []string{"redis", "postgres", "simulator", "api", "worker"} {
		if _, ok := f.Services[want]; !ok {
			t.Errorf("there is no service %s", want)
		}
	}
	for name, s := range f.Services {
		if !strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %q has no version", name, s.Image)
		}
		if len(s.HealthCheck.Test) < 2 || s.HealthCheck.Interval == "" || s.HealthCheck.Retries == 0 {
			t.Errorf("%s: health check %+v, want test, interval and retries", name, s.HealthCheck)
		}
		for other, how := range s.DependsOn {
			if _, ok := f.Services[other]; !ok || how["condition"] != "service_healthy" {
				t.Errorf("%s depends on %s, %v; want a service, healthy", name, other, how)
			}
		}
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(volume, "./") { // a file beside compose.yaml
				if _, err := os.Stat(volume); err != nil || !strings.HasSuffix(v, ":ro") {
					t.Errorf("%s: %s, %v; want a file that is there, read-only", name, v, err)
				}
				continue
			}
			if _, ok := f.Volumes[volume]; !ok {
				t.Errorf("%s: volume %s is not declared", name, volume)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to everybody", name, port)
			}
		}
	}
	if got := f.Services["worker"].Deploy.Replicas; got != 2 {
		t.Errorf("%d workers, want 2", got)
	}
	redis := strings.Join(f.Services["redis"].Command, " ")
	for _, want := range []string{"--maxmemory-policy noeviction", "--appendonly yes", "--requirepass ${REDIS_PASSWORD"} {
		if !strings.Contains(redis, want) {
			t.Errorf("Redis is started as %q, without %s", redis, want)
		}
	}
}

func TestProcessesAcceptTheirSettings(t *testing.T) {
	t.Parallel()
	f := read(t)
	for _, role := range []app.Role{app.API, app.Worker} {
		s, env := f.Services[string(role)], f.Services[string(role)].filled()
		if s.Command[0] != "/usr/local/bin/"+string(role) {
			t.Errorf("%s runs %q", role, s.Command)
		}
		for name := range env {
			if !slices.ContainsFunc(app.Settings(), func(s app.Setting) bool { return s.Name == name && slices.Contains(s.Roles, role) }) {
				t.Errorf("%s: %s is no setting of it", role, name)
			}
		}
		if mounted := "./waterfalls.yaml:" + env["WATERFALLS"] + ":ro"; !slices.Contains(s.Volumes, mounted) {
			t.Errorf("%s reads %s, which is not mounted: %v", role, env["WATERFALLS"], s.Volumes)
		}
		env["WATERFALLS"] = "waterfalls.yaml"
		var said bytes.Buffer
		if code := app.Run(t.Context(), role, []string{"--validate"}, func(name string) string { return env[name] }, &said, &said); code != 0 {
			t.Errorf("%s --validate: exit code %d\n%s", role, code, said.String())
		}
	}
}

// The role that the processes connect as is not the image's superuser: it is
// made by the script, with the password of their URL.
func TestProcessesAreNoSuperusers(t *testing.T) {
	t.Parallel()
	f := read(t)
	postgres := f.Services["postgres"]
	script, err := os.ReadFile("postgres.sql")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(postgres.Volumes, "./postgres.sql:/docker-entrypoint-initdb.d/magpie.sql:ro") {
		t.Error("postgres.sql is not where the image looks for it")
	}
	for _, role := range []app.Role{app.API, app.Worker} {
		url, err := neturl.Parse(f.Services[string(role)].filled()["DATABASE_URL"])
		if err != nil {
			t.Fatal(err)
		}
		if name := url.User.Username(); name == "postgres" || name == postgres.Environment["POSTGRES_USER"] ||
			!strings.Contains(string(script), "CREATE ROLE "+name+" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password'") ||
			!strings.Contains(string(script), "CREATE DATABASE "+strings.TrimPrefix(url.Path, "/")+" OWNER "+name) {
			t.Errorf("%s connects as %s; want an ordinary role that owns the database", role, name)
		}
		own := strings.Contains(f.Services[string(role)].Environment["DATABASE_URL"], postgres.Environment["MAGPIE_PASSWORD"])
		if !own || postgres.Environment["POSTGRES_PASSWORD"] == postgres.Environment["MAGPIE_PASSWORD"] {
			t.Errorf("%s: want the role's password, and another for the superuser", role)
		}
	}
}

func TestWorkersHaveTimeToStop(t *testing.T) {
	t.Parallel()
	worker := read(t).Services["worker"]
	stop, err := time.ParseDuration(worker.Environment["STOP_TIME"])
	if err != nil {
		t.Fatal(err)
	}
	grace, err := time.ParseDuration(worker.StopGracePeriod)
	if err != nil {
		t.Fatal(err)
	}
	if grace <= stop {
		t.Errorf("stop_grace_period is %s, want more than STOP_TIME (%s)", grace, stop)
	}
}

// The example names every variable that the file uses, no other, and holds no
// secret: what must be secret is empty, and refused while it is.
func TestExampleOfEnv(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{} // and whether it must be filled in
	for _, match := range reference.FindAllStringSubmatch(string(text), -1) {
		used[match[1]] = strings.HasPrefix(match[2], ":?")
	}
	if rest := reference.ReplaceAll(text, nil); bytes.Contains(rest, []byte("${")) {
		t.Error("a variable is not written as ${NAME:?why} or ${NAME-}")
	}
	example, err := os.ReadFile(".env.example")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(example)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		required, ok := used[name]
		if !ok {
			t.Errorf(".env.example sets %s, which nothing uses", name)
		}
		if required && value != "" {
			t.Errorf(".env.example gives %s a value; want each fleet to have its own", name)
		}
		delete(used, name)
	}
	for name := range used {
		t.Errorf(".env.example does not name %s", name)
	}
}
