package lookup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Credits is an amount of credits, counted in millicredits (1 credit = 1,000),
// so that prices in steps of 0.001 add up exactly. In JSON and in text it is a
// plain number of credits with at most three decimals.
type Credits int64

// Credit is one whole credit.
const Credit Credits = 1000

// MaxCredits bounds every amount: Lua and JavaScript hold numbers as doubles,
// which are exact below 2^53.
const MaxCredits Credits = 1<<53 - 1

// errCredits says what an amount must look like.
var errCredits = errors.New("want a number of credits with at most three decimals, such as 12.5")

// ParseCredits reads "12", "0.25" or "-3.5". Exponents, more than three
// decimals and amounts beyond [MaxCredits] are refused.
func ParseCredits(s string) (Credits, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if dotted && (fraction == "" || len(fraction) > 3) {
		return 0, errCredits
	}
	if whole == "" || !onlyDigits(whole) || !onlyDigits(fraction) {
		return 0, errCredits
	}
	n, err := strconv.ParseInt(whole+(fraction + "000")[:3], 10, 64)
	if err != nil || Credits(n) > MaxCredits {
		return 0, fmt.Errorf("%s credits are more than the largest amount, %s", clip(s), MaxCredits)
	}
	if negative {
		n = -n
	}
	return Credits(n), nil
}

func onlyDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// String writes the amount in credits, without needless zeros: "12", "0.25".
func (c Credits) String() string {
	sign, n := "", int64(c)
	if n < 0 {
		sign, n = "-", -n
	}
	s := sign + strconv.FormatInt(n/1000, 10)
	if rest := n % 1000; rest != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%03d", rest), "0")
	}
	return s
}

// MarshalJSON writes a JSON number of credits.
func (c Credits) MarshalJSON() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalJSON reads a JSON number of credits.
func (c *Credits) UnmarshalJSON(b []byte) error {
	n, err := ParseCredits(string(b))
	if err != nil {
		return err
	}
	*c = n
	return nil
}
