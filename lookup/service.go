package lookup

import (
	"fmt"
	"slices"
	"strings"
)

// Service is a kind of question that customers can ask.
type Service string

// The seven services.
const (
	EmailFinder      Service = "email-finder"
	EmailValidation  Service = "email-validation"
	MobileFinder     Service = "mobile-finder"
	MobileValidation Service = "mobile-validation"
	ProfileSearch    Service = "profile-search"
	CompanyFinder    Service = "company-finder"
	JobsData         Service = "jobs-data"
)

// Services lists every service, in the order of the price list.
var Services = []Service{
	EmailFinder, EmailValidation, MobileFinder, MobileValidation, ProfileSearch, CompanyFinder, JobsData,
}

// ParseService reads a service's name. The error lists the names there are.
func ParseService(s string) (Service, error) {
	if slices.Contains(Services, Service(s)) {
		return Service(s), nil
	}
	names := make([]string, len(Services))
	for i, known := range Services {
		names[i] = string(known)
	}
	return "", fmt.Errorf("there is no service %q; want one of %s", clip(s), strings.Join(names, ", "))
}

// Known reports whether s is one of the seven services.
func (s Service) Known() bool { return slices.Contains(Services, s) }

// QueryFields are the fields that a query of this service may have, in the
// order in which people fill them in.
func (s Service) QueryFields() []string { return shapes[s].query }

// ResultFields are the fields a result of this service can have, in the order
// of the columns of a CSV download.
func (s Service) ResultFields() []string { return shapes[s].result }

// Usable reports whether a file whose columns cover the given fields could
// answer at least one query, and if not, says what is needed.
func (s Service) Usable(fields []string) (ok bool, needs string) {
	shape := shapes[s]
	for _, alternative := range shape.needs {
		if covers(fields, alternative) {
			return true, ""
		}
	}
	return false, shape.needsText
}

func covers(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// shape is what a service's queries and results look like.
type shape struct {
	query, result []string
	needs         [][]string // any one of these sets of fields makes a query
	needsText     string     // the same, for people
}

var shapes = map[Service]shape{
	EmailFinder: {
		query:  []string{"first_name", "last_name", "full_name", "domain", "company_name"},
		result: []string{"email", "status", "domain", "mx_provider", "score"},
		needs: [][]string{
			{"first_name", "last_name", "domain"}, {"first_name", "last_name", "company_name"},
			{"full_name", "domain"}, {"full_name", "company_name"},
		},
		needsText: "first_name and last_name (or full_name), and domain or company_name",
	},
	EmailValidation: {
		query:     []string{"email"},
		result:    []string{"email", "email_status", "reason", "mx_record", "mx_provider", "is_disposable", "is_role", "is_free"},
		needs:     [][]string{{"email"}},
		needsText: "email",
	},
	MobileFinder: {
		query:     []string{"profile_url", "work_email", "personal_email"},
		result:    []string{"mobile_number"},
		needs:     [][]string{{"profile_url"}, {"work_email"}, {"personal_email"}},
		needsText: "profile_url, work_email or personal_email",
	},
	MobileValidation: {
		query:     []string{"number", "country"},
		result:    []string{"number", "valid", "country", "line_type", "carrier", "confirmed"},
		needs:     [][]string{{"number"}},
		needsText: "number",
	},
	ProfileSearch: {
		query:     []string{"profile_url"},
		result:    []string{"full_name", "first_name", "last_name", "headline", "company_name", "location", "experience", "education"},
		needs:     [][]string{{"profile_url"}},
		needsText: "profile_url",
	},
	CompanyFinder: {
		query:     []string{"domain", "company_name", "profile_url"},
		result:    []string{"name", "domain", "industry", "employee_count", "employee_range", "headquarters", "founded"},
		needs:     [][]string{{"domain"}, {"company_name"}, {"profile_url"}},
		needsText: "domain, company_name or profile_url",
	},
	JobsData: {
		query:     []string{"company_domain", "company_name", "title", "location", "remote", "posted_after"},
		result:    []string{"postings"},
		needs:     [][]string{{"company_domain"}, {"company_name"}},
		needsText: "company_domain or company_name",
	},
}

// clip keeps a value that goes into an error message short.
func clip(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
