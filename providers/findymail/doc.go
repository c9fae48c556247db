// Package findymail speaks the wire format of Findymail
// (https://app.findymail.com).
//
// It builds requests and classifies answers for the email finder. Findymail
// shows verified addresses only, so every address is valid. Its errors are texts
// without a code, sometimes under status 200: one about credits means that the
// plan is used up, whatever the status. 423 is a subscription that is paused.
// The package makes no call, keeps no state and never sees the operator's key
// except in Authorise.
package findymail
