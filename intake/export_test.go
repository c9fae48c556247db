package intake_test

import (
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/intake"
)

func TestDefuse(t *testing.T) {
	t.Parallel()
	harmless := []string{
		"", "a", "'=1", " =1", "1+1", "a@b.com", "\n=1",
		"+33612345678", "+33 6 12 34 56 78", "+1 (212) 555-0123", "+44/20.7946-0958",
		"-1", "+1", "-1.5", "-1,234.50", "-.5", "+1e10", "-1.5E-3", "-12%",
	}
	for _, cell := range harmless {
		if got := intake.Defuse(cell); got != cell {
			t.Errorf("Defuse(%q) = %q, want it as it is", cell, got)
		}
	}
	formulas := []string{
		"=", "=1+1", "=HYPERLINK(\"x\")", "@SUM(A1)", "\t=1", "\r=1", "\t", "\r",
		"+", "-", "+A1", "-A1", "-1+1", "+1+2", "--1", "+-1", "-2+3+cmd|' /C calc'!A0", "+33612345678+A1", "+33 6 12 x5",
		"-1e", "-1e+", "-e5", "-%", "-.", "+12(3)", "-33 6 12 34 56 78", "+1234567890123456 7", "+33612345678\n=1", "-1\n", "-１",
	}
	for _, cell := range formulas {
		if got := intake.Defuse(cell); got != "'"+cell {
			t.Errorf("Defuse(%q) = %q, want an apostrophe before it", cell, got)
		}
	}
}

// What begins like a formula never stays so with anything in it that could run.
func FuzzDefuse(f *testing.F) {
	for _, s := range []string{"=1", "+33 6 12", "-1.5e3", "@x", "\t", "+1(2)", "-1%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		got := intake.Defuse(cell)
		if got == "'"+cell {
			if !strings.ContainsAny(cell[:1], "=@\t\r+-") {
				t.Fatalf("%q needs no apostrophe", cell)
			}
			return
		}
		if got != cell {
			t.Fatalf("Defuse(%q) = %q changes the cell", cell, got)
		}
		if cell == "" || !strings.ContainsAny(cell[:1], "=@\t\r+-") {
			return
		}
		if strings.ContainsAny(cell[:1], "=@\t\r") || strings.Trim(cell[1:], "0123456789 .,-+/()eE%") != "" || !strings.ContainsAny(cell, "0123456789") {
			t.Fatalf("%q stays a formula", cell)
		}
	})
}
