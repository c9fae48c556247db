package helm_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/lookup"
)

func TestObjects(t *testing.T) {
	t.Parallel()
	always := func(name string) []string {
		return []string{
			"Deployment/" + name + "-api", "Deployment/" + name + "-worker",
			"PodDisruptionBudget/" + name + "-api", "PodDisruptionBudget/" + name + "-worker", "Service/" + name + "-api",
		}
	}
	for file, want := range map[string][]string{
		"small.yaml":   always("demo-magpie"),
		"default.yaml": append(always("demo-magpie"), "ServiceAccount/demo-magpie"),
		"full.yaml": append(always("birds"), "ServiceAccount/birds", "Ingress/birds", "ConfigMap/birds-waterfalls",
			"HorizontalPodAutoscaler/birds-api", "HorizontalPodAutoscaler/birds-worker", "NetworkPolicy/birds-api", "NetworkPolicy/birds-worker"),
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			got := rendered(t, file)
			slices.Sort(want)
			if ids := slices.Sorted(maps.Keys(got)); !slices.Equal(ids, want) {
				t.Errorf("objects %v\nwant %v", ids, want)
			}
			for id, o := range got {
				labels := o.(object).GetLabels()
				for _, label := range []string{"name", "instance", "version", "part-of", "managed-by"} {
					if labels["app.kubernetes.io/"+label] == "" {
						t.Errorf("%s has no label app.kubernetes.io/%s", id, label)
					}
				}
				if o.(object).GetNamespace() != "birds" {
					t.Errorf("%s is in namespace %q, want the release's", id, o.(object).GetNamespace())
				}
			}
		})
	}
}

func TestPodsAreConfined(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"default.yaml", "full.yaml", "small.yaml"} {
		for id, o := range rendered(t, file) {
			d, ok := o.(*appsv1.Deployment)
			if !ok {
				continue
			}
			pod, c := d.Spec.Template.Spec, container(t, d)
			if !*pod.SecurityContext.RunAsNonRoot || *pod.AutomountServiceAccountToken {
				t.Errorf("%s %s: want a user that is not root, and no token", file, id)
			}
			if s := c.SecurityContext; !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Contains(s.Capabilities.Drop, "ALL") {
				t.Errorf("%s %s: security context %v", file, id, s)
			}
			if pod.Volumes[0].EmptyDir == nil || c.VolumeMounts[0].MountPath != "/tmp" {
				t.Errorf("%s %s: want an emptyDir at /tmp", file, id)
			}
			if live, ready := c.LivenessProbe.HTTPGet, c.ReadinessProbe.HTTPGet; live.Path != "/healthz" || ready.Path != "/readyz" ||
				live.Port.StrVal != "operations" || ready.Port.StrVal != "operations" {
				t.Errorf("%s %s: probes %v and %v", file, id, live, ready)
			}
		}
	}
}

// Service, budgets, policies and autoscalers must reach the pods that they mean.
func TestSelectorsFindTheirPods(t *testing.T) {
	t.Parallel()
	got := rendered(t, "full.yaml")
	for _, component := range []string{"api", "worker"} {
		d := get[*appsv1.Deployment](t, got, "Deployment/birds-"+component)
		selectors := map[string]map[string]string{
			"Deployment":          d.Spec.Selector.MatchLabels,
			"PodDisruptionBudget": get[*policyv1.PodDisruptionBudget](t, got, "PodDisruptionBudget/birds-"+component).Spec.Selector.MatchLabels,
			"NetworkPolicy":       get[*networkingv1.NetworkPolicy](t, got, "NetworkPolicy/birds-"+component).Spec.PodSelector.MatchLabels,
		}
		if component == "api" {
			selectors["Service"] = get[*corev1.Service](t, got, "Service/birds-api").Spec.Selector
		}
		for kind, selector := range selectors {
			if selector["app.kubernetes.io/component"] != component {
				t.Errorf("%s selects %v, want the component %s", kind, selector, component)
			}
			for label, value := range selector {
				if d.Spec.Template.Labels[label] != value {
					t.Errorf("%s of %s selects %s=%s, which its pods do not have", kind, component, label, value)
				}
			}
		}
		hpa := get[*autoscalingv2.HorizontalPodAutoscaler](t, got, "HorizontalPodAutoscaler/birds-"+component)
		if hpa.Spec.ScaleTargetRef.Name != d.Name || d.Spec.Replicas != nil {
			t.Errorf("the autoscaler of %s scales %s, and replicas is %v; want it to decide alone", component, hpa.Spec.ScaleTargetRef.Name, d.Spec.Replicas)
		}
	}
	backend := get[*networkingv1.Ingress](t, got, "Ingress/birds").Spec.Rules[0].HTTP.Paths[0].Backend.Service
	if port := get[*corev1.Service](t, got, "Service/birds-api").Spec.Ports[0]; backend.Name != "birds-api" || backend.Port.Name != port.Name {
		t.Errorf("the ingress leads to %v", backend)
	}
}

