package demo_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers/v2"

	"github.com/magpie-hq/magpie/demo"
	"github.com/magpie-hq/magpie/lookup"
)

// read returns the rows beneath the wanted header.
func read(t *testing.T, file []byte, header ...string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rows[0], header) {
		t.Fatalf("header = %q, want %q", rows[0], header)
	}
	ids := map[string]bool{}
	for _, row := range rows[1:] {
		if ids[row[0]] {
			t.Errorf("row_id %s is there twice", row[0])
		}
		ids[row[0]] = true
	}
	return rows[1:]
}

func TestPhonesAreOfManyCountriesAndKinds(t *testing.T) {
	t.Parallel()
	rows := read(t, demo.Phones(), "row_id", "name", "phone", "country")
	countries, numbers := map[string]bool{}, map[string]int{}
	var valid, invalid, none int
	for _, row := range rows {
		q, err := lookup.Normalise(lookup.MobileValidation, map[string]string{"number": row[2], "country": row[3]}, lookup.Options{})
		if err != nil {
			none++
			continue
		}
		numbers[q.Get("number")]++
		number, err := phonenumbers.Parse(q.Get("number"), "")
		if err != nil || !phonenumbers.IsValidNumber(number) {
			invalid++
			continue
		}
		valid++
		countries[phonenumbers.GetRegionCodeForNumber(number)] = true
	}
	t.Logf("%d rows, %d countries, %d valid, %d invalid, %d without a number, %d different numbers",
		len(rows), len(countries), valid, invalid, none, len(numbers))
	for what, c := range map[string]struct{ got, least int }{
		"rows":                  {len(rows), 300},
		"countries":             {len(countries), 25},
		"valid numbers":         {valid, 280},
		"numbers not valid":     {invalid, 3},
		"rows without a number": {none, 10},
		"duplicates":            {valid + invalid - len(numbers), 20},
	} {
		if c.got < c.least {
			t.Errorf("%s: %d, want %d or more", what, c.got, c.least)
		}
	}
}

func TestPhonesAreWrittenInManyWays(t *testing.T) {
	t.Parallel()
	rows := read(t, demo.Phones(), "row_id", "name", "phone", "country")
	for name, written := range map[string]func(phone, country string) bool{
		"+ and spaces":      func(phone, _ string) bool { return strings.HasPrefix(phone, "+") && strings.Contains(phone, " ") },
		"dashes":            func(phone, _ string) bool { return strings.Contains(phone, "-") },
		"dots":              func(phone, _ string) bool { return strings.Count(phone, ".") > 2 },
		"brackets":          func(phone, _ string) bool { return strings.Contains(phone, "(0)") },
		"00":                func(phone, _ string) bool { return strings.HasPrefix(phone, "00") },
		"national form":     func(phone, country string) bool { return country != "" && strings.HasPrefix(phone, "0") },
		"an extension":      func(phone, _ string) bool { return strings.Contains(phone, "ext.") },
		"letters":           func(phone, _ string) bool { return strings.Contains(phone, "FLOWERS") },
		"a link":            func(phone, _ string) bool { return strings.HasPrefix(phone, "tel:") },
		"another script":    func(phone, _ string) bool { return strings.ContainsAny(phone, "٠١٢٣٤٥") },
		"white space":       func(phone, _ string) bool { return strings.Contains(phone, "\u00a0") },
		"country, lower":    func(_, country string) bool { return country == "de" || country == "fr" || country == "gb" },
		"nothing":           func(phone, _ string) bool { return phone == "" },
		"nothing of use":    func(phone, _ string) bool { return phone == "n/a" },
		"formula":           func(phone, _ string) bool { return strings.HasPrefix(phone, "=") },
		"more than a phone": func(phone, _ string) bool { return strings.Contains(phone, " / ") },
	} {
		if !slices.ContainsFunc(rows, func(row []string) bool { return written(row[2], row[3]) }) {
			t.Errorf("%s: no row is written so", name)
		}
	}
}

func TestPhonesAreACopy(t *testing.T) {
	t.Parallel()
	demo.Phones()[0] = 'X'
	if demo.Phones()[0] != 'r' {
		t.Error("changing one copy changed the next")
	}
}

func TestPeopleHaveTheirShareOfDuplicatesAndInvalidRows(t *testing.T) {
	t.Parallel()
	const n = 2000
	for _, seed := range []int64{0, 1, -42} {
		invalid, duplicates, companies := surveyPeople(t, demo.People(n, seed))
		if invalid < n/200 || invalid > n*2/100 {
			t.Errorf("seed %d: %d invalid rows of %d, want about 1 %%", seed, invalid, n)
		}
		if duplicates < n/100 || duplicates > n*3/100 {
			t.Errorf("seed %d: %d duplicates of %d, want about 2 %%", seed, duplicates, n)
		}
		if len(companies) < 200 {
			t.Errorf("seed %d: %d companies, want a few hundred", seed, len(companies))
		}
		for domain := range companies {
			if !strings.HasSuffix(domain, ".example") && !strings.HasSuffix(domain, ".test") {
				t.Errorf("seed %d: %s could belong to somebody", seed, domain)
			}
		}
	}
}

// surveyPeople counts the rows that ask nothing, those that ask again what an
// earlier one asked, and the rows of each company.
func surveyPeople(t *testing.T, file []byte) (invalid, duplicates int, companies map[string]int) {
	t.Helper()
	asked, companies := map[lookup.Question]bool{}, map[string]int{}
	for _, row := range read(t, file, "row_id", "First Name", "Last Name", "Company Domain") {
		q, err := lookup.Normalise(lookup.EmailFinder,
			map[string]string{"first_name": row[1], "last_name": row[2], "domain": row[3]}, lookup.Options{})
		if err != nil {
			invalid++
			continue
		}
		if asked[q.Question()] {
			duplicates++
		}
		asked[q.Question()] = true
		companies[q.Get("domain")]++
	}
	return invalid, duplicates, companies
}

func TestPeopleAreTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	if rows := bytes.Count(demo.People(500, 7), []byte("\n")); rows != 501 {
		t.Errorf("%d lines, want a header and 500", rows)
	}
	first := demo.People(500, 7)
	if !bytes.Equal(first, demo.People(500, 7)) {
		t.Error("the same seed gave another file")
	}
	if bytes.Equal(first, demo.People(500, 8)) {
		t.Error("another seed gave the same file")
	}
	if !bytes.HasPrefix(demo.People(600, 7), first) {
		t.Error("a longer file does not begin like a shorter one")
	}
	if rows := read(t, demo.People(0, 7), "row_id", "First Name", "Last Name", "Company Domain"); len(rows) != 0 {
		t.Errorf("%d rows, want none", len(rows))
	}
}
