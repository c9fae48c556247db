package providers

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
)

// aliases are what vendors call the fields of a service, where not as we do.
var aliases = map[lookup.Service]map[string][]string{
	lookup.EmailFinder: {
		"email": {"valid_email", "work_email"}, "status": {"email_status"}, "mx_provider": {"mxProvider", "email_mx_provider"},
	},
	lookup.EmailValidation: {
		"email": {"address", "email_address"}, "email_status": {"status", "result"}, "reason": {"sub_status", "subresult"},
		"mx_provider": {"smtp_provider"}, "is_disposable": {"disposable"}, "is_role": {"role"}, "is_free": {"free", "free_email", "webmail"},
	},
	lookup.MobileFinder: {"mobile_number": {"mobile", "phone", "mobile_phone"}},
	lookup.ProfileSearch: {
		"full_name": {"name", "fullName"}, "first_name": {"firstName"}, "last_name": {"lastName"},
		"headline": {"professional_title", "job_title", "current_job_title"}, "company_name": {"job_company_name", "companyName"},
		"location":   {"location_name", "location_country"},
		"experience": {"experiences", "work_experience", "job_history"}, "education": {"educations"},
	},
	lookup.CompanyFinder: {
		"name": {"company_name", "companyName", "display_name"}, "domain": {"website", "website_url", "company_website"},
		"employee_count": {"employeeCount", "totalEmployeesExact", "estimated_num_employees"},
		"employee_range": {"employeeRange", "company_size", "size", "totalEmployees"},
		"headquarters":   {"location"}, "founded": {"founded_year", "foundedYear", "yearFounded"},
	},
	lookup.JobsData: {"postings": {"jobs", "offers", "content"}},
}

// pick returns a field under its own name, or else under another.
func pick(given map[string]any, field string, others []string) any {
	if value := given[field]; value != nil {
		return value
	}
	for _, name := range others {
		if value := given[name]; value != nil {
			return value
		}
	}
	return nil
}

// checkProfile wants a person's name, and the profile that was asked for.
func checkProfile(q lookup.Query, given, result map[string]any) string {
	keepTexts(result, "full_name", "first_name", "last_name", "headline", "company_name", "location")
	first, hasFirst := result["first_name"].(string)
	last, hasLast := result["last_name"].(string)
	if result["full_name"] == nil && hasFirst && hasLast {
		result["full_name"] = first + " " + last
	}
	if result["full_name"] == nil {
		return "no_name"
	}
	if !sameProfile(q, lookup.ProfileSearch, given) {
		return "other_profile"
	}
	return ""
}

// sameProfile reports whether a record is of the profile asked for, as far as
// it tells.
func sameProfile(q lookup.Query, as lookup.Service, given map[string]any) bool {
	theirs, _ := pick(given, "profile_url", []string{"linkedin_url", "b2b_profile_url"}).(string)
	if theirs == "" || q.Get("profile_url") == "" {
		return true
	}
	page, err := lookup.Normalise(as, lookup.Fields{"profile_url": theirs}, lookup.Options{})
	return err == nil && page.Get("profile_url") == q.Get("profile_url")
}

// checkCompany wants a company's name, and a sign that it is the one asked for.
func checkCompany(q lookup.Query, given, result map[string]any) string {
	keepTexts(result, "name", "domain", "industry", "employee_range")
	name, _ := result["name"].(string)
	if name == "" {
		return "no_name"
	}
	domain, _ := result["domain"].(string)
	domain, hasDomain := lookup.Domain(domain)
	if result["domain"] = nil; hasDomain {
		result["domain"] = domain
	}
	switch {
	case q.Get("domain") != "":
		if !hasDomain || !related(q.Get("domain"), domain) {
			return "other_company"
		}
	case q.Get("company_name") != "":
		if !sameName(q.Get("company_name"), name) {
			return "other_company"
		}
	case !sameProfile(q, lookup.CompanyFinder, given):
		return "other_company"
	}
	result["employee_count"] = wholeNumber(result["employee_count"], 0, 10_000_000)
	result["founded"] = wholeNumber(result["founded"], 1000, 2100)
	return ""
}

// legalForms say nothing about which company it is.
var legalForms = []string{
	"inc", "incorporated", "ltd", "limited", "llc", "llp", "plc", "corp", "corporation", "co", "company", "gmbh", "ag", "kg", "se",
	"sa", "sas", "sarl", "srl", "spa", "bv", "nv", "ab", "as", "oy", "the", "group", "holding", "holdings",
}

// sameName reports whether two names may be those of one company: the words of
// the shorter, without legal forms, begin the longer.
func sameName(asked, theirs string) bool {
	a, b := nameWords(asked), nameWords(theirs)
	if len(a) > len(b) {
		a, b = b, a
	}
	return len(a) > 0 && slices.Equal(a, b[:len(a)])
}

