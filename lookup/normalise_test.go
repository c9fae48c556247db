package lookup_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/magpie-hq/magpie/lookup"
)

type fields = map[string]string

// Every spelling of a case is the same question, and its normal form is want.
func TestNormaliseSpellings(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		service   lookup.Service
		want      fields
		spellings []fields
	}{
		{
			"person at a domain", lookup.EmailFinder,
			fields{"first_name": "jose", "last_name": "o'brien-smith", "domain": "acme.com"},
			[]fields{
				{"first_name": "jose", "last_name": "o'brien-smith", "domain": "acme.com"},
				{"first_name": " José ", "last_name": "O’Brien–Smith", "domain": "https://www.ACME.com/about?utm_source=x"},
				{"first_name": "JOSE\u0301", "last_name": "O`BRIEN-SMITH", "domain": "acme.com."},
				{"full_name": "José  O'Brien-Smith", "domain": "//acme.com"},
				{"full_name": "O'Brien-Smith, José", "domain": "jane@acme.com"},
				{"full_name": "José O´Brien-Smith, Ph.D.", "domain": "http://acme.com:8080/"},
				{"full_name": "José O'Brien-Smith, MBA, PMP", "domain": "www.acme.com", "company_name": "Acme Inc."},
				{"full_name": "Somebody Else Entirely", "first_name": "José", "last_name": "O'Brien-Smith", "domain": "acme.com"},
				{"last_name": "Smith", "full_name": "José O'Brien-Smith", "domain": "acme.com", "colour": "red"},
			},
		},
		{
			"person at a company", lookup.EmailFinder,
			fields{"full_name": "anna maria grosse", "company_name": "uber & sohne"},
			[]fields{
				{"full_name": "Anna Maria Große", "company_name": "Über & Söhne"},
				{"full_name": "GROẞE, Anna\u00a0Maria", "company_name": "ÜBER  & SÖHNE", "domain": "n/a"},
			},
		},
		{
			"names in other scripts keep their vowels", lookup.EmailFinder,
			fields{"first_name": "がく", "last_name": "कुमार", "domain": "xn--bcher-kva.example"},
			[]fields{
				{"first_name": "がく", "last_name": "कुमार", "domain": "Bücher.example"},
				{"first_name": "か\u3099く", "last_name": "कुमार\u200b", "domain": "www.xn--bcher-kva.example"},
			},
		},
		{
			"what is no name is left out", lookup.EmailFinder,
			fields{"first_name": "jane", "last_name": "doe", "domain": "acme.com"},
			[]fields{{"full_name": "Jane - Doe (2)", "domain": "acme.com"}, {"full_name": "Doe, Jane", "first_name": "?", "last_name": "1", "domain": "acme.com"}},
		},
		{
			"address", lookup.EmailValidation,
			fields{"email": "jane.doe@example.com"},
			[]fields{
				{"email": "jane.doe@example.com"},
				{"email": " Jane.Doe@EXAMPLE.com. "},
				{"email": "mailto:jane.doe@example.com"},
				{"email": "Jane Doe <jane.doe@example.com>"},
			},
		},
		{
			"a host of mail keeps its www", lookup.EmailValidation,
			fields{"email": "jane@www.example.com"},
			[]fields{{"email": "jane@www.example.com"}},
		},
		{
			"mobile by profile", lookup.MobileFinder,
			fields{"profile_url": "linkedin.com/in/jane-doe"},
			[]fields{
				{"profile_url": "https://www.linkedin.com/in/jane-doe"},
				{"profile_url": "linkedin.com/in/Jane-Doe/?utm_source=x&originalSubdomain=fr#about"},
				{"profile_url": "http://fr.linkedin.com/in/jane-doe/en", "work_email": "jane@acme.com"},
				{"profile_url": "//www.linkedin.com//in/jane-doe/details/experience/"},
			},
		},
		{
			"mobile by the first usable key", lookup.MobileFinder,
			fields{"work_email": "jane@acme.com"},
			[]fields{
				{"work_email": "jane@acme.com"},
				{"work_email": "JANE@acme.com", "personal_email": "jane@home.example"},
				{"profile_url": "none", "work_email": "jane@acme.com"},
			},
		},
		{
			"profile with accents", lookup.ProfileSearch,
			fields{"profile_url": "linkedin.com/in/jos%C3%A9-p%C3%A9rez"},
			[]fields{
				{"profile_url": "https://linkedin.com/in/josé-pérez"},
				{"profile_url": "https://www.linkedin.com/in/jos%C3%A9-p%c3%a9rez/"},
			},
		},
		{
			"a member's opaque id", lookup.ProfileSearch,
			fields{"profile_url": "linkedin.com/in/ACoAAB1cDeF"},
			[]fields{{"profile_url": "https://www.linkedin.com/in/ACoAAB1cDeF/"}},
		},
		{
			"a page told apart by its id", lookup.ProfileSearch,
			fields{"profile_url": "linkedin.com/profile/view?id=42"},
			[]fields{{"profile_url": "https://www.linkedin.com/profile/view?id=42&trk=x"}},
		},
		{
			"company by domain", lookup.CompanyFinder,
			fields{"domain": "acme.co.uk"},
			[]fields{
				{"domain": "acme.co.uk"},
				{"domain": "HTTPS://WWW.ACME.CO.UK/team", "company_name": "Acme", "profile_url": "linkedin.com/company/acme"},
			},
		},
		{
			"company by the first usable key", lookup.CompanyFinder,
			fields{"company_name": "acme"},
			[]fields{
				{"company_name": "ACMÉ"},
				{"company_name": "Acme", "domain": "?", "profile_url": "https://www.linkedin.com/"},
			},
		},
		{
			"company by page", lookup.CompanyFinder,
			fields{"profile_url": "linkedin.com/company/acme"},
			[]fields{{"profile_url": "https://www.linkedin.com/company/Acme/about/", "company_name": "Acme"}},
		},
		{
			"jobs", lookup.JobsData,
			fields{"company_domain": "acme.com", "title": "ingenieur", "remote": "true", "posted_after": "2026-11-01"},
			[]fields{
				{"company_domain": "acme.com", "title": "Ingénieur", "remote": "yes", "posted_after": "2026-11-01"},
				{"company_domain": "acme.com", "company_name": "Acme", "title": "INGÉNIEUR", "remote": "TRUE", "posted_after": "2026-11-01T23:30:00Z"},
			},
		},
		{
			"jobs of a company without a domain", lookup.JobsData,
			fields{"company_name": "acme", "remote": "false"},
			[]fields{{"company_name": "Acme", "remote": "no"}, {"company_name": "acme", "company_domain": "-", "remote": "0"}},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, spelling := range c.spellings {
				q, err := lookup.Normalise(c.service, spelling, lookup.Options{})
				if err != nil {
					t.Errorf("Normalise(%v): %v", spelling, err)
					continue
				}
				if !maps.Equal(q.Fields, c.want) {
					t.Errorf("Normalise(%v) = %v, want %v", spelling, q.Fields, c.want)
				}
				want := lookup.Query{Service: c.service, Fields: c.want}
				if q.Question() != want.Question() {
					t.Errorf("%v is another question than %v", spelling, c.want)
				}
			}
		})
	}
}

