package main

import (
	"bytes"
	"fmt"

	"github.com/magpie-hq/magpie/lookup"
)

// person is row n of a round, with columns as people name them. No two rows of
// any round ask the same.
func person(round, n int) (first, last, domain string) {
	return fmt.Sprintf("ada%c", 'a'+n%26), fmt.Sprintf("byron%dx%d", round, n), fmt.Sprintf("company%d.example", n%997)
}

// file is a round's rows as CSV.
func file(round, rows int) []byte {
	var b bytes.Buffer
	b.WriteString("First Name,Last Name,Domain\n")
	for n := range rows {
		first, last, domain := person(round, n)
		fmt.Fprintf(&b, "%s,%s,%s\n", first, last, domain)
	}
	return b.Bytes()
}

// query is a row as a question.
func query(round, n int) lookup.Query {
	first, last, domain := person(round, n)
	return lookup.Query{Service: lookup.EmailFinder, Fields: lookup.Fields{"first_name": first, "last_name": last, "domain": domain}}
}
