package main

import (
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers/v2"
)

// style writes a number as some people do, and says what they put into the
// country column.
type style func(number *phonenumbers.PhoneNumber, region string) (phone, country string)

// styles are taken in turn, so that every country is written in several.
var styles = []style{
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) { return international(n), "" },
	func(n *phonenumbers.PhoneNumber, region string) (string, string) { return national(n), region },
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) {
		return phonenumbers.Format(n, phonenumbers.E164), ""
	},
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) {
		return "00" + strings.TrimPrefix(international(n), "+"), ""
	},
	func(n *phonenumbers.PhoneNumber, region string) (string, string) {
		return strings.NewReplacer(" ", "", "-", "", "(", "", ")", "").Replace(national(n)), strings.ToLower(region)
	},
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) {
		return strings.ReplaceAll(international(n), " ", "-"), ""
	},
	func(n *phonenumbers.PhoneNumber, region string) (string, string) {
		return strings.ReplaceAll(international(n), " ", "."), region
	},
	bracketed,
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) {
		return international(n) + " ext. 204", ""
	},
	func(n *phonenumbers.PhoneNumber, region string) (string, string) { return national(n) + " x17", region },
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) { return "Tel.: " + international(n), "" },
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) {
		return phonenumbers.Format(n, phonenumbers.RFC3966), ""
	},
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) {
		return "00" + strings.TrimPrefix(phonenumbers.Format(n, phonenumbers.E164), "+"), ""
	},
	func(n *phonenumbers.PhoneNumber, region string) (string, string) {
		return "\u00a0" + strings.ReplaceAll(national(n), " ", "\u00a0") + " ", region // from a web page
	},
	func(n *phonenumbers.PhoneNumber, _ string) (string, string) {
		code, rest, _ := strings.Cut(international(n), " ")
		return "(" + code + ") " + rest, ""
	},
	func(n *phonenumbers.PhoneNumber, region string) (string, string) {
		return strings.TrimPrefix(international(n), "+"), region // a spreadsheet ate the plus
	},
}

func international(n *phonenumbers.PhoneNumber) string {
	return phonenumbers.Format(n, phonenumbers.INTERNATIONAL)
}

func national(n *phonenumbers.PhoneNumber) string {
	return phonenumbers.Format(n, phonenumbers.NATIONAL)
}

// bracketed writes the trunk prefix in brackets, "+44 (0)20 7946 0000", where
// there is one, and otherwise the area.
func bracketed(n *phonenumbers.PhoneNumber, _ string) (phone, country string) {
	code := "+" + strconv.Itoa(int(n.GetCountryCode()))
	rest := strings.TrimSpace(strings.TrimPrefix(international(n), code))
	if strings.HasPrefix(national(n), "0") && !strings.HasPrefix(rest, "0") {
		return code + " (0)" + rest, ""
	}
	if area, subscriber, ok := strings.Cut(rest, " "); ok {
		return code + " (" + area + ") " + subscriber, ""
	}
	return code + " (" + rest + ")", ""
}

// zeros are the first of the ten digits in the scripts of some regions.
var zeros = map[string]rune{"AE": '٠', "EG": '٠', "SA": '٠', "MA": '٠', "BD": '০', "JP": '０', "TW": '０', "CN": '０'}

// ownDigits writes the national form in the digits of the region, one of zeros.
func ownDigits(n *phonenumbers.PhoneNumber, region string) (phone, country string) {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return zeros[region] + r - '0'
		}
		return r
	}, national(n)), region
}
