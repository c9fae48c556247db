package simulator

import (
	"strconv"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
)

// The world's proportions.
const (
	shareExisting = 0.90  // of the questions are about somebody who exists
	shareBlocked  = 0.002 // of those have objected to being processed
	shareCatchAll = 0.06  // of domains accept mail for anybody
	shareQuirk    = 0.06  // of a vendor's records are not what they seem
)

// fact is what a vendor has about a person.
type fact string

// The facts. Only a valid address is worth money; one at a catch-all domain is
// to those who accept that.
const (
	unknown    fact = ""           // nothing
	valid      fact = "valid"      // an address, verified
	catchAll   fact = "catch_all"  // an address at a domain that accepts all
	unverified fact = "unverified" // an address that nobody vouches for
	masked     fact = "masked"     // an address with hidden letters
	foreign    fact = "foreign"    // an address at a domain of somebody else
	blocked    fact = "blocked"    // the person has objected

	// Of mailboxes, beside valid and catch_all.
	invalid    fact = "invalid"    // nobody receives mail there
	unclear    fact = "unknown"    // its server did not say
	disposable fact = "disposable" // made to be thrown away
)

// world decides the truth. It has no state but its seed.
type world struct{ seed uint64 }

// person is somebody asked for, however the question was written.
type person struct {
	name, domain string
	byCompany    bool   // the question named the company, not its domain
	id           uint64 // the same for every spelling
	address      string // set if the question is about a mailbox, not a person
	job          string // of an asynchronous vendor, where a request names one
}

// person reads a question; ok is false if it does not name somebody somewhere.
func (w world) person(first, last, full, domain, company string) (p person, ok bool) {
	p.name = lookup.Fold(first + " " + last)
	if strings.TrimSpace(first) == "" || strings.TrimSpace(last) == "" {
		p.name = lookup.Fold(full)
	}
	if p.domain, ok = lookup.Domain(domain); !ok {
		p.domain, ok, p.byCompany = slug(company)+".test", slug(company) != "", true
	}
	p.id = w.hash("person", p.name, p.domain)
	return p, ok && strings.Contains(p.name, " ")
}

// slug keeps the letters and digits that an address can have.
func slug(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, lookup.Fold(s))
}

// mailbox reads a question about an address.
func (w world) mailbox(address string) (p person, ok bool) {
	local, domain, _ := strings.Cut(strings.ToLower(strings.TrimSpace(address)), "@")
	if p.domain, ok = lookup.Domain(domain); !ok || local == "" {
		return person{}, false
	}
	p.name, p.address = local, local+"@"+p.domain
	p.id = w.hash("mailbox", p.address)
	return p, true
}

// known returns what a vendor has about p.
func (w world) known(v profile, p person) fact {
	forced := magic(v.name, p)
	switch {
	case p.address != "" && v.validate != "":
		return w.verdict(p)
	case p.address != "" || v.find == "":
		return unknown
	case forced != nil && forced.Answers:
		return valid
	case forced != nil, w.roll("exists", p) >= shareExisting:
		return unknown
	case w.roll("blocked", p) < shareBlocked:
		if v.habits.blocks {
			return blocked
		}
		return unknown
	case w.roll("known to "+v.name, p) >= v.share:
		return unknown
	case w.acceptsAll(p.domain):
		return v.habits.catchAll // or unknown, of a vendor that shows verified addresses only
	}
	quirk := w.roll("quirk of "+v.name, p)
	switch {
	case quirk >= shareQuirk:
		return valid
	case quirk < shareQuirk/2, p.byCompany && v.habits.quirk == foreign:
		return unverified // without a domain in the question nobody could tell a foreign one
	}
	return v.habits.quirk
}

func (w world) acceptsAll(domain string) bool {
	if strings.HasPrefix(domain, "fault-") { // a fault is about what could have been known
		return false
	}
	return unit(w.hash("catch-all", domain)) < shareCatchAll
}

// verdict returns the truth about a mailbox.
func (w world) verdict(p person) fact {
	luck := w.roll("mailbox", p)
	switch {
	case w.acceptsAll(p.domain):
		return catchAll
	case luck < 0.70:
		return valid
	case luck < 0.92:
		return invalid
	case luck < 0.96:
		return disposable
	}
	return unclear
}

// email returns p's address. Everybody at a domain follows one pattern.
func (w world) email(p person) string {
	first, last, _ := strings.Cut(p.name, " ")
	first, last = slug(first), slug(last)
	if first == "" || last == "" {
		return "p" + strconv.FormatUint(p.id%1_000_000, 10) + "@" + p.domain
	}
	switch w.hash("pattern", p.domain) % 3 {
	case 0:
		return clip(first+"."+last) + "@" + p.domain
	case 1:
		return clip(first[:1]+last) + "@" + p.domain
	}
	return clip(last+"."+first[:1]) + "@" + p.domain
}

// clip keeps a local part within what mail allows.
func clip(local string) string { return local[:min(len(local), 64)] }

// shown returns the address as a vendor that has this fact shows it.
func (w world) shown(f fact, p person) string {
	email := w.email(p)
	if p.address != "" {
		return p.address
	}
	local, _, _ := strings.Cut(email, "@")
	switch f {
	case masked:
		return local[:1] + "***@" + p.domain
	case foreign:
		return local + "@elsewhere-" + strconv.FormatUint(p.id%97, 10) + ".test"
	case unknown, blocked:
		return ""
	}
	return email
}

// mxProvider returns who receives the mail of a domain.
func (w world) mxProvider(domain string) string {
	return []string{"Google", "Microsoft", "Other"}[w.hash("mx", domain)%3]
}

// magic returns the fault that a magic domain forces on every call to a vendor:
// fault-reset.test on all of them, fault-reset.hunter.test on Hunter. nil for
// any other domain.
func magic(vendor string, p person) *Fault {
	name, is := strings.CutPrefix(p.domain, "fault-")
	name, test := strings.CutSuffix(name, ".test")
	name, only, some := strings.Cut(name, ".")
	if !is || !test || some && only != vendor {
		return nil
	}
	return faultsByName[strings.ReplaceAll(name, "-", "_")]
}

// roll returns a number from 0 to 1 that stays the same for p.
func (w world) roll(about string, p person) float64 {
	return unit(w.hash(about, strconv.FormatUint(p.id, 36)))
}

func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// hash is FNV-1a over the seed and the parts, with a finish that spreads
// changes of single bits over the whole number.
func (w world) hash(parts ...string) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037) ^ w.seed*0x9E3779B97F4A7C15
	for _, part := range parts {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * prime
		}
		h = (h ^ 0xff) * prime // 0xff is in no UTF-8 text: it ends the part
	}
	h = (h ^ h>>30) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>27) * 0x94D049BB133111EB
	return h ^ h>>31
}
