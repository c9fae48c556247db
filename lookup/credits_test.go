package lookup_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/magpie-hq/magpie/lookup"
)

func TestParseCredits(t *testing.T) {
	t.Parallel()
	cases := []struct {
		text string
		want lookup.Credits
		ok   bool
	}{
		{"0", 0, true}, {"12", 12 * lookup.Credit, true}, {"0.25", 250, true}, {"-3.5", -3500, true},
		{"0.001", 1, true}, {"1.500", 1500, true}, {"007", 7000, true}, {"-0", 0, true},
		{"9007199254740.991", lookup.MaxCredits, true},
		{"9007199254740.992", 0, false}, {"99999999999999999999999", 0, false},
		{"", 0, false}, {"-", 0, false}, {".5", 0, false}, {"5.", 0, false}, {"1.2345", 0, false}, {"1e3", 0, false},
		{"+1", 0, false}, {"--1", 0, false}, {"1,5", 0, false}, {" 1", 0, false}, {"0x1", 0, false}, {"1.-5", 0, false},
		{`"1"`, 0, false}, {"NaN", 0, false},
	}
	for _, c := range cases {
		got, err := lookup.ParseCredits(c.text)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("ParseCredits(%q) = %d, %v, want %d", c.text, int64(got), err, int64(c.want))
		}
	}
}

func TestParseCreditsKeepsErrorsShort(t *testing.T) {
	t.Parallel()
	_, err := lookup.ParseCredits(strings.Repeat("9", 1<<20))
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("want a short error, got %.80v", err)
	}
}

func TestCreditsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := lookup.Credits(rapid.Int64Range(-int64(lookup.MaxCredits), int64(lookup.MaxCredits)).Draw(t, "credits"))
		if got, err := lookup.ParseCredits(want.String()); err != nil || got != want {
			t.Fatalf("%d is written %s and read as %d, %v", int64(want), want, int64(got), err)
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got lookup.Credits
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Fatalf("%s is read as %s, %v", text, got, err)
		}
	})
}

func FuzzParseCredits(f *testing.F) {
	for _, s := range []string{"12", "-0.001", "1.2345", "9007199254740.991", "-", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := lookup.ParseCredits(s)
		if err != nil {
			return
		}
		if c > lookup.MaxCredits || c < -lookup.MaxCredits {
			t.Fatalf("%q is read as %d, beyond the largest amount", s, int64(c))
		}
		if again, err := lookup.ParseCredits(c.String()); err != nil || again != c {
			t.Fatalf("%q is read as %d, written %s and read as %d, %v", s, int64(c), c, int64(again), err)
		}
	})
}
