package lookup_test

import (
	"testing"

	"github.com/magpie-hq/magpie/lookup"
)

func TestDomain(t *testing.T) {
	t.Parallel()
	cases := []struct{ given, want string }{
		{"example.com", "example.com"},
		{"HTTP://WWW.Example.COM:8080/a?b#c", "example.com"},
		{"ｗｗｗ．example.com", "example.com"},
		{"www.www.example.com", "example.com"},
		{"www.com", "www.com"},
		{"jane@example.com", "example.com"},
		{"https://example.com/@jane", "example.com"},
		{"Bücher.example", "xn--bcher-kva.example"},
		{"example.com.", "example.com"},
		{"", ""}, {"example", ""}, {"n/a", ""}, {"J.P", ""}, {"10.0.0.1", ""}, {"[::1]:80", ""},
		{"a b.com", ""}, {"-", ""}, {"..", ""}, {"a..com", ""}, {"under_score.com", ""}, {"acme.com, acme.org", ""},
	}
	for _, c := range cases {
		if got, ok := lookup.Domain(c.given); got != c.want || ok != (c.want != "") {
			t.Errorf("Domain(%q) = %q, %t, want %q", c.given, got, ok, c.want)
		}
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	cases := []struct{ given, want string }{
		{"  Jean\tPaul ", "jean paul"},
		{"ÉLODIE Œuvrard", "elodie oeuvrard"},
		{"Ǿrsted", "orsted"},
		{"Łukasz İnan", "lukasz inan"},
		{"D’Arcy", "d'arcy"},
		{"Straße", "strasse"},
		{"Андрей", "андреи"},
		{"soft\u00adhyphen\u200b", "softhyphen"},
		{"", ""},
	}
	for _, c := range cases {
		if got := lookup.Fold(c.given); got != c.want {
			t.Errorf("Fold(%q) = %q, want %q", c.given, got, c.want)
		}
	}
}

func FuzzDomain(f *testing.F) {
	for _, s := range []string{"https://www.Bücher.example/x", "www.www.com", "ｗｗｗ．a.bc", "a@b:80", "xn--a.b", "１.２"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		domain, ok := lookup.Domain(s)
		if !ok {
			if domain != "" {
				t.Fatalf("Domain(%q) = %q without being one", s, domain)
			}
			return
		}
		if again, ok := lookup.Domain(domain); !ok || again != domain {
			t.Fatalf("Domain(%q) = %q, whose own is %q, %t", s, domain, again, ok)
		}
	})
}
