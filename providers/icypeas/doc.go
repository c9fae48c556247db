// Package icypeas speaks the wire format of Icypeas (https://app.icypeas.com/api).
//
// Icypeas is asynchronous: a search is taken on as a job, and its result is
// read later under the job's id, which is the ticket of package providers. So
// [Adapter.Request] builds the search, or, with a ticket in the context, the
// reading. An address counts only if Icypeas is as sure of it as it can be.
// Which statuses it uses to throttle and to refuse is not documented; the usual
// ones are understood. The package makes no call and keeps no state.
package icypeas
