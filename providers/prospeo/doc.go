// Package prospeo speaks the wire format of Prospeo (https://api.prospeo.io).
//
// It builds requests and classifies answers for the email finder, which is
// Prospeo's /enrich-person. Prospeo's statuses say little: 400 may be a miss,
// missing credits or an internal error, so the error_code in the body decides.
// The package makes no call, keeps no state and never sees the operator's key
// except in Authorise.
package prospeo
