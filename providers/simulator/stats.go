package simulator

import "maps"

// Stats is what the simulator saw since its start or reset.
type Stats struct {
	Vendors map[string]VendorStats `json:"vendors"`
	// ServedValid is the number of different questions to which at least one
	// vendor gave a verified address. Nobody can rightly be charged for more,
	// unless catch-all addresses were accepted: then add ServedCatchAll, the
	// questions that were answered with such an address only.
	ServedValid    int `json:"served_valid"`
	ServedCatchAll int `json:"served_catch_all"`
}

// VendorStats is what one vendor saw.
type VendorStats struct {
	Calls          int            `json:"calls"`      // refused ones included
	Answers        map[string]int `json:"answers"`    // by kind
	Violations     map[string]int `json:"violations"` // calls over quota: second, minute, day, concurrent
	Faults         map[string]int `json:"faults"`     // injected, by family: F6
	Charged        int            `json:"charged"`    // answers that the vendor bills, each repeat that is not free included
	MostConcurrent int            `json:"most_concurrent"`
}

// Violated is the number of times a quota was exceeded, of any kind.
func (s Stats) Violated() int {
	n := 0
	for _, v := range s.Vendors {
		for _, times := range v.Violations {
			n += times
		}
	}
	return n
}

func newVendorStats() VendorStats {
	return VendorStats{
		Answers:    map[string]int{},
		Violations: map[string]int{"second": 0, "minute": 0, "day": 0, "concurrent": 0},
		Faults:     map[string]int{},
	}
}

// Stats returns a copy of the counts.
func (s *Simulator) Stats() Stats {
	all := Stats{Vendors: map[string]VendorStats{}}
	served := map[uint64]fact{}
	for _, v := range s.vendors {
		v.mu.Lock()
		copied := v.stats
		copied.Answers, copied.Violations = maps.Clone(v.stats.Answers), maps.Clone(v.stats.Violations)
		copied.Faults = maps.Clone(v.stats.Faults)
		for id, f := range v.billed { // a mailbox that does not exist is a verified answer too
			if served[id] != valid {
				served[id] = f
			}
		}
		v.mu.Unlock()
		all.Vendors[v.name] = copied
	}
	for _, f := range served {
		if f != catchAll {
			all.ServedValid++
		} else {
			all.ServedCatchAll++
		}
	}
	return all
}
