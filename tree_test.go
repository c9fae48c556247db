package magpie_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// module is the prefix of this module's import paths.
const module = "github.com/magpie-hq/magpie/"

// rules are what the whole repository keeps to. Each looks at a tree and says,
// in sentences that begin with a path, where the rule is broken.
var rules = []struct {
	name  string
	check func(tree) []string
}{
	{"imports point downwards", importFaults},
	{"packages have a comment", packageCommentFaults},
	{"exported names are documented", exportedFaults},
	{"tests do not sleep", sleepFaults},
	{"Lua scripts have a contract", luaFaults},
	{"no path of one machine", machinePathFaults},
}

func TestRepositoryKeepsItsRules(t *testing.T) {
	t.Parallel()
	here, err := load(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(here.code) == 0 {
		t.Fatal("no Go file found; is this the root of the repository?")
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			for _, fault := range slices.Sorted(slices.Values(rule.check(here))) {
				t.Error(fault)
			}
		})
	}
}

// A rule that cannot fail holds nothing: each has examples that break it, and
// examples that only look as if they did.
type example struct {
	name  string
	files map[string]string
	fault string // how the only fault begins; "" if there is none
}

func runExamples(t *testing.T, check func(tree) []string, examples []example) {
	t.Helper()
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			files := fstest.MapFS{}
			for name, text := range e.files {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
			made, err := load(files)
			if err != nil {
				t.Fatal(err)
			}
			faults := check(made)
			switch {
			case e.fault == "" && len(faults) > 0:
				t.Errorf("faults = %q, want none", faults)
			case e.fault != "" && (len(faults) != 1 || !strings.HasPrefix(faults[0], e.fault)):
				t.Errorf("faults = %q, want one that begins with %q", faults, e.fault)
			}
		})
	}
}

// tree is the repository as the rules see it.
type tree struct {
	fset *token.FileSet
	code map[string]*ast.File // Go files by path, tests included
	text map[string]string    // every text file by path, Go files included
}

// dir returns the directory of a file as a package of the module: "ledger",
// "providers/hunter", "." for the root.
func dir(file string) string { return path.Dir(file) }

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// packages returns the files that ship, by package, tests left out.
func (t tree) packages() map[string][]string {
	packages := map[string][]string{}
	for file := range t.code {
		if !isTest(file) {
			packages[dir(file)] = append(packages[dir(file)], file)
		}
	}
	return packages
}

// faultf places a fault at a node of a Go file.
func (t tree) faultf(at ast.Node, format string, args ...any) string {
	p := t.fset.Position(at.Pos())
	return fmt.Sprintf("%s:%d: ", p.Filename, p.Line) + fmt.Sprintf(format, args...)
}

// notOurs are directories that hold nothing written for the repository.
var notOurs = []string{".git", ".magpie", "build", "node_modules", "testdata", "vendor"}

// load reads the text files of a repository and parses the Go files among them.
func load(files fs.FS) (tree, error) {
	t := tree{token.NewFileSet(), map[string]*ast.File{}, map[string]string{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // a temporary file of another test, gone by now
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(notOurs, entry.Name()):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		return t.add(files, name)
	})
	return t, err
}

func (t tree) add(files fs.FS, name string) error {
	content, err := fs.ReadFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || bytes.IndexByte(content, 0) >= 0 {
		return err // nil for a binary file
	}
	t.text[name] = string(content)
	if path.Ext(name) != ".go" {
		return nil
	}
	t.code[name], err = parser.ParseFile(t.fset, name, content, parser.ParseComments|parser.SkipObjectResolution)
	return err
}