func TestNormaliseNumbers(t *testing.T) {
	t.Parallel()
	cases := []struct{ number, country, want string }{
		{"+33 6 12 34 56 78", "", "+33612345678"},
		{"0033 6 12 34 56 78", "", "+33612345678"},
		{"(00)33 612345678", "", "+33612345678"},
		{"0033(0)612345678", "", "+33612345678"},
		{"+33 (0)6-12-34-56-78", "", "+33612345678"},
		{"+33\u00a06\u202f12\u201134\u200b5678", "", "+33612345678"},
		{"tel:+33-6-12-34-56-78", "", "+33612345678"},
		{"'+33612345678", "", "+33612345678"},
		{"+33612345678", "Narnia", "+33612345678"},
		{"06.12.34.56.78", "FR", "+33612345678"},
		{"06 12 34 56 78", "fra", "+33612345678"},
		{"06/12/34/56/78", "Frankreich", "+33612345678"},
		{"33612345678", "francia", "+33612345678"},
		{"0612345678", "+33", "+33612345678"},
		{"0612345678", "0033", "+33612345678"},
		{"０６１２３４５６７８", "France", "+33612345678"},
		{"011 33 6 12 34 56 78", "US", "+33612345678"},
		{"0033612345678", "US", "+33612345678"},
		{"+39 06 1234 5678", "", "+390612345678"},
		{"07911 123456", "U.K.", "+447911123456"},
		{"+1 (212) 555-0123 ext. 45", "", "+12125550123"},
		{"212-555-0123 x45", "United States", "+12125550123"},
		{"1-800-FLOWERS", "USA", "+18003569377"},
		{"001 1 212 555 0123", "KR", "+12125550123"},
		{"phone: +49 (0)30 123456", "", "+4930123456"},
	}
	for _, c := range cases {
		q, err := lookup.Normalise(lookup.MobileValidation, fields{"number": c.number, "country": c.country}, lookup.Options{})
		if err != nil || q.Get("number") != c.want || len(q.Fields) != 1 {
			t.Errorf("Normalise(%q, %q) = %v, %v, want %s", c.number, c.country, q.Fields, err, c.want)
		}
	}
}

func TestNormaliseRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		service     lookup.Service
		given       fields
		field, code string
	}{
		{"fax-finder", fields{"number": "1"}, "service", "invalid_value"},
		{lookup.EmailFinder, fields{}, "full_name", "missing_field"},
		{lookup.EmailFinder, fields{"full_name": " - ", "domain": "acme.com"}, "full_name", "missing_field"},
		{lookup.EmailFinder, fields{"full_name": "Cher", "domain": "acme.com"}, "full_name", "invalid_name"},
		{lookup.EmailFinder, fields{"first_name": "Jane", "domain": "acme.com"}, "last_name", "missing_field"},
		{lookup.EmailFinder, fields{"last_name": "Doe", "domain": "acme.com"}, "first_name", "missing_field"},
		{lookup.EmailFinder, fields{"full_name": "Jane Doe"}, "domain", "missing_field"},
		{lookup.EmailFinder, fields{"full_name": "Jane Doe", "domain": "acme"}, "domain", "invalid_domain"},
		{lookup.EmailValidation, fields{}, "email", "missing_field"},
		{lookup.EmailValidation, fields{"email": "jane"}, "email", "invalid_email"},
		{lookup.EmailValidation, fields{"email": "@acme.com"}, "email", "invalid_email"},
		{lookup.EmailValidation, fields{"email": "jane@acme"}, "email", "invalid_email"},
		{lookup.EmailValidation, fields{"email": "jane@acme.com/x"}, "email", "invalid_email"},
		{lookup.EmailValidation, fields{"email": "a@b.com, c@d.com"}, "email", "invalid_email"},
		{lookup.EmailValidation, fields{"email": "ja\x00ne@acme.com"}, "email", "invalid_email"},
		{lookup.MobileFinder, fields{"email": "jane@acme.com"}, "profile_url", "missing_field"},
		{lookup.MobileFinder, fields{"work_email": "jane", "personal_email": "x"}, "work_email", "invalid_email"},
		{lookup.MobileValidation, fields{"country": "FR"}, "number", "missing_field"},
		{lookup.MobileValidation, fields{"number": "call me"}, "number", "invalid_number"},
		{lookup.MobileValidation, fields{"number": "call me", "country": "US"}, "number", "invalid_number"},
		{lookup.MobileValidation, fields{"number": "0612345678"}, "number", "invalid_number"},
		{lookup.MobileValidation, fields{"number": "3.36E+11", "country": "FR"}, "number", "invalid_number"},
		{lookup.MobileValidation, fields{"number": "+999 123456"}, "number", "invalid_number"},
		{lookup.MobileValidation, fields{"number": "0612345678", "country": "Narnia"}, "country", "invalid_country"},
		{lookup.ProfileSearch, fields{}, "profile_url", "missing_field"},
		{lookup.ProfileSearch, fields{"profile_url": "https://www.linkedin.com/"}, "profile_url", "invalid_url"},
		{lookup.ProfileSearch, fields{"profile_url": "https://localhost/in/jane"}, "profile_url", "invalid_url"},
		{lookup.ProfileSearch, fields{"profile_url": "http://[::1"}, "profile_url", "invalid_url"},
		{lookup.CompanyFinder, fields{}, "domain", "missing_field"},
		{lookup.CompanyFinder, fields{"domain": "192.0.2.1"}, "domain", "invalid_domain"},
		{lookup.CompanyFinder, fields{"company_name": "--"}, "company_name", "invalid_name"},
		{lookup.JobsData, fields{"title": "Engineer"}, "company_domain", "missing_field"},
		{lookup.JobsData, fields{"company_name": "Acme", "remote": "perhaps"}, "remote", "invalid_value"},
		{lookup.JobsData, fields{"company_name": "Acme", "posted_after": "last week"}, "posted_after", "invalid_value"},
	}
	for _, c := range cases {
		_, err := lookup.Normalise(c.service, c.given, lookup.Options{})
		var input *lookup.InputError
		if !errors.As(err, &input) || input.Field != c.field || input.Code != c.code || input.Detail == "" {
			t.Errorf("Normalise(%s, %v) = %v, want %s on %s", c.service, c.given, err, c.code, c.field)
		}
	}
}

