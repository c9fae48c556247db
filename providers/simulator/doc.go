// Package simulator is a stand-in for the upstream vendors: an HTTP server that
// speaks their wire formats over a world in which the truth is known.
//
// The same seed and the same question give the same truth for ever, and
// [Simulator.Truth] tells it, so any run can be audited from outside. Quotas
// are enforced in the vendor's own units (windows that slide or jump, calls at
// once) and violations counted. [Catalogue] lists the faults: each may strike a
// share of the calls, decided by the seed; at a known time ([Spell]); or always,
// for a question about the domain fault-NAME.test, or fault-NAME.VENDOR.test for
// one vendor. A fault that changes what a vendor shows (a masked value, another
// person) is not in the truth, which is what a vendor has.
//
// It imitates what the vendors document, not what their servers do inside, and
// holds no real person: names come from the questions, addresses are invented.
// It sends nothing by itself, so it has no webhooks, and speaks no SMTP.
package simulator
