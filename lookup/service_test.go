package lookup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
)

func TestParseService(t *testing.T) {
	t.Parallel()
	for _, want := range lookup.Services {
		if got, err := lookup.ParseService(string(want)); err != nil || got != want || !got.Known() {
			t.Errorf("ParseService(%s) = %s, %v", want, got, err)
		}
	}
	for _, name := range []string{"", "fax-finder", "Email-Finder", strings.Repeat("x", 1<<16)} {
		_, err := lookup.ParseService(name)
		if err == nil || !strings.Contains(err.Error(), "email-finder") || len(err.Error()) > 300 {
			t.Errorf("ParseService(%.20q): want a short error that lists the services, got %.80v", name, err)
		}
	}
}

// What a service needs is made of its own fields, and without any it is unusable.
func TestUsable(t *testing.T) {
	t.Parallel()
	for _, s := range lookup.Services {
		if len(s.QueryFields()) == 0 || len(s.ResultFields()) == 0 {
			t.Errorf("%s has no fields", s)
		}
		if ok, _ := s.Usable(s.QueryFields()); !ok {
			t.Errorf("%s is not usable with all its fields", s)
		}
		ok, needs := s.Usable(nil)
		if ok || !slices.ContainsFunc(s.QueryFields(), func(f string) bool { return strings.Contains(needs, f) }) {
			t.Errorf("%s: want the fields it needs, got %t, %q", s, ok, needs)
		}
	}
	if ok, _ := lookup.EmailFinder.Usable([]string{"first_name", "domain"}); ok {
		t.Error("a first name is not enough to find an email")
	}
}

func TestQuestionTellsFieldsApart(t *testing.T) {
	t.Parallel()
	query := func(service lookup.Service, f fields) lookup.Query { return lookup.Query{Service: service, Fields: f} }
	different := []lookup.Query{
		query(lookup.CompanyFinder, fields{"domain": "ab", "company_name": "c"}),
		query(lookup.CompanyFinder, fields{"domain": "a", "company_name": "bc"}),
		query(lookup.CompanyFinder, fields{"domain": "a\x00company_name\x001\x00c"}),
		query(lookup.JobsData, fields{"domain": "ab", "company_name": "c"}),
		query(lookup.CompanyFinder, nil),
	}
	seen := map[string]int{}
	for i, q := range different {
		s := q.Question().String()
		if before, ok := seen[s]; ok {
			t.Errorf("queries %d and %d are the same question", before, i)
		}
		seen[s] = i
		if len(s) != 36 || strings.Count(s, "-") != 4 {
			t.Errorf("a question is written like a UUID, got %s", s)
		}
	}
}

func TestQuestionComesBack(t *testing.T) {
	t.Parallel()
	want := lookup.Query{Service: lookup.EmailFinder, Fields: lookup.Fields{"email": "a@b.example"}}.Question()
	if got, err := lookup.ParseQuestion(want.String()); err != nil || got != want {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "x", want.String() + "00", want.String()[1:], "zz" + want.String()[2:]} {
		if _, err := lookup.ParseQuestion(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
