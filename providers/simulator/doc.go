// Package simulator is a stand-in for the upstream vendors: an HTTP server that
// speaks their wire formats over a world in which the truth is known.
//
// The same seed and the same question give the same truth for ever, and
// [Simulator.Truth] tells it, so any run can be audited from outside. Quotas
// are enforced and violations counted; latency, faults and a brown-out come
// from the configuration. A question about the domain fault-KIND.test is always
// answered with that fault: throttled, plan-used-up, key-refused,
// not-understood, error, html, truncated, reset or pending.
//
// It imitates what the vendors document, not what their servers do inside, and
// holds no real person: names come from the questions, addresses are invented.
package simulator
