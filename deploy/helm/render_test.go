// Package helm_test renders the chart with Helm's own library and decodes what
// comes out into the Kubernetes API's types, so that neither a value nor a field
// can be misspelt.
package helm_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// render renders the chart as "helm install demo -f values" does, and returns
// its files by name.
func render(t *testing.T, values []byte) (map[string]string, error) {
	t.Helper()
	chart, err := loader.LoadDir("magpie")
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues(values)
	if err != nil {
		t.Fatal(err)
	}
	release := chartutil.ReleaseOptions{Name: "demo", Namespace: "birds", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, given, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(chart, all)
}

// strict refuses fields that a type does not have, and fields given twice.
var strict = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

// objects are the objects of a rendered chart, by kind and name.
type objects map[string]runtime.Object

func decode(t *testing.T, files map[string]string) objects {
	t.Helper()
	found := objects{}
	for name, text := range files {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		for document := range strings.SplitSeq("\n"+text, "\n---") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			object, kind, err := strict.Decode([]byte(document), nil, nil)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			id := kind.Kind + "/" + nameOf(t, object)
			if found[id] != nil {
				t.Errorf("%s is rendered twice", id)
			}
			found[id] = object
		}
	}
	return found
}

// object is what every Kubernetes object has.
type object interface {
	GetName() string
	GetNamespace() string
	GetLabels() map[string]string
}

func nameOf(t *testing.T, o runtime.Object) string {
	t.Helper()
	return o.(object).GetName()
}

// rendered are the objects of a file of values in testdata.
func rendered(t *testing.T, file string) objects {
	t.Helper()
	values, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, files)
}

// get returns an object of the type that is asked for.
func get[T runtime.Object](t *testing.T, in objects, id string) T {
	t.Helper()
	o, ok := in[id].(T)
	if !ok {
		t.Fatalf("%s is not there; there are %v", id, slices.Sorted(maps.Keys(in)))
	}
	return o
}

// container is the only container of a Deployment.
func container(t *testing.T, d *appsv1.Deployment) corev1.Container {
	t.Helper()
	if len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%s has %d containers, want 1", d.Name, len(d.Spec.Template.Spec.Containers))
	}
	return d.Spec.Template.Spec.Containers[0]
}

// with returns the least values there are, changed by more values in YAML.
func with(t *testing.T, more string) []byte {
	t.Helper()
	values := chartutil.Values{}
	if err := yaml.UnmarshalStrict([]byte(more), &values); err != nil {
		t.Fatal(err)
	}
	base := map[string]any{"secrets": map[string]any{"database": "magpie"}}
	text, err := yaml.Marshal(chartutil.CoalesceTables(values, base))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