// environment is what a pod of a role is given, secrets as a value that fits.
func environment(t *testing.T, role app.Role, c corev1.Container) map[string]string {
	t.Helper()
	secret := map[string]string{
		"DATABASE_URL": "postgres://magpie:x@db/magpie", "REDIS_URL": "redis://cache:6379/0", "LEDGER_REDIS_URL": "redis://cache:6379/1",
		"ADMIN_KEY": "0123456789abcdef", "HUNTER_API_KEY": "x", "PROSPEO_API_KEY": "x", "FINDYMAIL_API_KEY": "x",
		"MILLIONVERIFIER_API_KEY": "x", "LEADMAGIC_API_KEY": "x", "ICYPEAS_API_KEY": "x",
	}
	env := map[string]string{}
	for _, e := range c.Env {
		known := slices.ContainsFunc(app.Settings(), func(s app.Setting) bool { return s.Name == e.Name && slices.Contains(s.Roles, role) })
		if _, twice := env[e.Name]; twice || !known {
			t.Errorf("%s: %s is set twice, or no setting of it", role, e.Name)
		}
		env[e.Name] = e.Value
		if isSecret := secret[e.Name] != ""; isSecret != (e.ValueFrom != nil) {
			t.Errorf("%s: %s comes from a Secret: %v, want %v", role, e.Name, e.ValueFrom != nil, isSecret)
		} else if isSecret {
			env[e.Name] = secret[e.ValueFrom.SecretKeyRef.Key]
		}
	}
	return env
}

func TestProcessesAcceptTheirSettings(t *testing.T) {
	t.Parallel()
	for file, name := range map[string]string{"default.yaml": "demo-magpie", "full.yaml": "birds", "small.yaml": "demo-magpie"} {
		got := rendered(t, file)
		for _, role := range []app.Role{app.API, app.Worker} {
			d := get[*appsv1.Deployment](t, got, "Deployment/"+name+"-"+string(role))
			env := environment(t, role, container(t, d))
			if file == "full.yaml" {
				env["WATERFALLS"] = mounted(t, got, d, env["WATERFALLS"])
			}
			cfg, err := app.FromEnv(role, func(name string) string { return env[name] })
			if err != nil {
				t.Errorf("%s %s: %v", file, role, err)
			}
			if order := cfg.Waterfalls[lookup.EmailFinder].Order; file == "full.yaml" && !slices.Equal(order, []string{"prospeo", "hunter"}) {
				t.Errorf("%s asks %v", role, order)
			}
			grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
			if role == app.Worker && grace <= cfg.Tasks.StopTime {
				t.Errorf("%s: the worker's grace period is %s, its STOP_TIME %s", file, grace, cfg.Tasks.StopTime)
			}
			if file == "full.yaml" && role == app.API && (cfg.ChunkRows != 2_000_000 || cfg.Hunter.PerSecond != 1 || cfg.Window != 32) {
				t.Errorf("CHUNK_ROWS %d, HUNTER_PER_SECOND %v, WINDOW %d: want 2000000, the api's own 1, and 32 for all", cfg.ChunkRows, cfg.Hunter.PerSecond, cfg.Window)
			}
		}
	}
}

