package magpie_test

import (
	"go/ast"
	"path"
	"regexp"
	"strings"
	"testing"
)

// packageCommentFaults finds packages that do not say in at least two
// sentences what they are for and what they promise.
func packageCommentFaults(t tree) []string {
	var faults []string
	for pkg, files := range t.packages() {
		var comment strings.Builder
		for _, file := range files {
			comment.WriteString(t.code[file].Doc.Text())
		}
		if len(sentenceEnd.FindAllString(comment.String(), -1)) < 2 {
			faults = append(faults, pkg+": want a package comment of two sentences or more: what it is for, what it promises")
		}
	}
	return faults
}

var sentenceEnd = regexp.MustCompile(`[.!?]\s`)

// exportedFaults finds exported functions, types, methods of exported types,
// constants and variables that nobody explained.
func exportedFaults(t tree) []string {
	var faults []string
	for file, code := range t.code {
		if isTest(file) {
			continue
		}
		for _, decl := range code.Decls {
			for _, name := range undocumented(decl) {
				faults = append(faults, t.faultf(name, "%s is exported and has no comment", name.Name))
			}
		}
	}
	return faults
}

// undocumented returns the exported names of a declaration that have no comment.
func undocumented(decl ast.Decl) []*ast.Ident {
	var names []*ast.Ident
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc.Text() == "" && d.Name.IsExported() && ofExportedType(d) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			declared, comment := describe(spec)
			for _, name := range declared {
				if name.IsExported() && d.Doc.Text()+comment == "" {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// describe returns the names that one line of a declaration declares, and the
// comments on that line.
func describe(spec ast.Spec) (names []*ast.Ident, comment string) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return []*ast.Ident{s.Name}, s.Doc.Text()
	case *ast.ValueSpec:
		return s.Names, s.Doc.Text() + s.Comment.Text()
	}
	return nil, "" // an import
}

// ofExportedType reports whether f is a function or a method that the package's
// users can see. Error and String explain themselves.
func ofExportedType(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	if f.Name.Name == "Error" || f.Name.Name == "String" {
		return false
	}
	of := f.Recv.List[0].Type
	for {
		switch t := of.(type) {
		case *ast.StarExpr:
			of = t.X
		case *ast.IndexExpr: // one type parameter
			of = t.X
		case *ast.IndexListExpr: // several
			of = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}

// sleepFaults finds tests that wait for time to pass instead of for an event.
// Inside synctest.Test a sleep only moves a clock that is not real.
func sleepFaults(t tree) []string {
	var faults []string
	for file, code := range t.code {
		if !isTest(file) {
			continue
		}
		ast.Inspect(code, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && selects(call.Fun, "synctest", "Test") {
				return false
			}
			if e, ok := n.(ast.Expr); ok && selects(e, "time", "Sleep") {
				faults = append(faults, t.faultf(n, "a test must not sleep; wait for an event, or use testing/synctest"))
			}
			return true
		})
	}
	return faults
}

// selects reports whether e is pkg.name.
func selects(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg && s.Sel.Name == name
}

// luaFaults finds scripts whose header does not state the whole contract.
func luaFaults(t tree) []string {
	var faults []string
	for file, text := range t.text {
		if path.Ext(file) != ".lua" {
			continue
		}
		var header strings.Builder
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "--") {
				break
			}
			header.WriteString(line)
		}
		if missing := missingFromContract(header.String()); len(missing) > 0 {
			faults = append(faults, file+": the comment at the top must also name "+strings.Join(missing, ", "))
		}
	}
	return faults
}

func missingFromContract(header string) []string {
	var missing []string
	if !strings.Contains(header, "KEYS[1]") && !strings.Contains(header, "no keys") {
		missing = append(missing, "KEYS[1]… (or say: no keys)")
	}
	if !strings.Contains(header, "ARGV") {
		missing = append(missing, "ARGV[1]… (or say: no ARGV)")
	}
	if !strings.Contains(header, "returns") {
		missing = append(missing, "what it returns")
	}
	return missing
}

// machinePath is a path that exists on the machine of whoever wrote it. The
// brackets keep the pattern from finding itself.
var machinePath = regexp.MustCompile(`(^|[^\w.\-/])/([w]ork|[r]oot|[U]sers|[h]ome/[a-z]+)/`)

// machinePathFaults finds files that mention a path of one machine.
func machinePathFaults(t tree) []string {
	var faults []string
	for file, text := range t.text {
		if found := machinePath.FindString(text); found != "" {
			faults = append(faults, file+": mentions a path of one machine, "+strings.TrimSpace(found)+"…")
		}
	}
	return faults
}

