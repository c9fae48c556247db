// Command gen writes demo/phones.csv: telephone numbers of many countries, in
// the ways in which people write them.
//
// Every number is public by design. It is either the example that the numbering
// metadata gives for a country and a kind of line, the switchboard or hotline of
// a large company or an authority, or from a range set aside for fiction. The
// same version of the metadata gives the same file, byte for byte.
package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/nyaruka/phonenumbers/v2"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE")
		os.Exit(2)
	}
	file, err := phones()
	if err == nil {
		err = os.WriteFile(os.Args[1], file, 0o644) //nolint:gosec // a public file of the repository
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// entry is one line of the file, without its row_id.
type entry struct{ name, phone, country string }

// regions are the countries whose example numbers are in the file.
var regions = []string{
	"AE", "AR", "AT", "AU", "BD", "BE", "BG", "BR", "CA", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "EG", "ES",
	"FI", "FR", "GB", "GH", "GR", "HK", "HU", "ID", "IE", "IL", "IN", "IT", "JP", "KE", "KR", "MA", "MX", "MY",
	"NG", "NL", "NO", "NZ", "PE", "PH", "PL", "PT", "RO", "SA", "SE", "SG", "TH", "TR", "TW", "UA", "US", "VN", "ZA",
}

// kinds are the kinds of line taken from every region that has an example.
var kinds = []struct {
	kind phonenumbers.PhoneNumberType
	name string
}{
	{phonenumbers.FIXED_LINE, "office"},
	{phonenumbers.MOBILE, "mobile"},
	{phonenumbers.TOLL_FREE, "freephone"},
	{phonenumbers.VOIP, "internet telephone"},
	{phonenumbers.SHARED_COST, "service line"},
	{phonenumbers.UAN, "company number"},
}

// phones returns the file.
func phones() ([]byte, error) {
	entries := append(examples(), listed...)
	// A mixed order looks like a real file. The seed is fixed: same file.
	mix := rand.New(rand.NewPCG(1, 2))
	mix.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })

	var file bytes.Buffer
	w := csv.NewWriter(&file)
	rows := [][]string{{"row_id", "name", "phone", "country"}}
	for i, e := range entries {
		rows = append(rows, []string{fmt.Sprintf("p%03d", i+1), e.name, e.phone, e.country})
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, fmt.Errorf("write rows: %w", err)
	}
	return file.Bytes(), nil
}

// examples returns the example numbers, each written in the next of the styles.
// Some mobile numbers come twice, written differently.
func examples() []entry {
	var entries []entry
	add := func(region, what string, kind phonenumbers.PhoneNumberType, write style) {
		if number := phonenumbers.GetExampleNumberForTypeInRegion(region, kind); number != nil {
			phone, column := write(number, region)
			country := display.English.Regions().Name(language.MustParseRegion(region))
			entries = append(entries, entry{country + ", " + what, phone, column})
		}
	}
	next := func() style { return styles[len(entries)%len(styles)] }
	for i, region := range regions {
		for _, k := range kinds {
			add(region, k.name, k.kind, next())
		}
		if _, ok := zeros[region]; ok {
			add(region, "mobile, own digits", phonenumbers.MOBILE, ownDigits)
		} else if i%3 == 0 {
			add(region, "mobile, again", phonenumbers.MOBILE, next())
		}
	}
	return entries
}