// mounted returns a file with what a pod finds at path, which is a ConfigMap's.
func mounted(t *testing.T, in objects, d *appsv1.Deployment, path string) string {
	t.Helper()
	mount, volume := container(t, d).VolumeMounts[1], d.Spec.Template.Spec.Volumes[1]
	text, ok := get[*corev1.ConfigMap](t, in, "ConfigMap/"+volume.ConfigMap.Name).Data[filepath.Base(path)]
	if !ok || mount.Name != volume.Name || mount.MountPath != filepath.Dir(path) {
		t.Fatalf("%s is not in %v, mounted at %s", path, volume, mount.MountPath)
	}
	name := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A changed file replaces the pods.
func TestWaterfallsArePartOfThePod(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, order := range []string{"[hunter]", "[prospeo]"} {
		files, err := render(t, with(t, `waterfalls: "waterfalls: {email-finder: {order: `+order+`}}"`))
		if err != nil {
			t.Fatal(err)
		}
		seen[get[*appsv1.Deployment](t, decode(t, files), "Deployment/demo-magpie-api").Spec.Template.Annotations["checksum/waterfalls"]] = true
	}
	if len(seen) != 2 || seen[""] {
		t.Errorf("annotations %v, want two", seen)
	}
}

func TestSecretsByName(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]map[string]string{
		"default.yaml": {"DATABASE_URL": "magpie", "REDIS_URL": "magpie", "ADMIN_KEY": "magpie", "HUNTER_API_KEY": "magpie"},
		"full.yaml":    {"DATABASE_URL": "magpie-postgres", "REDIS_URL": "magpie-redis", "ADMIN_KEY": "magpie-admin", "HUNTER_API_KEY": "magpie-vendors"},
	} {
		name := map[string]string{"default.yaml": "demo-magpie", "full.yaml": "birds"}[file]
		got := map[string]string{}
		for _, e := range container(t, get[*appsv1.Deployment](t, rendered(t, file), "Deployment/"+name+"-api")).Env {
			if _, ok := want[e.Name]; ok {
				got[e.Name] = e.ValueFrom.SecretKeyRef.Name
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: Secrets %v, want %v", file, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values string
		want   []string
	}{
		"no Secret":             {`secrets: {database: ""}`, []string{"secrets.database is missing", "DATABASE_URL"}},
		"short grace":           {`worker: {terminationGracePeriodSeconds: 30}`, []string{"worker.terminationGracePeriodSeconds (30) must be longer than worker.stopTimeSeconds (30)", "set it to 45"}},
		"long stop":             {`worker: {stopTimeSeconds: 60}`, []string{"worker.terminationGracePeriodSeconds (45) must be longer than worker.stopTimeSeconds (60)"}},
		"short grace of api":    {`api: {drainSeconds: 20}`, []string{"api.terminationGracePeriodSeconds (45)", "set it to 60"}},
		"ingress for nobody":    {`ingress: {enabled: true}`, []string{"ingress.host is missing"}},
		"scaling upside down":   {`worker: {autoscaling: {enabled: true, minReplicas: 7}}`, []string{"worker.autoscaling.minReplicas (7)"}},
		"unknown value":         {`replicas: 3`, []string{"replicas"}},
		"unknown nested value":  {`worker: {replica: 3}`, []string{"replica"}},
		"unknown setting":       {`settings: {WIDOW: 3}`, []string{"WIDOW"}},
		"a secret as a setting": {`api: {settings: {ADMIN_KEY: 0123456789abcdef}}`, []string{"ADMIN_KEY"}},
		"one window each":       {`worker: {settings: {WINDOW: 3}}`, []string{"WINDOW"}},
		"no whole number":       {`settings: {WINDOW: many}`, []string{"WINDOW"}},
		"no time":               {`settings: {REUSE_WINDOW: 30 days}`, []string{"REUSE_WINDOW"}},
		"a URL as a Secret":     {`secrets: {database: "postgres://user:password@host/name"}`, []string{"secrets/database"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := render(t, with(t, tc.values))
			if err == nil {
				t.Fatal("was accepted")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	files, err := render(t, with(t, `ingress: {enabled: true, host: api.example, tlsSecret: tls}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"demo-magpie-api", "namespace birds", "https://api.example", "the Secret magpie"} {
		if notes := strings.ReplaceAll(files["magpie/templates/NOTES.txt"], "-n birds", "namespace birds"); !strings.Contains(notes, want) {
			t.Errorf("NOTES.txt does not say %q:\n%s", want, notes)
		}
	}
}

// schema is a part of values.schema.json.
type schema struct {
	Ref                  string            `json:"$ref"`
	Type                 any               `json:"type"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties any               `json:"additionalProperties"` //nolint:tagliatelle // as JSON Schema spells it
	Items                *schema           `json:"items"`
	Defs                 map[string]schema `json:"$defs"`
}

func readSchema(t *testing.T) schema {
	t.Helper()
	text, err := os.ReadFile("magpie/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// walk visits a schema and all that is in it.
func (s schema) walk(path string, visit func(path string, s schema)) {
	visit(path, s)
	for name, inner := range s.Properties {
		inner.walk(path+"."+name, visit)
	}
	for name, inner := range s.Defs {
		inner.walk(path+"#"+name, visit)
	}
	if s.Items != nil {
		s.Items.walk(path+"[]", visit)
	}
}

func TestSchemaRefusesUnknownNamesEverywhere(t *testing.T) {
	t.Parallel()
	seen := 0
	readSchema(t).walk("", func(path string, s schema) {
		if s.Type != "object" || path == ".global" { // .global belongs to the charts around this one
			return
		}
		seen++
		_, isMap := s.AdditionalProperties.(map[string]any) // labels and annotations: any name, but a text
		if s.AdditionalProperties != false && !isMap {
			t.Errorf("values%s: additionalProperties is %v, want false", path, s.AdditionalProperties)
		}
	})
	if seen < 20 {
		t.Errorf("%d objects seen; is the schema read as it is written?", seen)
	}
}

// The schema knows every setting there is, and no other: what the chart decides
// itself and what belongs into Secrets cannot be set.
func TestSchemaKnowsEverySetting(t *testing.T) {
	t.Parallel()
	decided := []string{
		"API_ADDR", "OPS_ADDR", "STOP_TIME", "DATABASE_URL", "REDIS_URL", "LEDGER_REDIS_URL", "ADMIN_KEY", "WATERFALLS",
		"HUNTER_API_KEY", "PROSPEO_API_KEY", "FINDYMAIL_API_KEY", "MILLIONVERIFIER_API_KEY", "LEADMAGIC_API_KEY", "ICYPEAS_API_KEY",
	}
	forAll := []string{"WINDOW", "REUSE_WINDOW"} // must not differ between processes
	want := map[string][]string{}
	for _, s := range app.Settings() {
		if slices.Contains(decided, s.Name) {
			continue
		}
		if len(s.Roles) == 2 {
			want["settings"] = append(want["settings"], s.Name)
		}
		for _, role := range s.Roles {
			if !slices.Contains(forAll, s.Name) {
				want[string(role)] = append(want[string(role)], s.Name)
			}
		}
	}
	values := readSchema(t).Properties
	for place, settings := range map[string]schema{
		"settings": values["settings"], "api": values["api"].Properties["settings"], "worker": values["worker"].Properties["settings"],
	} {
		slices.Sort(want[place])
		if got := slices.Sorted(maps.Keys(settings.Properties)); !slices.Equal(got, want[place]) {
			t.Errorf("values.schema.json has for %s %v\nwant %v", place, got, want[place])
		}
	}
}
