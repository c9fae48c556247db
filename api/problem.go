package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// Codes of problems.
const (
	codeValidation     = "validation_error"
	codeMissingAuth    = "missing_authentication"
	codeInvalidKey     = "invalid_api_key"
	codeInsufficient   = "insufficient_credits"
	codePermissions    = "insufficient_permissions"
	codeNotFound       = "not_found"
	codeMethod         = "method_not_allowed"
	codeConflict       = "conflict"
	codeTooLarge       = "payload_too_large"
	codeMedia          = "unsupported_media_type"
	codeCap            = "spend_cap"
	codeMismatch       = "idempotency_mismatch"
	codeRate           = "rate_limit_exceeded"
	codeClosed         = "client_closed_request"
	codeInternal       = "internal_error"
	codeUnavailable    = "provider_unavailable"
	statusClientClosed = 499
	contentProblem     = "application/problem+json"
	retryProvider      = "30" // seconds after which a provider is worth another try
	retryStorage       = "5"  // seconds after which storage is worth another try
)

// problem is an error answer, by RFC 9457.
type problem struct {
	Type      string       `doc:"Identifies the kind of problem."               json:"type"`
	Title     string       `doc:"The HTTP status in words."                     json:"title"`
	Status    int          `doc:"The HTTP status."                              json:"status"`
	Detail    string       `doc:"What is wrong and what to do about it."        json:"detail"`
	Code      string       `doc:"The kind of problem, for programs."            json:"code"`
	RequestID string       `doc:"Names this request; quote it to the operator." json:"request_id"`
	Errors    []fieldError `doc:"The parameters at fault."                      json:"errors,omitempty"`

	CreditsRequired  *lookup.Credits `doc:"With insufficient_credits: what the request can cost." json:"credits_required,omitempty"`
	CreditsAvailable *lookup.Credits `doc:"With insufficient_credits: what is there."             json:"credits_available,omitempty"`
	BuyURL           string          `doc:"With insufficient_credits: where credits are bought."  json:"buy_url,omitempty"`

	header http.Header
}

// fieldError says which parameter of a request is at fault. It never repeats
// the parameter's value.
type fieldError struct {
	Param  string `doc:"The parameter or field."                json:"param"`
	Code   string `doc:"The kind of fault, for programs."       json:"code"`
	Detail string `doc:"What is wrong and what to do about it." json:"detail"`
}

// Error names the code only: details are for the caller, not for the log.
func (p *problem) Error() string { return "api: " + p.Code }

// GetStatus and GetHeaders are what huma asks of an error.
func (p *problem) GetStatus() int { return p.Status }

func (p *problem) GetHeaders() http.Header { return p.header }

// ContentType is what huma asks of a body with a media type of its own.
func (p *problem) ContentType(string) string { return contentProblem }

func newProblem(status int, code, detail string, fields ...fieldError) *problem {
	title := http.StatusText(status)
	if status == statusClientClosed {
		title = "Client Closed Request"
	}
	return &problem{
		Type: "urn:magpie:problem:" + code, Title: title, Status: status,
		Detail: detail, Code: code, Errors: fields, header: http.Header{},
	}
}

func (p *problem) with(header, value string) *problem {
	p.header.Set(header, value)
	return p
}

// invalid refuses a request because of one parameter.
func invalid(param, detail string) *problem {
	return invalidFields(fieldError{param, codeValidation, detail})
}

func invalidFields(fields ...fieldError) *problem {
	detail := fields[0].Param + ": " + fields[0].Detail
	if more := len(fields) - 1; more > 0 {
		detail += " (and " + strconv.Itoa(more) + " more, see errors)"
	}
	return newProblem(http.StatusBadRequest, codeValidation, detail, fields...)
}

func unavailable(detail string) *problem {
	return newProblem(http.StatusServiceUnavailable, codeUnavailable, detail).with("Retry-After", retryProvider)
}

// table turns the errors of the packages below into problems. The first entry
// that matches counts.
var table = []struct {
	is      error
	problem func() *problem
}{
	{store.ErrNotFound, func() *problem {
		return newProblem(http.StatusNotFound, codeNotFound, "there is no such object")
	}},
	{books.ErrReference, func() *problem {
		return newProblem(http.StatusConflict, codeConflict, "the reference belongs to another grant, with another amount or source; use a new one",
			fieldError{"reference", codeConflict, "was used for another grant"})
	}},
	{books.ErrExpiry, func() *problem {
		return invalid("expires_at", "want a time in the future")
	}},
	{books.ErrTooMuch, func() *problem {
		return invalid("credits", "an organization can be granted at most "+lookup.MaxCredits.String()+" credits in all")
	}},
	{store.ErrConflict, func() *problem {
		return newProblem(http.StatusConflict, codeConflict, "the object is not in a state that allows this")
	}},
	{enrich.ErrUnavailable, func() *problem {
		return unavailable("no provider could answer in time; nothing was charged, try again")
	}},
	{context.Canceled, func() *problem {
		return newProblem(statusClientClosed, codeClosed, "the client hung up before the answer")
	}},
}

// problemOf turns any error into a problem. What nobody foresaw is an internal
// error, whose cause is logged and not told.
func problemOf(err error) *problem {
	var known *problem
	var upload *intake.Error
	var input *lookup.InputError
	var size *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &upload):
		return uploadProblem(upload)
	case errors.As(err, &input):
		return invalidFields(fieldError{input.Field, input.Code, input.Detail})
	case errors.As(err, &size):
		return newProblem(http.StatusRequestEntityTooLarge, codeTooLarge, "the body is larger than "+strconv.FormatInt(size.Limit, 10)+" bytes; send less at once")
	}
	if store.Unreachable(err) && !errors.Is(err, store.ErrUnknownOutcome) {
		return newProblem(http.StatusServiceUnavailable, codeUnavailable, "the storage behind the API cannot be reached for the moment; try again").with("Retry-After", retryStorage)
	}
	for _, entry := range table {
		// What may have been done was not refused, whoever hung up.
		if errors.Is(err, entry.is) && !errors.Is(err, store.ErrUnknownOutcome) {
			return entry.problem()
		}
	}
	return newProblem(http.StatusInternalServerError, codeInternal, "this is our fault; try again, and if it stays tell the operator the request_id")
}

func uploadProblem(e *intake.Error) *problem {
	status := map[string]int{
		intake.CodeUnsupported: http.StatusUnsupportedMediaType,
		intake.CodeTooLarge:    http.StatusRequestEntityTooLarge,
	}[e.Code]
	if status == 0 {
		status = http.StatusBadRequest
	}
	return newProblem(status, e.Code, e.Error(), fieldError{e.Param, e.Code, e.Detail})
}

// writeProblem answers a request that does not get as far as huma.
func writeProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	p.RequestID = visitOf(r.Context()).id
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", contentProblem)
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p) //nolint:errchkjson // a problem has a form, and the caller may have hung up
	}
}