func TestOptionsArePartOfTheQuestionOnlyWhereTheyMatter(t *testing.T) {
	t.Parallel()
	ask := func(service lookup.Service, given fields, catchAll bool) lookup.Question {
		q, err := lookup.Normalise(service, given, lookup.Options{AcceptCatchAll: catchAll})
		if err != nil {
			t.Fatal(err)
		}
		return q.Question()
	}
	person := fields{"full_name": "Jane Doe", "domain": "acme.com"}
	if ask(lookup.EmailFinder, person, true) == ask(lookup.EmailFinder, person, false) {
		t.Error("an email finder's catch-all option makes another question")
	}
	address := fields{"email": "jane@acme.com"}
	if ask(lookup.EmailValidation, address, true) != ask(lookup.EmailValidation, address, false) {
		t.Error("an option that says nothing must not make another question")
	}
}

// Normalising a normal form changes nothing; whatever the input, it either is
// a query or says by field why not.
func FuzzNormalise(f *testing.F) {
	f.Add(0, "José", "O’Brien, Jr.", "www.acme.com", "Acme")
	f.Add(3, "0033 6 12 34 56 78", "FR", "", "")
	f.Add(2, "https://fr.linkedin.com/in/jos%C3%A9/?id=1", "Jane <jane@acme.com>", "x", "")
	f.Add(6, "acme.com", "Acme", "Ingénieur", "2026-11-22")
	f.Fuzz(func(t *testing.T, n int, a, b, c, d string) {
		service := lookup.Services[uint(n)%uint(len(lookup.Services))]
		given, values := fields{}, []string{a, b, c, d}
		for i, field := range service.QueryFields() {
			given[field] = values[i%len(values)]
		}
		q, err := lookup.Normalise(service, given, lookup.Options{})
		if err != nil {
			var input *lookup.InputError
			if !errors.As(err, &input) || input.Field == "" || input.Code == "" || input.Detail == "" {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		again, err := lookup.Normalise(service, q.Fields, lookup.Options{})
		if err != nil || again.Question() != q.Question() {
			t.Fatalf("normalising %q gives %q, %v", q.Fields, again.Fields, err)
		}
		if ok, _ := service.Usable(keys(q.Fields)); !ok {
			t.Fatalf("the query %q is not usable", q.Fields)
		}
	})
}

func keys(f lookup.Fields) (names []string) {
	for name := range f {
		names = append(names, name)
	}
	return names
}
