package client

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/magpie-hq/magpie/lookup"
)

// Codes of errors, as far as programs act on them.
const (
	CodeValidation     = "validation_error"
	CodeMissingAuth    = "missing_authentication"
	CodeInvalidKey     = "invalid_api_key"
	CodeInsufficient   = "insufficient_credits"
	CodePermissions    = "insufficient_permissions"
	CodeNotFound       = "not_found"
	CodeConflict       = "conflict"
	CodeTooLarge       = "payload_too_large"
	CodeMediaType      = "unsupported_media_type"
	CodeMismatch       = "idempotency_mismatch"
	CodeCap            = "spend_cap" // in Errors, with CodeInsufficient: it is the key's monthly cap
	CodeRateLimit      = "rate_limit_exceeded"
	CodeUnavailable    = "provider_unavailable"
	maxErrorBody       = 1 << 20
	contentTypeProblem = "application/problem+json"
)

// Error is a request that the server refused.
type Error struct {
	Status     int           `json:"status"` // of HTTP
	Code       string        `json:"code"`   // one of the codes; "" if the answer was not Magpie's
	Detail     string        `json:"detail"` // what is wrong and what to do about it
	RequestID  string        `json:"request_id"`
	Errors     []FieldError  `json:"errors,omitempty"` // the parameters at fault
	RetryAfter time.Duration `json:"-"`                // 0: the server did not say

	// With CodeInsufficient: what the request can cost, what there is, and
	// where to buy ("" if the operator is to be asked).
	CreditsRequired  *lookup.Credits `json:"credits_required,omitempty"`
	CreditsAvailable *lookup.Credits `json:"credits_available,omitempty"`
	BuyURL           string          `json:"buy_url,omitempty"`
}

// FieldError says which parameter of a request is at fault.
type FieldError struct {
	Param  string `json:"param"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error returns the server's own words.
func (e *Error) Error() string { return e.Detail }

// Temporary reports whether the same request may be granted a little later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusConflict: // the first request with the same Idempotency-Key is at work
		return e.RetryAfter > 0
	}
	return false
}

// readError reads a refusal. Whatever stands between may have answered instead
// of the server, so nothing is taken for granted.
func readError(answer *http.Response) *Error {
	e := &Error{}
	media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err == nil && media == contentTypeProblem {
		if json.NewDecoder(io.LimitReader(answer.Body, maxErrorBody)).Decode(e) != nil {
			e = &Error{}
		}
	}
	e.Status = answer.StatusCode
	if e.RequestID == "" {
		e.RequestID = answer.Header.Get("X-Request-Id")
	}
	if e.Detail == "" {
		e.Detail = "the server answered " + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status) + " without saying why; check its address"
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(min(seconds, 86_400)) * time.Second
	}
	return e
}
