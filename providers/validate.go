package providers

import (
	"strings"

	"github.com/nyaruka/phonenumbers/v2"
	"golang.org/x/net/publicsuffix"

	"github.com/magpie-hq/magpie/lookup"
)

// rules decide for each service whether a result is one. They may rewrite the
// result into normal form; given is what the adapter said, which may tell more
// about whose record it is. A service without a rule has no valid results.
var rules = map[lookup.Service]func(q lookup.Query, given, result map[string]any) (reason string){
	lookup.EmailFinder:      checkEmailFinder,
	lookup.EmailValidation:  checkEmailValidation,
	lookup.MobileFinder:     checkMobileFinder,
	lookup.MobileValidation: checkMobileValidation,
	lookup.ProfileSearch:    checkProfile,
	lookup.CompanyFinder:    checkCompany,
	lookup.JobsData:         checkJobs,
}

// Validate checks what a provider calls a hit before anybody is charged for it,
// and returns it in normal form: every field of the service and no other, nil
// where the provider said nothing. Fields may come under the names that vendors
// have for them. If ok is false, reason is a fixed word.
func Validate(q lookup.Query, result map[string]any) (normalised map[string]any, ok bool, reason string) {
	normalised, reason = examine(q, result)
	if reason != "" {
		return nil, false, reason
	}
	return normalised, true, ""
}

// examine brings a result into normal form. With a reason it is none, and what
// is returned may be shown to nobody.
func examine(q lookup.Query, result map[string]any) (normalised map[string]any, reason string) {
	rule := rules[q.Service]
	if rule == nil {
		return nil, "no_rule"
	}
	normalised = make(map[string]any, len(q.Service.ResultFields()))
	for _, field := range q.Service.ResultFields() {
		normalised[field] = pick(result, field, aliases[q.Service][field])
	}
	return normalised, rule(q, result, normalised)
}

// remark returns, in normal form, what a provider says of an address without
// being sure: that its domain accepts everything, or that nobody knows. ok is
// false where it says no such thing. Customers see it, free.
func remark(q lookup.Query, result map[string]any) (normalised map[string]any, ok bool) {
	if q.Service != lookup.EmailValidation || result == nil {
		return nil, false
	}
	normalised, reason := examine(q, result)
	return normalised, reason == "catch_all" || reason == "unverified"
}

func checkEmailFinder(q lookup.Query, _, result map[string]any) string {
	given, _ := result["email"].(string)
	email, domain, ok := ParseEmail(given)
	if !ok {
		return "no_address"
	}
	asked := q.Get("domain")
	switch {
	case asked != "" && !related(asked, domain):
		return "other_domain"
	case asked == "" && nobodysDomains[domain]:
		return "no_work_address"
	case placeholder(email):
		return "placeholder"
	}
	status := text(result["status"])
	switch status {
	case "valid":
	case "valid_catch_all":
		if !q.Options.AcceptCatchAll {
			return "catch_all"
		}
	default:
		return "unverified"
	}
	result["email"], result["domain"], result["status"] = email, domain, status
	return ""
}

// checkEmailValidation lets definite answers through: that an address is valid,
// or that it is not. The others it leaves in normal form too, see remark.
func checkEmailValidation(q lookup.Query, _, result map[string]any) string {
	given, _ := result["email"].(string)
	if given != "" && !strings.EqualFold(given, q.Get("email")) {
		return "other_address"
	}
	for _, flag := range []string{"is_disposable", "is_role", "is_free"} {
		result[flag] = boolean(result[flag])
	}
	keepTexts(result, "reason", "mx_record", "mx_provider")
	status, reason := text(result["email_status"]), ""
	switch {
	case status == "valid", status == "invalid", status == "valid_catch_all":
	case CatchAll(status):
		status, reason = "catch_all", "catch_all"
	default:
		status, reason = "unknown", "unverified"
	}
	result["email"], result["email_status"] = q.Get("email"), status
	return reason
}

func checkMobileFinder(_ lookup.Query, _, result map[string]any) string {
	number, reason := parseNumber(result["mobile_number"])
	if reason != "" {
		return reason
	}
	if !phonenumbers.IsValidNumber(number) {
		return "no_number"
	}
	if phonenumbers.GetNumberType(number) == phonenumbers.FIXED_LINE {
		return "landline"
	}
	result["mobile_number"] = phonenumbers.Format(number, phonenumbers.E164)
	return ""
}

func checkMobileValidation(_ lookup.Query, _, result map[string]any) string {
	if result["valid"] = boolean(result["valid"]); result["valid"] == nil {
		return "no_verdict"
	}
	number, reason := parseNumber(result["number"])
	if reason != "" {
		return reason
	}
	result["number"] = phonenumbers.Format(number, phonenumbers.E164)
	return ""
}

func parseNumber(value any) (number *phonenumbers.PhoneNumber, reason string) {
	given, _ := value.(string)
	if !strings.HasPrefix(given, "+") || masked(given) {
		return nil, "no_number"
	}
	number, err := phonenumbers.Parse(given, "")
	if err != nil {
		return nil, "no_number"
	}
	return number, ""
}

// ParseEmail returns an address with its domain in normal form, and that
// domain. ok is false for what is not an address, or one with masked letters.
func ParseEmail(s string) (email, domain string, ok bool) {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || masked(s) || strings.ContainsAny(s[:at], " \t\r\n<>()[]\\,;:\"@") {
		return "", "", false
	}
	host := strings.ToLower(s[at+1:])
	if strings.ContainsAny(host, "/?#: ") || strings.HasPrefix(host, "www.") {
		return "", "", false // lookup.Domain forgives what an address must not have
	}
	domain, ok = lookup.Domain(host)
	return s[:at+1] + domain, domain, ok
}

// masked reports whether letters were hidden, as vendors do with values that
// were not paid for.
func masked(s string) bool {
	return strings.Contains(s, "*") || strings.Contains(s, "•") || strings.Contains(s, "…")
}

// related reports whether two domains belong to the same registrant.
func related(a, b string) bool { return a == b || registrable(a) == registrable(b) }

// registrable returns the domain that was registered; of a public suffix,
// which nobody registered, the whole.
func registrable(domain string) string {
	if registered, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return registered
	}
	return domain
}
