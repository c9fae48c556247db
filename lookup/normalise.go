package lookup

import (
	"maps"
	"strings"
	"time"
	"unicode"
)

// Normalise turns the fields as a customer gave them into the query they mean.
// Fields that the service does not know are ignored (a row may carry any
// columns). The error, if any, is an [*InputError].
func Normalise(service Service, given map[string]string, options Options) (Query, error) {
	normalise, known := normalisers[service]
	if !known {
		return Query{}, &InputError{"service", "invalid_value", "there is no such service; want one of the seven"}
	}
	if service != EmailFinder {
		options.AcceptCatchAll = false // says nothing here, so it makes no other question
	}
	q := Query{Service: service, Fields: Fields{}, Options: options}
	for _, field := range service.QueryFields() {
		if v := strings.TrimSpace(given[field]); v != "" {
			q.Fields[field] = v
		}
	}
	if err := normalise(q.Fields); err != nil {
		return Query{}, err
	}
	return q, nil
}

// normalisers rewrite a query's fields in place into normal form.
var normalisers = map[Service]func(f Fields) error{
	EmailFinder:      normaliseEmailFinder,
	EmailValidation:  normaliseEmailValidation,
	MobileFinder:     normaliseMobileFinder,
	MobileValidation: normaliseMobileValidation,
	ProfileSearch:    normaliseProfileSearch,
	CompanyFinder:    normaliseCompanyFinder,
	JobsData:         normaliseJobsData,
}

func normaliseEmailFinder(f Fields) error {
	for _, name := range []string{"first_name", "last_name", "full_name", "company_name"} {
		replace(f, name, Fold)
	}
	if err := normaliseName(f); err != nil {
		return err
	}
	if f["domain"] == "" && f["company_name"] == "" {
		return &InputError{"domain", "missing_field", "there is no company; give domain or company_name"}
	}
	if err := replaceDomain(f, "domain"); err != nil {
		if f["company_name"] == "" {
			return err
		}
		delete(f, "domain")
	}
	if f["domain"] != "" {
		delete(f, "company_name") // the domain says it exactly
	}
	return nil
}

// normaliseName leaves either first_name and last_name, or full_name.
func normaliseName(f Fields) error {
	replace(f, "first_name", named)
	replace(f, "last_name", named)
	replace(f, "full_name", givenNameFirst)
	words := strings.Fields(f["full_name"])
	if len(words) == 2 && (f["first_name"] == "" || f["last_name"] == "") {
		f["first_name"], f["last_name"] = words[0], words[1]
	}
	switch {
	case f["first_name"] != "" && f["last_name"] != "":
		delete(f, "full_name") // says the same twice
		return nil
	case len(words) > 2:
		delete(f, "first_name")
		delete(f, "last_name")
		return nil
	case len(words) == 1:
		return &InputError{"full_name", "invalid_name", "one word is not enough to find a person; give a first and a last name"}
	case f["first_name"] != "":
		return &InputError{"last_name", "missing_field", "there is only a first name; give last_name as well, or full_name"}
	case f["last_name"] != "":
		return &InputError{"first_name", "missing_field", "there is only a last name; give first_name as well, or full_name"}
	}
	return &InputError{"full_name", "missing_field", "there is no name; give first_name and last_name, or full_name"}
}

func normaliseEmailValidation(f Fields) error {
	if f["email"] == "" {
		return &InputError{"email", "missing_field", "there is no address; give email"}
	}
	return replaceEmail(f, "email")
}

func normaliseMobileFinder(f Fields) error {
	return firstUsable(f, "nothing says who the person is; give profile_url, work_email or personal_email",
		key{"profile_url", replaceURL}, key{"work_email", replaceEmail}, key{"personal_email", replaceEmail})
}

func normaliseMobileValidation(f Fields) error {
	if f["number"] == "" {
		return &InputError{"number", "missing_field", "there is no number; give one, best with its country code (+33…)"}
	}
	number, err := parseNumber(f["number"], f["country"])
	if err != nil {
		return err
	}
	f["number"] = number
	delete(f, "country") // the E.164 form carries it
	return nil
}

func normaliseProfileSearch(f Fields) error {
	return firstUsable(f, "there is no profile; give profile_url", key{"profile_url", replaceURL})
}

func normaliseCompanyFinder(f Fields) error {
	return firstUsable(f, "nothing says which company; give domain, company_name or profile_url",
		key{"domain", replaceDomain}, key{"profile_url", replaceURL}, key{"company_name", replaceCompany})
}

func normaliseJobsData(f Fields) error {
	for _, name := range []string{"title", "location"} {
		replace(f, name, Fold)
	}
	if err := replaceFlag(f, "remote"); err != nil {
		return err
	}
	if err := replaceDate(f, "posted_after"); err != nil {
		return err
	}
	company := Fields{"company_domain": f["company_domain"], "company_name": f["company_name"]}
	err := firstUsable(company, "nothing says which company; give company_domain or company_name",
		key{"company_domain", replaceDomain}, key{"company_name", replaceCompany})
	if err != nil {
		return err
	}
	delete(f, "company_domain")
	delete(f, "company_name")
	maps.Copy(f, company)
	return nil
}

// key is a field that can say alone who or what is asked for.
type key struct {
	field   string
	replace func(f Fields, field string) error
}

// firstUsable makes the first key in normal form the whole query: a second one
// must not make it another question. Where none can be used, the error is that
// of the first key given, or says with missing that there is none.
func firstUsable(f Fields, missing string, keys ...key) error {
	var first error
	for _, k := range keys {
		if f[k.field] == "" {
			continue
		}
		err := k.replace(f, k.field)
		if err == nil {
			value := f[k.field]
			clear(f)
			f[k.field] = value
			return nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		return &InputError{keys[0].field, "missing_field", missing}
	}
	return first
}

func replace(f Fields, field string, with func(string) string) {
	given := f[field]
	if given == "" {
		return
	}
	switch value := with(given); value {
	case given:
	case "":
		delete(f, field)
	default:
		f[field] = value
	}
}

func replaceCompany(f Fields, field string) error {
	f[field] = Fold(f[field])
	if !strings.ContainsFunc(f[field], func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
		return &InputError{field, "invalid_name", "this is not a company's name; write it as the company does"}
	}
	return nil
}

func replaceFlag(f Fields, field string) error {
	switch strings.ToLower(f[field]) {
	case "":
		return nil
	case "true", "yes", "y", "1":
		f[field] = "true"
	case "false", "no", "n", "0":
		f[field] = "false"
	default:
		return &InputError{field, "invalid_value", "want true or false"}
	}
	return nil
}

// replaceDate keeps the day: a time of day would make the same search a new
// question every second.
func replaceDate(f Fields, field string) error {
	if f[field] == "" {
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, f[field]); err == nil {
			f[field] = t.UTC().Format(time.DateOnly)
			return nil
		}
	}
	return &InputError{field, "invalid_value", "want a date such as 2026-11-22"}
}
