package main

import (
	"regexp"
	"strings"
	"testing"
)

// anyLine is what a line on stderr looks like.
var anyLine = regexp.MustCompile(`(?m)^(error|warning|hint): .*\n`)

// Every mistake is answered on stderr alone, with what is wrong and what to try.
func TestMistakes(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	people := i.file("people.csv", "First Name,Last Name,Domain\nJane,Doe,acme.example\n")
	cases := []struct {
		args  string
		code  int
		wants []string // on stderr
	}{
		{"sumbit", exitUsage, []string{`error: there is no command "sumbit"`, "hint: try: magpie submit"}},
		{"frobnicate", exitUsage, []string{"hint: try: magpie help"}},
		{"help frobnicate", exitUsage, []string{"there is no command"}},
		{"submit", exitUsage, []string{"error: the file to submit is missing", "hint: try: magpie submit people.csv"}},
		{"submit FILE", exitUsage, []string{"error: the service is missing", "--service email-finder"}},
		{"submit FILE more --service email-finder", exitUsage, []string{"an argument too many"}},
		{"submit FILE --service email-findr", exitUsage, []string{"there is no service", "hint: try: magpie submit", "--service email-finder"}},
		{"submit FILE --servce email-finder", exitUsage, []string{"no flag --servce; did you mean --service?", "magpie help submit"}},
		{"submit FILE --service", exitUsage, []string{"the flag --service needs a value"}},
		{"submit nowhere.csv --service email-finder", exitUsage, []string{`"nowhere.csv" cannot be read`}},
		{"submit DIR --service email-finder", exitUsage, []string{"it is a folder"}},
		{"submit FILE --service email-finder --format xlsx", exitUsage, []string{`--format is "xlsx"`}},
		{"submit FILE --service email-finder --mapping first_name", exitUsage, []string{"want FIELD=COLUMN"}},
		{"submit FILE --service email-finder --mapping first_nam=x", exitUsage, []string{`has no field "first_nam"`, "first_name=x"}},
		{"submit FILE --service email-finder --max-credits=", exitUsage, []string{"--max-credits is empty, want more than 0, or none"}},
		{"submit FILE --service mobile-validation", exitFailed, []string{"error: ", "number"}},
		{"submit FILE --service company-finder", exitFailed, []string{"no provider is configured for company-finder"}},
		{"watch", exitUsage, []string{"the batch's id is missing", "magpie batches"}},
		{"watch a b", exitUsage, []string{`an argument too many: "b"`}},
		{"watch bat_unknown", exitFailed, []string{"error: there is no such object", "hint: try: magpie batches"}},
		{"pause", exitUsage, []string{"hint: try: magpie pause ID"}},
		{"cancel bat_unknown", exitFailed, []string{"no such object"}},
		{"results", exitUsage, []string{"the batch's id is missing"}},
		{"results bat_unknown", exitFailed, []string{"no such object"}},
		{"results bat_unknown --format xlsx", exitUsage, []string{"want ndjson or csv"}},
		{"results bat_unknown --outcome fund", exitUsage, []string{"--outcome found"}},
		{"results bat_unknown --format csv --json", exitUsage, []string{"exclude each other"}},
		{"batches x", exitUsage, []string{"an argument too many"}},
		{"batches --status done", exitUsage, []string{`--status is "done"`}},
		{"batches --limit 0", exitUsage, []string{"want 1 to 200"}},
		{"batches --limit many", exitUsage, []string{"--limit"}},
		{"lookup", exitUsage, []string{"the service is missing", "try: magpie lookup email-finder first_name=Jane"}},
		{"lookup mobile-findr", exitUsage, []string{"there is no service", "try: magpie lookup mobile-finder work_email="}},
		{"lookup email-finder", exitUsage, []string{"email-finder needs first_name and last_name", "try: magpie lookup email-finder first_name=Jane"}},
		{"lookup email-finder Jane", exitUsage, []string{`"Jane" is not FIELD=VALUE`}},
		{"lookup email-finder domian=acme.example", exitUsage, []string{`no field "domian"`, "domain=acme.example"}},
		{"lookup mobile-validation number=1 number=2", exitUsage, []string{"more than once"}},
		{"lookup mobile-validation number=hello", exitFailed, []string{"error: number: "}},
		{"lookup email-validation email=a@b", exitFailed, []string{"error: email: "}},
		{"lookup profile-search profile_url=https://www.linkedin.com/in/jane", exitFailed, []string{"no provider is configured"}},
		{"credits now", exitUsage, []string{"an argument too many"}},
		{"admin", exitUsage, []string{"org, key, grant, audit, providers"}},
		{"admin ogr", exitUsage, []string{"hint: try: magpie admin org"}},
		{"admin adit", exitUsage, []string{"hint: try: magpie admin audit"}},
		{"admin frobnicate", exitUsage, []string{"hint: try: magpie help admin\n"}},
		{"admin org frobnicate", exitUsage, []string{"hint: try: magpie help admin org\n"}},
		{"admin org", exitUsage, []string{"create, list"}},
		{"admin org lst", exitUsage, []string{"magpie admin org list"}},
		{"admin org create", exitUsage, []string{"the organization's name is missing"}},
		{"admin org list --limit 999", exitUsage, []string{"want 1 to 200"}},
		{"admin key create", exitUsage, []string{"the organization's id is missing"}},
		{"admin key create org_unknown", exitFailed, []string{"no such object", "magpie admin org list"}},
		{"admin key revoke org_developer", exitUsage, []string{"is missing"}},
		{"admin key revoke org_developer mgp_secret", exitUsage, []string{"its id is needed"}},
		{"admin key cap org_developer mgp_secret 5", exitUsage, []string{"its id is needed"}},
		{"admin key create org_developer --monthly-cap=", exitUsage, []string{"--monthly-cap is empty"}},
		{"admin grant org_developer", exitUsage, []string{"number of credits is missing"}},
		{"admin grant org_developer 1 --source subscription", exitUsage, []string{"--expires-at is missing"}},
		{"admin grant org_developer 1 --expires-at 2036-12-31T23:59:59Z", exitUsage, []string{"purchase, which never expires"}},
		{"admin grant org_developer -5", exitUsage, []string{"want more than 0"}},
		{"admin grant org_developer many", exitUsage, []string{"want a number of credits"}},
		{"admin grant org_developer 1 --source theft", exitUsage, []string{"want purchase, adjustment or subscription"}},
		{"admin grant org_unknown 1", exitFailed, []string{"no such object"}},
		{"demo now", exitUsage, []string{"an argument too many"}},
		{"dev now", exitUsage, []string{"an argument too many"}},
		{"dev --addr 8080", exitUsage, []string{"want host:port"}},
		{"dev --dir=", exitUsage, []string{"--dir is empty"}},
		{"simulate --addr x", exitUsage, []string{"want host:port"}},
		{"simulate --fault hunter", exitUsage, []string{"vendor:fault=share"}},
		{"simulate --fault hunter:bad_luck=1", exitUsage, []string{"no fault"}},
		{"simulate --fault huntr:html=1", exitUsage, []string{`no vendor "huntr"; want one of hunter, `}},
		{"simulate --fault hunter:html=2", exitUsage, []string{"error: the configuration is wrong: ", "\nerror: Hunter.Faults add up to 2"}},
		{"simulate --seed one", exitUsage, []string{"--seed"}},
		{"simulate --config nowhere.json", exitUsage, []string{"cannot be read"}},
		{"version 2", exitUsage, []string{"an argument too many"}},
	}
	for _, c := range cases {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(c.args)
			for n, arg := range args {
				args[n] = strings.NewReplacer("FILE", people, "DIR", i.dir).Replace(arg)
			}
			wants := append([]string{"error: "}, c.wants...)
			if c.code == exitUsage {
				wants = append(wants, "hint: try: magpie ")
			}
			i.magpie(args...).refuses(t, c.code, wants)
		})
	}
}

