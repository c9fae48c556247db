package demo

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
)

// People returns a CSV file of n rows for the email finder, with the columns
// row_id, First Name, Last Name and Company Domain. The companies, a few
// hundred, are under .example and .test, which belong to nobody. About 2 % of
// the rows ask again, written differently, what an earlier row asked; about 1 %
// lack a name or a domain. The same n and seed give the same file.
func People(n int, seed int64) []byte {
	p := population{rand: rand.New(rand.NewPCG(uint64(seed), 0)), taken: map[person]bool{}}
	var file bytes.Buffer
	w := csv.NewWriter(&file) // writing to memory cannot go wrong
	_ = w.Write([]string{"row_id", "First Name", "Last Name", "Company Domain"})
	for i := range n {
		row := p.next()
		_ = w.Write([]string{fmt.Sprintf("r%05d", i+1), row.first, row.last, row.domain})
	}
	w.Flush()
	return file.Bytes()
}

// person is one row without its row_id.
type person struct{ first, last, domain string }

// population invents people, each one only once.
type population struct {
	rand   *rand.Rand
	taken  map[person]bool
	people []person // who can be asked for again
}

// next returns the next row of the file.
func (p *population) next() person {
	switch chance := p.rand.IntN(100); {
	case chance < 1:
		return p.incomplete(p.invent())
	case chance < 3 && len(p.people) > 0:
		return p.rewrite(pick(p.rand, p.people))
	}
	someone := p.invent()
	p.people = append(p.people, someone)
	return someone
}

// invent makes up a person who was not there before.
func (p *population) invent() person {
	for {
		someone := person{first: pick(p.rand, firstNames), last: pick(p.rand, lastNames), domain: p.company()}
		switch p.rand.IntN(20) {
		case 0:
			someone.last += "-" + pick(p.rand, lastNames)
		case 1:
			someone.first += "-" + pick(p.rand, firstNames)
		}
		asked := person{lookup.Fold(someone.first), lookup.Fold(someone.last), someone.domain}
		if !p.taken[asked] {
			p.taken[asked] = true
			return someone
		}
	}
}

// company makes up a company's domain, out of 400.
func (p *population) company() string {
	name := pick(p.rand, companyNames) + "-" + pick(p.rand, companyTrades)
	if len(name)%2 == 0 {
		return name + ".example"
	}
	return name + ".test"
}

// rewrite writes the same question in another way.
func (p *population) rewrite(someone person) person {
	switch p.rand.IntN(4) {
	case 0:
		return person{strings.ToUpper(someone.first), strings.ToUpper(someone.last), someone.domain}
	case 1:
		return person{lookup.Fold(someone.first), lookup.Fold(someone.last), "www." + someone.domain}
	case 2:
		return person{" " + someone.first, someone.last + " ", strings.ToUpper(someone.domain)}
	default:
		return person{someone.first, someone.last, "https://" + someone.domain + "/about"}
	}
}

// incomplete takes away what the question cannot do without.
func (p *population) incomplete(someone person) person {
	if p.rand.IntN(2) == 0 {
		return person{domain: someone.domain}
	}
	return person{first: someone.first, last: someone.last}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
