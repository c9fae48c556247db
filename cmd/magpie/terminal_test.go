package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/magpie-hq/magpie/client"
)

func TestClean(t *testing.T) {
	t.Parallel()
	cases := []struct{ data, want string }{
		{"Müller & Söhne 株式会社", "Müller & Söhne 株式会社"},
		{"\x1b[31mred\x07", "\uFFFD[31mred\uFFFD"},
		{"two\r\nlines\tand", "two lines and"},
		{"over\rwritten", "over\uFFFDwritten"},
		{"c1\u009b31m", "c1\uFFFD31m"},
		{"turned \u202eround", "turned \uFFFDround"},
		{"raw \x9b byte", "raw \uFFFD byte"},
	}
	for _, c := range cases {
		if got := clean(c.data); got != c.want {
			t.Errorf("clean(%q) = %q, want %q", c.data, got, c.want)
		}
	}
}

// However its input is cut, a cleaner writes the same, and nothing dangerous.
func FuzzCleaner(f *testing.F) {
	f.Add("a,b\r\nMüller,\x1b[2J\n", 3)
	f.Add("\u009b\u202e株\xff\xe6", 1)
	f.Fuzz(func(t *testing.T, data string, cut int) {
		var whole, parts bytes.Buffer
		write := func(w io.Writer, s string) {
			if n, err := io.WriteString(w, s); n != len(s) || err != nil {
				t.Fatalf("wrote %d of %d, %v", n, len(s), err)
			}
		}
		write(&cleaner{w: &whole}, data)
		c := &cleaner{w: &parts}
		cut = min(max(cut, 0), len(data))
		write(c, data[:cut])
		write(c, data[cut:])
		if whole.String() != parts.String() {
			t.Fatalf("%q in one is %q, cut at %d %q", data, whole.String(), cut, parts.String())
		}
		for _, r := range whole.String() {
			if r != '\n' && r != '\t' && dangerous(r) {
				t.Fatalf("%q comes through in %q", r, whole.String())
			}
		}
		if !utf8.ValidString(whole.String()) {
			t.Fatalf("%q is not text", whole.String())
		}
	})
}

func TestFlagsStandAnywhere(t *testing.T) {
	t.Parallel()
	cases := []struct {
		args, positional, name string
		on                     bool
		fails                  string
	}{
		{args: "a b", positional: "a b"},
		{args: "--name x a --on b", positional: "a b", name: "x", on: true},
		{args: "a b --name=x", positional: "a b", name: "x"},
		{args: "a -- --on b", positional: "a --on b"},
		{args: "-- -x", positional: "-x"},
		{args: "- -5 -on", positional: "- -5", on: true},
		{args: "--nam x", fails: "there is no flag --nam; did you mean --name?"},
		{args: "--zzzzzzzz", fails: "there is no flag --zzzzzzzz"},
		{args: "a --name", fails: "the flag --name needs a value after it"},
		{args: "--on=maybe", fails: `invalid boolean value "maybe" for --on`},
	}
	for _, c := range cases {
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		name, on := flags.String("name", "", ""), flags.Bool("on", false, "")
		positional, err := parse(flags, strings.Fields(c.args))
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%q: %v, want %s", c.args, err, c.fails)
			}
			continue
		}
		if err != nil || !slices.Equal(positional, strings.Fields(c.positional)) || *name != c.name || *on != c.on {
			t.Errorf("%q: %q, %q, %t, %v", c.args, positional, *name, *on, err)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"submit", "watch", "results", "admin key"}
	for word, want := range map[string]string{"submti": "submit", "wach": "watch", "result": "results", "zebra-crossing": "", "": ""} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{"people.csv": "people.csv", "my file": "'my file'", "": "''", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		if got := quoted(arg); got != want {
			t.Errorf("quoted(%q) = %s, want %s", arg, got, want)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	var screen bytes.Buffer
	p := newProgress(&screen, true)
	rate, left := 10.0, 5.0
	p.show(client.Batch{ID: "bat_1", Status: "running\x1b", Rows: client.Rows{Total: 100, Done: 50}, RowsPerSecond: &rate, ETASeconds: &left})
	p.end()
	p.end()
	if got := screen.String(); !strings.HasPrefix(got, "\r[##########..........] running\uFFFD 50/100") || !strings.HasSuffix(got, "\x1b[K\n") {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		done, total int64
		want        string
	}{{0, 0, "[....................]"}, {5, 5, "[####################]"}, {9, 5, "[####################]"}} {
		if got := bar(c.done, c.total); got != c.want {
			t.Errorf("bar(%d, %d) = %s", c.done, c.total, got)
		}
	}
}

// A file is there whole or not at all.
func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "results.csv")
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := writeFile(name, broken); err == nil || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("a broken download: %v", err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "before" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	if n, err := writeFile(name, strings.NewReader("after")); err != nil || n != 5 {
		t.Errorf("wrote %d, %v", n, err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "after" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	if _, err := writeFile(filepath.Join(dir, "missing", "x.csv"), strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("a missing folder: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
