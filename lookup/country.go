package lookup

import (
	"strings"

	"github.com/nyaruka/phonenumbers/v2"
)

// KnownCountry reports whether a code names a country: two capital letters, as
// ISO 3166-1 has them ("DE"; "GB", not "UK").
func KnownCountry(code string) bool { return phonenumbers.GetCountryCodeForRegion(code) != 0 }

// Country returns the code of the country that a query points to, or "": that of
// its number, or that in whose domain the company or the address is. Domains
// that everybody uses, whatever their country (.com, .io), point to none.
func (q Query) Country() string {
	if number := q.Get("number"); number != "" {
		parsed, err := phonenumbers.Parse(number, "")
		if err != nil {
			return ""
		}
		return known(phonenumbers.GetRegionCodeForNumber(parsed))
	}
	for _, field := range []string{"domain", "company_domain", "email", "work_email", "personal_email"} {
		if value := q.Get(field); value != "" {
			return countryOfDomain(value)
		}
	}
	return ""
}

// everywhere are the countries whose domains are used by all the world.
var everywhere = map[string]bool{
	"AC": true, "AI": true, "BZ": true, "CC": true, "CO": true, "FM": true, "GG": true, "IO": true, "LA": true, "LY": true,
	"ME": true, "SH": true, "SO": true, "TO": true, "TV": true, "VC": true, "WS": true,
}

func countryOfDomain(domain string) string {
	code := strings.ToUpper(domain[strings.LastIndexByte(domain, '.')+1:])
	if code == "UK" {
		return "GB"
	}
	if everywhere[code] {
		return ""
	}
	return known(code)
}

// known returns a code if it is a country's.
func known(code string) string {
	if len(code) == 2 && KnownCountry(code) {
		return code
	}
	return ""
}
