package providers

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Outcome sorts a vendor's answer into the classes that decide what happens next.
type Outcome uint8

// The outcomes of a call. The zero value is Transient, so that an answer
// nobody thought of is neither a hit nor a miss.
const (
	Transient  Outcome = iota // 5xx, timeout, reset, undecodable body: counts for the breaker
	Hit                       // a result, checked by Validate
	Miss                      // the vendor definitely has nothing
	Ineligible                // this vendor cannot take this input
	Pending                   // not ready yet: ask again after Answer.After, with Answer.Ticket if there is one
	Throttled                 // slow down until Answer.After has passed
	Quota                     // our plan is used up: park the vendor
	Auth                      // our key is refused: park the vendor
	Blocked                   // nobody may be asked about this person (legal)
	BadRequest                // the vendor does not understand us: our bug
)

// Outcomes lists every outcome, for metrics that must show zeros.
var Outcomes = []Outcome{Transient, Hit, Miss, Ineligible, Pending, Throttled, Quota, Auth, Blocked, BadRequest}

var outcomeNames = [...]string{"transient", "hit", "miss", "ineligible", "pending", "throttled", "quota", "auth", "blocked", "bad_request"}

// String is the outcome's name in metrics and logs.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "transient"
}

// Answer is what one provider said to one question.
type Answer struct {
	Outcome Outcome
	// Result holds, on a hit, the fields of the service by the names of
	// lookup.Service.ResultFields. Values are strings, booleans, numbers or nil.
	// On a miss of email validation it may hold what the vendor says without being
	// sure ("catch_all", "unknown"): the customer is told, free.
	Result map[string]any
	// After is how long to wait: with Throttled before any call to this
	// vendor, with Pending before repeating this one. Zero: the vendor did not say.
	After time.Duration
	// Ticket is, with Pending, what an asynchronous vendor calls the job that it
	// has taken on: see [Ticket]. Empty: the same request is repeated.
	Ticket string
	// Lost is set, with Transient, where a call was made and no answer came that
	// anybody can read: the vendor may have charged for it all the same.
	Lost bool
	// Reason is a short fixed word for logs and metrics ("no_match",
	// "plan_limit"). It never carries anything from the question or the body.
	Reason string
	// NotAsked is set where the vendor saw no call: it was held back (busy,
	// parked, breaker open) or cannot take such a query. Outcome says which
	// class that is, and After when to try again.
	NotAsked bool
}

// Provider answers questions. Implementations are safe for concurrent use and
// return before ctx ends its patience; a call that was cut short is Transient.
type Provider interface {
	Name() string               // fixed, lower case: "hunter"
	Services() []lookup.Service // what it can be asked
	Ask(ctx context.Context, q lookup.Query) Answer
}

// Adapter is one vendor's wire format, without any network of its own.
type Adapter interface {
	Name() string
	Services() []lookup.Service
	// Request builds the call for q, relative to base (no trailing slash) and
	// without the vendor's key, which is added at the last moment. ok is false where the
	// vendor cannot take such a query (the answer is then Ineligible).
	Request(ctx context.Context, base string, q lookup.Query) (req *http.Request, ok bool)
	// Classify reads the answer. It is pure: the same bytes give the same
	// answer, whatever the time.
	Classify(service lookup.Service, status int, header http.Header, body []byte) Answer
	// Authorise adds the operator's key to a request about to be sent.
	Authorise(req *http.Request, key string)
}

// Verdict is how a waterfall ended for one question.
type Verdict struct {
	Outcome  lookup.Outcome  // Found, NotFound or Failed; meaningless if Later is set
	Result   json.RawMessage // with Found; with NotFound a remark that is free, or nil
	Provider string
	Error    *lookup.RowError // set with Failed
	// Later is set when no provider had a result and at least one that might
	// have one could not be asked now (throttled, down, parked). Ask again after
	// this long; the caller owns the deadline after which the row is failed.
	Later time.Duration
	// Trail is, with Later and Failed, what the providers have said so far. The
	// caller keeps it and gives it to the next Ask ([WithTrail]).
	Trail Trail
}
