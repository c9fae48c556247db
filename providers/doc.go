// Package providers asks upstream vendors, and keeps our standing with them.
//
// An [Adapter] knows one vendor's wire format: it builds a request and, with
// one pure function, classifies the answer. A [Guard] stands around every call:
// it keeps them within the vendor's quotas, stops asking a vendor that is down,
// and parks one that refuses our key or has no money left. A [Fleet] makes all
// that of one for all processes. A [Waterfall] asks the providers of a service in
// order until one has a result.
//
// The package promises that an answer nobody documented is never a hit, that a
// hit was checked before it is called one ([Validate]), and that nothing a
// customer asked appears in an error, a log line or a metric's label. It knows
// neither credits nor storage: what a result costs, and whether it was stored,
// is not its business.
package providers
