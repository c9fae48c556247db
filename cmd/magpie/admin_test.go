package main

import (
	"strings"
	"testing"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	org := i.answer(exitDone, "admin", "org", "create", "Acme\x1b]0;x\a Inc.")
	org.needs(t, "id", "name", "created_at")
	id := org.text("id")
	if out := i.must("admin", "org", "list"); !strings.Contains(out, id) || !strings.Contains(out, "org_developer") || strings.ContainsAny(out, "\x1b\a") {
		t.Errorf("organizations: %q", out)
	}
	if page := i.answer(exitDone, "admin", "org", "list", "--limit", "1"); page.text("next_cursor") == "" || len(page["data"].([]any)) != 1 {
		t.Errorf("%v", page)
	}

	key := i.answer(exitDone, "admin", "key", "create", id, "--name", "import")
	key.needs(t, "id", "name", "key", "hint", "created_at", "revoked_at")
	theirs := i.with("MAGPIE_API_KEY", key.text("key"))
	if account := theirs.answer(exitDone, "credits"); account["available"] != 0.0 {
		t.Errorf("a new organization has %v", account)
	}
	for range 2 { // the reference makes the second one the first
		g := i.answer(exitDone, "admin", "grant", id, "12.5", "--source", "adjustment", "--reference", "gift")
		g.needs(t, "id", "source", "granted", "remaining", "expires_at", "reference", "created_at")
	}
	if account := theirs.answer(exitDone, "credits"); account["available"] != 12.5 {
		t.Errorf("after the grant there are %v", account)
	}
	sub := i.answer(exitDone, "admin", "grant", id, "3", "--source", "subscription", "--expires-at", "2099-01-01T00:00:00Z")
	if sub.text("source") != "subscription" || sub.text("expires_at") != "2099-01-01T00:00:00Z" {
		t.Errorf("a subscription: %v", sub)
	}
	if out := theirs.must("credits"); !strings.Contains(out, "2099-01-01T00:00:00Z") || !strings.Contains(out, "never") {
		t.Errorf("credits: %q", out)
	}
	if out := i.must("admin", "audit", "--full"); !strings.Contains(out, id) || !strings.Contains(out, "adds up") || strings.Contains(out, "DIFFERS") {
		t.Errorf("audit: %q", out)
	}
	if page := i.answer(exitDone, "admin", "audit"); len(page["data"].([]any)) != 2 {
		t.Errorf("audit: %v", page)
	}
	if out := i.must("admin", "providers"); !strings.Contains(out, "hunter") || !strings.Contains(out, "prospeo") || !strings.Contains(out, "ok") {
		t.Errorf("providers: %q", out)
	}
	shown := i.answer(exitDone, "admin", "providers")["data"].([]any)
	object(shown[0].(map[string]any)).needs(t, "provider", "services", "condition", "until", "not_before", "processes", "in_flight", "per_second", "quotas",
		"calls", "held_back", "p50_seconds", "p95_seconds", "cost")
	if out := i.must("admin", "key", "create", id); !strings.Contains(out, "mgp_") || !strings.Contains(out, "command line") {
		t.Errorf("a key: %q", out)
	}
	if keys := i.answer(exitDone, "admin", "key", "list", id); len(keys["data"].([]any)) != 2 {
		t.Errorf("%v", keys)
	}
	if out := i.must("admin", "key", "list", id); !strings.Contains(out, "import") || strings.Contains(out, key.text("key")) {
		t.Errorf("keys: %q", out)
	}
	i.answer(exitDone, "admin", "key", "revoke", id, key.text("id")).needs(t, "id", "revoked")
	if r := theirs.magpie("credits"); r.code != exitFailed || !strings.Contains(r.errors, "unknown or was revoked") {
		t.Errorf("%+v", r)
	}
}