func nameWords(name string) []string {
	split := func(r rune) bool {
		return r == ' ' || r == ',' || r == '.' || r == '-' || r == '&' || r == '(' || r == ')' || r == '\''
	}
	words := strings.FieldsFunc(lookup.Fold(name), split)
	telling := slices.DeleteFunc(slices.Clone(words), func(word string) bool { return slices.Contains(legalForms, word) })
	if len(telling) == 0 {
		return words
	}
	return telling
}

// postingFields are what is kept of a posting.
var postingFields = []string{
	"id", "title", "company_name", "company_domain", "location", "remote", "department", "employment_type",
	"description", "url", "apply_url", "posted_at", "salary",
}

// postingAliases are what boards call them.
var postingAliases = map[string][]string{
	"title": {"name", "text"}, "url": {"absolute_url", "hostedUrl", "jobUrl", "careers_url", "application_url"},
	"posted_at": {"published_at", "publishedAt", "first_published", "published", "createdAt"}, "apply_url": {"applyUrl"},
}

// checkJobs keeps the postings that have a title and an address.
func checkJobs(_ lookup.Query, _, result map[string]any) string {
	var kept []any
	given, _ := result["postings"].([]any)
	for _, one := range given {
		if posting, ok := one.(map[string]any); ok {
			if clean, ok := checkPosting(posting); ok {
				kept = append(kept, clean)
			}
		}
	}
	if len(kept) == 0 {
		return "no_postings"
	}
	result["postings"] = kept
	return ""
}

func checkPosting(given map[string]any) (map[string]any, bool) {
	posting := map[string]any{}
	for _, field := range postingFields {
		if value := pick(given, field, postingAliases[field]); value != nil {
			posting[field] = value
		}
	}
	keepTexts(posting, "title", "url")
	title, _ := posting["title"].(string)
	address, _ := posting["url"].(string)
	page, err := url.Parse(address)
	return posting, title != "" && err == nil && page.Host != "" && (page.Scheme == "https" || page.Scheme == "http")
}

// keepTexts drops from the fields what is no text, says nothing or is masked.
func keepTexts(result map[string]any, fields ...string) {
	for _, field := range fields {
		value, _ := result[field].(string)
		if value = strings.TrimSpace(value); value == "" || masked(value) || noValue[strings.ToLower(value)] {
			result[field] = nil
			continue
		}
		result[field] = value
	}
}

// noValue is what systems write where they have nothing.
var noValue = map[string]bool{"null": true, "none": true, "n/a": true, "undefined": true, "unknown": true, "-": true}

// text is a word as vendors may write it, in small letters.
func text(value any) string {
	word, _ := value.(string)
	return strings.ToLower(strings.TrimSpace(word))
}

// boolean reads a boolean that may have been written as text, or nil.
func boolean(value any) any {
	switch v := value.(type) {
	case bool:
		return v
	case string:
		if b, err := strconv.ParseBool(strings.ToLower(v)); err == nil && len(v) > 1 {
			return b
		}
	}
	return nil
}

// wholeNumber reads a number that may have been written as text; nil if it is
// out of range or none.
func wholeNumber(value any, least, most float64) any {
	var n float64
	switch v := value.(type) {
	case float64:
		n = v
	case int:
		n = float64(v)
	case string:
		parsed, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return nil
		}
		n = parsed
	default:
		return nil
	}
	if !(n >= least && n <= most) {
		return nil
	}
	return int64(n)
}

// CatchAll reports whether a vendor's word means a domain that accepts mail for
// anybody, in any of the spellings that vendors have for it.
func CatchAll(word string) bool {
	switch strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(word)) {
	case "catchall", "acceptall", "validcatchall":
		return true
	}
	return false
}

// placeholder reports whether an address is nobody's: a role, or what vendors
// show to those who did not pay.
func placeholder(email string) bool {
	local, _, _ := strings.Cut(strings.ToLower(email), "@")
	local, _, _ = strings.Cut(local, "+")
	return nobodys[local]
}

var nobodys = setOf(
	"info", "test", "tests", "testing", "noreply", "no-reply", "no_reply", "donotreply", "do-not-reply", "example",
	"email_not_unlocked", "email-not-unlocked", "not_unlocked", "hidden", "unknown", "none", "null", "na", "undefined", "email", "mail", "name", "user",
	"username", "firstname.lastname", "first.last", "firstname", "lastname", "contact", "sales", "support", "admin", "administrator",
	"hello", "office", "postmaster", "webmaster", "mailer-daemon", "abuse", "hostmaster",
)

// nobodysDomains are where no company's mail is: placeholders and free mail.
var nobodysDomains = setOf(
	"example.com", "example.org", "example.net", "domain.com", "email.com", "company.com", "yourcompany.com", "test.com",
	"gmail.com", "googlemail.com", "yahoo.com", "hotmail.com", "outlook.com", "live.com", "icloud.com", "aol.com", "gmx.de", "gmx.net",
	"web.de", "proton.me", "protonmail.com", "yandex.ru", "mail.ru", "qq.com", "163.com",
)

func setOf(words ...string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, word := range words {
		set[word] = true
	}
	return set
}
