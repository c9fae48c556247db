package main

import (
	"strings"
	"testing"
)

// At its cap a batch pauses with a remedy that works as it is printed.
func TestCap(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	file := i.file("phones.csv", phones)
	r := i.magpie("submit", file, "--service", "mobile-validation", "--max-credits", "3", "--watch")
	id, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(r.out, "batch")), "\n")
	raise := "magpie cap " + id + " 5"
	if r.code != exitPaused || !strings.Contains(r.errors, "paused at a spending cap: all its rows can cost 2 credits more") || !strings.Contains(r.errors, raise) {
		t.Fatalf("%+v", r)
	}
	if out := i.must(strings.Fields(strings.TrimPrefix(raise, "magpie "))...); !strings.Contains(out, "at most 5 credits") {
		t.Errorf("raised: %q", out)
	}
	if b := i.answer(exitDone, "watch", "--wait", id); b.text("status") != "completed" || b["max_credits"] != 5.0 {
		t.Errorf("%v", b)
	}
	fresh := i.file("fresh.csv", "number\n+41 44 668 18 05\n")
	open := i.answer(exitDone, "submit", fresh, "--service", "mobile-validation", "--max-credits", "0.5").text("id")
	if b := i.answer(exitDone, "cap", open, "none"); b["max_credits"] != nil {
		t.Errorf("%v", b)
	}
	for _, args := range [][]string{{"cap", id}, {"cap", id, "0"}, {"cap", id, "many"}, {"cap", id, "1", "2"}, {"submit", file, "--service", "mobile-validation", "--max-credits", "-1"}} {
		if r := i.magpie(args...); r.code != exitUsage || !strings.Contains(r.errors, "hint: try: magpie ") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestKeyCap(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	key := i.answer(exitDone, "admin", "key", "create", "org_developer", "--monthly-cap", "1")
	if key["monthly_cap"] != 1.0 {
		t.Errorf("%v", key)
	}
	theirs := i.with("MAGPIE_API_KEY", key.text("key"))
	theirs.must("lookup", "mobile-validation", "number=+44 20 7946 0018")
	r := theirs.magpie("lookup", "mobile-validation", "number=+41 44 668 18 01")
	if r.code != exitFailed || !strings.Contains(r.errors, "monthly cap of this API key (1 credits) leaves 0") || !strings.Contains(r.errors, "hint: an operator raises the key's monthly cap with: magpie admin key cap") {
		t.Errorf("%+v", r)
	}
	r = theirs.magpie("submit", i.file("phones.csv", "number\n+41 44 668 18 02\n"), "--service", "mobile-validation", "--watch")
	if r.code != exitPaused || !strings.Contains(r.errors, "magpie admin key cap ORG KEY CREDITS") {
		t.Errorf("%+v", r)
	}
	if out := i.must("admin", "key", "cap", "org_developer", key.text("id"), "2.5"); !strings.Contains(out, "at most 2.5 credits") {
		t.Errorf("%q", out)
	}
	if out := i.must("admin", "key", "list", "org_developer"); !strings.Contains(out, "at most 2.5 credits") || !strings.Contains(out, "no cap") {
		t.Errorf("%q", out)
	}
	if k := i.answer(exitDone, "admin", "key", "cap", "org_developer", key.text("id"), "none"); k["monthly_cap"] != nil {
		t.Errorf("%v", k)
	}
	theirs.must("lookup", "mobile-validation", "number=+41 44 668 18 01")
	for _, args := range [][]string{{"admin", "key", "cap", "org_developer"}, {"admin", "key", "cap", "org_developer", "key_x", "-2"}, {"admin", "key", "create", "org_developer", "--monthly-cap", "x"}} {
		if r := i.magpie(args...); r.code != exitUsage {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
