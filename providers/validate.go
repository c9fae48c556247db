package providers

import (
	"strings"

	"github.com/nyaruka/phonenumbers/v2"
	"golang.org/x/net/publicsuffix"

	"github.com/magpie-hq/magpie/lookup"
)

// rules decide for each service whether a result is one. They may rewrite the
// result into normal form; a service without a rule has no valid results.
var rules = map[lookup.Service]func(q lookup.Query, result map[string]any) (reason string){
	lookup.EmailFinder:      checkEmailFinder,
	lookup.MobileFinder:     checkMobileFinder,
	lookup.MobileValidation: checkMobileValidation,
}

// Validate checks what a provider calls a hit before anybody is charged for it,
// and returns it in normal form: every field of the service and no other, nil
// where the provider said nothing. If ok is false, reason is a fixed word.
func Validate(q lookup.Query, result map[string]any) (normalised map[string]any, ok bool, reason string) {
	rule := rules[q.Service]
	if rule == nil {
		return nil, false, "no_rule"
	}
	normalised = make(map[string]any, len(q.Service.ResultFields()))
	for _, field := range q.Service.ResultFields() {
		normalised[field] = result[field]
	}
	if reason := rule(q, normalised); reason != "" {
		return nil, false, reason
	}
	return normalised, true, ""
}

func checkEmailFinder(q lookup.Query, result map[string]any) string {
	given, _ := result["email"].(string)
	email, domain, ok := ParseEmail(given)
	if !ok {
		return "no_address"
	}
	if asked := q.Get("domain"); asked != "" && !related(asked, domain) {
		return "other_domain"
	}
	switch result["status"] {
	case "valid":
	case "valid_catch_all":
		if !q.Options.AcceptCatchAll {
			return "catch_all"
		}
	default:
		return "unverified"
	}
	result["email"], result["domain"] = email, domain
	return ""
}

func checkMobileFinder(_ lookup.Query, result map[string]any) string {
	return checkNumber(result, "mobile_number")
}

func checkMobileValidation(_ lookup.Query, result map[string]any) string {
	if _, ok := result["valid"].(bool); !ok {
		return "no_verdict"
	}
	return checkNumber(result, "number")
}

func checkNumber(result map[string]any, field string) string {
	given, _ := result[field].(string)
	if !strings.HasPrefix(given, "+") || masked(given) {
		return "no_number"
	}
	number, err := phonenumbers.Parse(given, "")
	if err != nil {
		return "no_number"
	}
	result[field] = phonenumbers.Format(number, phonenumbers.E164)
	return ""
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
func masked(s string) bool { return strings.ContainsAny(s, "*•…") }

// related reports whether two domains belong to the same registrant.
func related(a, b string) bool { return registrable(a) == registrable(b) }

// registrable returns the domain that was registered; of a public suffix,
// which nobody registered, the whole.
func registrable(domain string) string {
	if registered, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return registered
	}
	return domain
}