// refuses checks that a command ended with code, said nothing on stdout, and
// what it should on stderr.
func (r result) refuses(t *testing.T, code int, wants []string) {
	t.Helper()
	if r.code != code || r.out != "" {
		t.Errorf("ended with %d, want %d; stdout is %q", r.code, code, r.out)
	}
	for _, want := range wants {
		if !strings.Contains(r.errors, want) {
			t.Errorf("stderr lacks %q:\n%s", want, r.errors)
		}
	}
	if strange := anyLine.ReplaceAllString(r.errors, ""); strange != "" {
		t.Errorf("stderr has lines of no known kind: %q", strange)
	}
}

func TestKeysAndAddresses(t *testing.T) {
	t.Parallel()
	i := install(t, plenty)
	cases := []struct {
		name, variable, value, args string
		code                        int
		wants                       string
	}{
		{"no key", "MAGPIE_API_KEY", "", "credits", exitUsage, "MAGPIE_API_KEY is not set"},
		{"no administrator's key", "MAGPIE_ADMIN_KEY", "", "admin org list", exitUsage, "MAGPIE_ADMIN_KEY is not set"},
		{"a wrong key", "MAGPIE_API_KEY", "mgp_wrong", "credits", exitFailed, "hint: check MAGPIE_API_KEY"},
		{"a wrong key, with a file", "MAGPIE_API_KEY", "mgp_wrong", "submit FILE --service mobile-validation", exitFailed, "the API key is unknown"},
		{"a wrong administrator's key", "MAGPIE_ADMIN_KEY", "mga_wrong", "admin org list", exitFailed, "hint: check MAGPIE_ADMIN_KEY; it is the setting ADMIN_KEY"},
		{"a customer's key", "MAGPIE_ADMIN_KEY", i.vars["MAGPIE_API_KEY"], "admin org list", exitFailed, "hint: admin commands use MAGPIE_ADMIN_KEY"},
		{"the administrator's key", "MAGPIE_API_KEY", i.vars["MAGPIE_ADMIN_KEY"], "credits", exitFailed, "not the administrator's"},
		{"no address", "MAGPIE_URL", "localhost:8080", "credits", exitUsage, "export MAGPIE_URL=http://"},
		{"an address without http://", "MAGPIE_URL", "127.0.0.1:8080", "credits", exitUsage, "it begins with http:// or https://"},
		{"nobody there", "MAGPIE_URL", "http://127.0.0.1:1", "credits", exitFailed, "hint: start a server with 'magpie dev'"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(strings.ReplaceAll(c.args, "FILE", i.file("phones.csv", strings.Repeat(phones, 20_000))))
			r := i.with(c.variable, c.value).magpie(args...)
			if r.code != c.code || r.out != "" || !strings.Contains(r.errors, c.wants) || !strings.Contains(r.errors, "hint: ") {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	i := nowhere(t)
	if r := i.magpie(); r.code != exitUsage || r.out != "" || !strings.Contains(r.errors, "Commands:") {
		t.Errorf("without arguments: %+v", r)
	}
	overview := i.must("help")
	for _, c := range commands() {
		if !strings.Contains(overview, "  "+c.name+" ") {
			t.Errorf("the overview lacks %s", c.name)
		}
		words := strings.Fields(c.name)
		text := i.must(append([]string{"help"}, words...)...)
		_, example, ok := strings.Cut(text, "\nExample:\n  magpie "+c.name)
		if !ok || strings.Count(strings.TrimSpace(example), "\n") > 0 {
			t.Errorf("%s: its help does not end in an example:\n%s", c.name, text)
		}
		if i.must(append(words, "--help")...) != text {
			t.Errorf("%s --help is another text", c.name)
		}
		for line := range strings.Lines(text) {
			if len([]rune(line)) > 90 {
				t.Errorf("%s: a line is too long: %s", c.name, line)
			}
		}
	}
	if out := i.must("admin", "--help"); out != i.must("help", "admin") || !strings.Contains(out, "Example:\n  magpie admin org list") {
		t.Errorf("help admin: %q", out)
	}
	i.answer(exitDone, "version").needs(t, "version", "commit", "go")
	if out := i.must("--version"); !strings.HasPrefix(out, "magpie ") {
		t.Errorf("version: %q", out)
	}
}
