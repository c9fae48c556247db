package lookup

import (
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/nyaruka/phonenumbers/v2"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

const noNumber = "there is no phone number in it; write it with its country code, such as +33 1 23 45 67 89"

// parseNumber returns the E.164 form of a number as people write it. A country
// that means nothing matters only where the number needs one.
func parseNumber(given, country string) (string, error) {
	given = strings.Map(plainSpacing, given)
	code, known := countryCode(country)
	number, ok := international(given)
	if !ok || code != "" && !phonenumbers.IsValidNumber(number) {
		var err error
		if number, err = phonenumbers.Parse(given, code); err != nil {
			return "", numberError(given, code, known)
		}
	}
	return settled(phonenumbers.Format(number, phonenumbers.E164))
}

// settled reads an E.164 number until reading it again changes nothing: where
// a number is not valid, each reading can find one more trunk prefix to drop.
func settled(e164 string) (string, error) {
	for range len(e164) {
		number, err := phonenumbers.Parse(e164, "")
		if err != nil {
			break
		}
		again := phonenumbers.Format(number, phonenumbers.E164)
		if again == e164 {
			return e164, nil
		}
		e164 = again
	}
	return "", &InputError{"number", "invalid_number", noNumber}
}

// plainSpacing turns the non-breaking spaces and dashes of word processors
// into plain ones and drops what cannot be seen.
func plainSpacing(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.Is(unicode.Pd, r):
		return '-'
	case unicode.Is(unicode.Cf, r):
		return -1
	}
	return r
}

// international reads a number that begins with "00", which is how most of the
// world dials "+".
func international(given string) (*phonenumbers.PhoneNumber, bool) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(given, " ('"), "00")
	if !ok {
		return nil, false
	}
	number, err := phonenumbers.Parse("+"+strings.TrimLeft(rest, " )-."), "")
	return number, err == nil
}

// numberError tells a number that lacks its country from no number at all.
func numberError(given, code string, knownCountry bool) error {
	digits := strings.Count(strings.Map(digitOnly, given), "0")
	switch {
	case digits < 5 || code != "" || strings.ContainsAny(given, "+＋"):
		return &InputError{"number", "invalid_number", noNumber}
	case !knownCountry:
		return &InputError{"country", "invalid_country", "want a country's two-letter code (ISO 3166-1), such as FR"}
	}
	return &InputError{"number", "invalid_number", "the number has no country code; write it as +33… or fill in country"}
}

func digitOnly(r rune) rune {
	if unicode.IsDigit(r) {
		return '0'
	}
	return -1
}

// countryCode reads a country's code ("FR", "fra", "UK"), its dialling code
// ("+33") or its name in English, French, German or Spanish. Nothing given is
// known, and empty.
func countryCode(given string) (code string, known bool) {
	name := strings.ReplaceAll(Fold(given), ".", "")
	if name == "" {
		return "", true
	}
	if dialling, err := strconv.Atoi(strings.TrimLeft(name, "+0")); err == nil {
		code = phonenumbers.GetRegionCodeForCountryCode(dialling)
	} else if region, err := language.ParseRegion(name); err == nil {
		code = region.Canonicalize().String()
	} else {
		code = countryNames()[name]
	}
	if phonenumbers.GetCountryCodeForRegion(code) == 0 {
		return "", false
	}
	return code, true
}

// countryNames has the code of each country that has phone numbers, by its
// folded name.
var countryNames = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	for code := range phonenumbers.GetSupportedRegions() {
		for _, tag := range []language.Tag{language.English, language.French, language.German, language.Spanish} {
			if region, err := language.ParseRegion(code); err == nil {
				names[Fold(display.Regions(tag).Name(region))] = code
			}
		}
	}
	return names
})
