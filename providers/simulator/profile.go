package simulator

import "github.com/magpie-hq/magpie/lookup"

// Profile is what the simulator knows about one vendor.
type Profile struct {
	Name       string           `json:"name"`
	Path       string           `json:"path"` // where its interface begins
	Services   []lookup.Service `json:"services"`
	Documented Quota            `json:"documented"` // what the vendor allows by its documentation
}

// profile describes one vendor: what it documents, and how it speaks.
type profile struct {
	name, title, path string
	named             bool   // has a field of its own in Config
	find              string // pattern of the request for a person's address, after the path; "": it has none
	read              string // pattern of the request that fetches a job's result
	validate          string // pattern of the request that validates an address; "": it has none
	asynchronous      bool
	immediate         bool // has no way to say "not ready"
	repeatsFree       bool // a question that was charged is free from then on
	documented        Quota
	share             float64 // how much of the world it knows
	habits            habits
	dialect           dialect
}

// habits are what a vendor does with what it does not know well.
type habits struct {
	catchAll fact // how somebody at a catch-all domain appears; "": not at all
	blocks   bool // says who has objected
	quirk    fact // what half of its odd records are; the others are unverified
}

const (
	hunterName          = "hunter"
	prospeoName         = "prospeo"
	icypeasName         = "icypeas"
	findymailName       = "findymail"
	leadMagicName       = "leadmagic"
	millionVerifierName = "millionverifier"
)

// Where the vendors' interfaces begin, relative to the server's root.
const (
	HunterPath          = "/hunter/v2"
	ProspeoPath         = "/prospeo"
	IcypeasPath         = "/icypeas/api"
	FindymailPath       = "/findymail"
	LeadMagicPath       = "/leadmagic/v1"
	MillionVerifierPath = "/millionverifier/api/v3"
)

// profiles are all vendors, in the order in which a waterfall asks them. The
// quotas are those of the smallest paid plan that is documented.
var profiles = []profile{
	{
		name: hunterName, title: "Hunter", path: HunterPath, named: true,
		find: "GET /email-finder", documented: Quota{PerSecond: 15, PerMinute: 500}, share: 0.55,
		habits: habits{catchAll: catchAll, blocks: true, quirk: foreign}, dialect: hunterDialect{},
	},
	{
		name: prospeoName, title: "Prospeo", path: ProspeoPath, named: true,
		find: "POST /enrich-person", documented: Quota{PerSecond: 5, PerMinute: 300, PerDay: 2000}, share: 0.50,
		immediate: true, repeatsFree: true, habits: habits{quirk: masked}, dialect: prospeoDialect{},
	},
	{
		name: icypeasName, title: "Icypeas", path: IcypeasPath,
		find: "POST /email-search", read: "POST /bulk-single-searchs/read", asynchronous: true, share: 0.45,
		habits: habits{quirk: foreign}, dialect: icypeasDialect{},
	},
	{
		name: findymailName, title: "Findymail", path: FindymailPath,
		find: "POST /api/search/name", documented: Quota{Concurrent: 300}, share: 0.50,
		immediate: true, habits: habits{quirk: foreign}, dialect: findymailDialect{},
	},
	{
		name: leadMagicName, title: "LeadMagic", path: LeadMagicPath,
		find: "POST /people/email-finder", validate: "POST /people/email-validation", documented: Quota{PerMinute: 300, Fixed: true}, share: 0.50,
		immediate: true, habits: habits{catchAll: catchAll, quirk: foreign}, dialect: leadMagicDialect{},
	},
	{
		name: millionVerifierName, title: "MillionVerifier", path: MillionVerifierPath,
		validate: "GET /{$}", documented: Quota{PerSecond: 160}, share: 1,
		immediate: true, dialect: millionVerifierDialect{},
	},
}

// services are what the vendor can be asked.
func (p profile) services() (all []lookup.Service) {
	if p.find != "" {
		all = append(all, lookup.EmailFinder)
	}
	if p.validate != "" {
		all = append(all, lookup.EmailValidation)
	}
	return all
}

// Profiles lists the vendors, in the order in which a waterfall asks them.
func Profiles() []Profile {
	all := make([]Profile, len(profiles))
	for i, p := range profiles {
		all[i] = Profile{Name: p.name, Path: p.path, Services: p.services(), Documented: p.documented}
	}
	return all
}

func findProfile(name string) (profile, bool) {
	for _, p := range profiles {
		if p.name == name {
			return p, true
		}
	}
	return profile{}, false
}

// otherNames are the vendors of Config.Others.
func otherNames() (names []string) {
	for _, p := range profiles {
		if !p.named {
			names = append(names, p.name)
		}
	}
	return names
}
