// Package hunter speaks the wire format of Hunter (https://api.hunter.io/v2).
//
// It builds requests and classifies answers for the email finder. Hunter's
// statuses mislead: 403 is a throttle, 429 a plan that is used up, 202 "not
// ready yet", and 400 may be a plain miss. The package makes no call, keeps no
// state and never sees the operator's key except in Authorise.
package hunter
