// Package leadmagic speaks the wire format of LeadMagic
// (https://api.leadmagic.io/v1).
//
// It builds requests and classifies answers for the email finder and for email
// validation. A miss is a 200 without an address. Errors come in two shapes, a
// list of problems with a code or one word with a message; a code that is known
// outweighs the status. LeadMagic tells "valid_catch_all", which it vouches for,
// from "catch_all", which it does not. The package makes no call, keeps no state
// and never sees the operator's key except in Authorise.
package leadmagic
