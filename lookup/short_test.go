package lookup

import (
	"strings"
	"testing"
)

// What goes the short way would have come out of the long one unchanged.
func FuzzShortWays(f *testing.F) {
	for _, s := range []string{
		"example.com", "a-b.example", "a--b.example", "xn--bcher-kva.example", "-a.example", "a-.example", "1.2.3.4", "a.b1", "a.1b",
		"www.a.example", strings.Repeat("a", 64) + ".example", "a b", " a", "a  b", "a ", "a\tb", "a\u00a0b", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if isDomain(s) {
			if long, ok := hostname(s); !ok || long != s || strings.HasPrefix(s, "www.") {
				t.Errorf("%q is taken for a domain as it is, the long way makes %q (%t) of it", s, long, ok)
			}
		}
		if oneSpaced(s) && strings.Join(strings.Fields(s), " ") != s {
			t.Errorf("%q is not spaced once", s)
		}
	})
}

func TestShortWayIsTaken(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"example.com", "my-shop.co.uk", "3m.com"} {
		if !isDomain(s) {
			t.Errorf("%q goes the long way", s)
		}
	}
}