func TestPackageCommentRule(t *testing.T) {
	t.Parallel()
	runExamples(t, packageCommentFaults, []example{
		{"none", map[string]string{"a/a.go": "package a\n"}, "a: want a package comment"},
		{"one sentence", map[string]string{"a/a.go": "// Package a is one.\npackage a\n"}, "a: want a package comment"},
		{"only in a test", map[string]string{
			"a/a.go":      "package a\n",
			"a/a_test.go": "// Package a is one. It promises much.\npackage a\n",
		}, "a: want a package comment"},
		{"two sentences", map[string]string{"a/doc.go": "// Package a is one. It\n// promises much.\npackage a\n", "a/a.go": "package a\n"}, ""},
		{"only tests", map[string]string{"a_test.go": "package a\n"}, ""},
	})
}

func TestExportedNameRule(t *testing.T) {
	t.Parallel()
	code := func(text string) map[string]string { return map[string]string{"a.go": "package a\n" + text} }
	runExamples(t, exportedFaults, []example{
		{"a function", code("func F() {}"), "a.go:2: F is exported"},
		{"a documented function", code("// F does.\nfunc F() {}"), ""},
		{"a function for itself", code("func f() {}"), ""},
		{"a type", code("type T struct{}"), "a.go:2: T is exported"},
		{"a method", code("// T is.\ntype T struct{}\nfunc (t *T) M() {}"), "a.go:4: M is exported"},
		{"a method of a generic type", code("// T is.\ntype T[K any] struct{}\nfunc (t *T[K]) M() {}"), "a.go:4: M is exported"},
		{"a method nobody can see", code("type t struct{}\nfunc (t) M() {}"), ""},
		{"a method that explains itself", code("// T is.\ntype T struct{}\nfunc (T) Error() string { return \"\" }"), ""},
		{"a constant", code("const C = 1"), "a.go:2: C is exported"},
		{"one of a group", code("const (\n\tC = 1 // one\n\tD = 2\n)"), "a.go:4: D is exported"},
		{"a documented group", code("// All there are.\nconst (\n\tC = 1\n\tD = 2\n)"), ""},
		{"a directive is no comment", code("//go:noinline\nfunc F() {}"), "a.go:3: F is exported"},
		{"a test", map[string]string{"a_test.go": "package a\nfunc F() {}"}, ""},
	})
}

func TestSleepRule(t *testing.T) {
	t.Parallel()
	code := func(body string) map[string]string {
		return map[string]string{"a_test.go": "package a\nfunc f() {\n" + body + "\n}"}
	}
	runExamples(t, sleepFaults, []example{
		{"a call", code("time.Sleep(1)"), "a_test.go:3: a test must not sleep"},
		{"passed on", code("do(time.Sleep)"), "a_test.go:3: a test must not sleep"},
		{"on a clock that is not real", code("synctest.Test(t, func(t *testing.T) { time.Sleep(1) })"), ""},
		{"in a text", code(`do("time.Sleep(1)")`), ""},
		{"another Sleep", code("clock.Sleep(1)"), ""},
		{"not a test", map[string]string{"a.go": "package a\nfunc f() { time.Sleep(1) }"}, ""},
	})
}

func TestLuaRule(t *testing.T) {
	t.Parallel()
	script := func(text string) map[string]string { return map[string]string{"ledger/a.lua": text} }
	runExamples(t, luaFaults, []example{
		{"no header", script("return 1\n"), "ledger/a.lua: the comment at the top must also name KEYS[1]… (or say: no keys), ARGV"},
		{"a contract below the code", script("return 1\n-- KEYS[1] k, ARGV[1] a, returns 1\n"), "ledger/a.lua: the comment"},
		{"without keys", script("-- ARGV[1] a\n-- returns 1\nreturn 1\n"), "ledger/a.lua: the comment at the top must also name KEYS[1]"},
		{"without arguments", script("-- KEYS[1] k\n-- returns 1\nreturn 1\n"), "ledger/a.lua: the comment at the top must also name ARGV"},
		{"without an answer", script("-- KEYS[1] k, ARGV[1] a\nreturn 1\n"), "ledger/a.lua: the comment at the top must also name what"},
		{"complete", script("-- KEYS[1] k\n-- ARGV[1] a\n-- returns 1\nreturn 1\n"), ""},
		{"without keys, and says so", script("-- no keys, no ARGV, returns 1\nreturn 1\n"), ""},
	})
}

func TestMachinePathRule(t *testing.T) {
	t.Parallel()
	note := func(text string) map[string]string { return map[string]string{"docs/a.md": text} }
	runExamples(t, machinePathFaults, []example{
		{"at the start", note("/wor" + "k/main"), "docs/a.md: mentions a path"},
		{"in a sentence", note("see `/roo" + "t/go/bin`."), "docs/a.md: mentions a path"},
		{"a person's", note("in /hom" + "e/jo/src"), "docs/a.md: mentions a path"},
		{"part of an address", note("https://example.com/home/list"), ""},
		{"part of a path", note("docs/root/list and ./home/x/y"), ""},
		{"a directory of the system", note("/usr/local/bin, /tmp/x"), ""},
	})
}
