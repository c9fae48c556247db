package phonecheck

import (
	"context"

	"github.com/nyaruka/phonenumbers/v2"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// Provider validates numbers offline. The zero value is ready to use.
type Provider struct{}

// Name is "phonecheck".
func (Provider) Name() string { return "phonecheck" }

// Services is mobile validation.
func (Provider) Services() []lookup.Service { return []lookup.Service{lookup.MobileValidation} }

// Ask answers for the number of q, in E.164 form. It is a hit whether the
// number is valid or not; only what is no number at all is ineligible.
func (Provider) Ask(_ context.Context, q lookup.Query) providers.Answer {
	number, err := phonenumbers.Parse(q.Get("number"), "")
	if q.Service != lookup.MobileValidation || err != nil {
		return providers.Answer{Outcome: providers.Ineligible, Reason: "no_number", NotAsked: true}
	}
	valid := phonenumbers.IsValidNumber(number)
	result := map[string]any{
		"number":    phonenumbers.Format(number, phonenumbers.E164),
		"valid":     valid,
		"country":   nil,
		"line_type": "unknown",
		"carrier":   nil,
		"confirmed": false,
	}
	if country := country(number); country != "" {
		result["country"] = country
	}
	if valid {
		result["line_type"] = lineType(number)
	}
	return providers.Answer{Outcome: providers.Hit, Reason: "computed", Result: result}
}

// country returns the ISO code of the number's country, or "" where there is
// none: a number that belongs to no country, or fits none that share a code.
func country(number *phonenumbers.PhoneNumber) string {
	region := phonenumbers.GetRegionCodeForNumber(number)
	if region == "" {
		if all := phonenumbers.GetRegionCodesForCountryCode(int(number.GetCountryCode())); len(all) == 1 {
			region = all[0]
		}
	}
	if region == "001" || region == "ZZ" {
		return ""
	}
	return region
}

var lineTypes = map[phonenumbers.PhoneNumberType]string{
	phonenumbers.FIXED_LINE:           "landline",
	phonenumbers.MOBILE:               "mobile",
	phonenumbers.FIXED_LINE_OR_MOBILE: "fixed_or_mobile",
	phonenumbers.TOLL_FREE:            "toll_free",
	phonenumbers.PREMIUM_RATE:         "premium",
	phonenumbers.SHARED_COST:          "shared_cost",
	phonenumbers.VOIP:                 "voip",
	phonenumbers.PERSONAL_NUMBER:      "personal",
	phonenumbers.PAGER:                "pager",
	phonenumbers.UAN:                  "company",
	phonenumbers.VOICEMAIL:            "voicemail",
}

func lineType(number *phonenumbers.PhoneNumber) string {
	if name, ok := lineTypes[phonenumbers.GetNumberType(number)]; ok {
		return name
	}
	return "unknown"
}
