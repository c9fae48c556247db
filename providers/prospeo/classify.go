package prospeo

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// answer is the part of Prospeo's JSON that is read.
type answer struct {
	Error     any    `json:"error"` // a boolean, or whatever means one
	ErrorCode string `json:"error_code"`
	Person    *struct {
		Email *struct {
			Status   string `json:"status"`
			Revealed any    `json:"revealed"` // as Error
			Email    string `json:"email"`
			Provider string `json:"email_mx_provider"`
		} `json:"email"`
	} `json:"person"`
}

// byCode is what each documented error code means, whatever the status.
var byCode = map[string]providers.Answer{
	"NO_MATCH":             {Outcome: providers.Miss, Reason: "no_match"},
	"NO_RESULTS":           {Outcome: providers.Miss, Reason: "no_match"},
	"INSUFFICIENT_CREDITS": {Outcome: providers.Quota, Reason: "plan_limit"},
	"INVALID_API_KEY":      {Outcome: providers.Auth, Reason: "key_refused"},
	"ACCOUNT_RESTRICTED":   {Outcome: providers.Auth, Reason: "account_restricted"},
	"RATE_LIMITED":         {Outcome: providers.Throttled, Reason: "rate_limit"},
	"RATE_LIMIT_EXCEEDED":  {Outcome: providers.Throttled, Reason: "rate_limit"},
	"INTERNAL_ERROR":       {Outcome: providers.Transient, Reason: "server_error"},
	"INVALID_DATAPOINTS":   {Outcome: providers.Ineligible, Reason: "invalid_datapoints"},
	"INVALID_REQUEST":      {Outcome: providers.BadRequest, Reason: "not_understood"},
	"INVALID_FILTERS":      {Outcome: providers.BadRequest, Reason: "not_understood"},
	"DEPRECATED":           {Outcome: providers.BadRequest, Reason: "endpoint_removed"},
}

// Classify reads an answer of /enrich-person. The error code decides; only
// without one does the status.
func (Adapter) Classify(_ lookup.Service, status int, header http.Header, body []byte) providers.Answer {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		if status == http.StatusUnauthorized { // a gateway may say it in plain text
			return byStatus(status, header)
		}
		return providers.Answer{Outcome: providers.Transient, Reason: "undecodable"}
	}
	if a.ErrorCode != "" {
		known, ok := byCode[a.ErrorCode]
		if !ok {
			return byStatus(status, header)
		}
		if known.Outcome == providers.Throttled {
			known.After = resetAfter(header)
		}
		return known
	}
	if status == http.StatusOK && (a.Error == false || a.Error == "false") {
		return found(a)
	}
	return byStatus(status, header)
}

// found reads an answer without an error: an address counts only if it was
// revealed and verified.
func found(a answer) providers.Answer {
	switch {
	case a.Person == nil:
		return providers.Answer{Outcome: providers.Miss, Reason: "no_match"}
	case a.Person.Email == nil || a.Person.Email.Email == "":
		return providers.Answer{Outcome: providers.Miss, Reason: "no_email"}
	}
	email, domain, ok := providers.ParseEmail(a.Person.Email.Email)
	revealed := a.Person.Email.Revealed == true || a.Person.Email.Revealed == "true"
	switch {
	case !revealed || !ok:
		return providers.Answer{Outcome: providers.Miss, Reason: "masked"}
	case !strings.EqualFold(a.Person.Email.Status, "verified"):
		return providers.Answer{Outcome: providers.Miss, Reason: "unverified"}
	}
	result := map[string]any{"email": email, "status": "valid", "domain": domain}
	if a.Person.Email.Provider != "" {
		result["mx_provider"] = a.Person.Email.Provider
	}
	return providers.Answer{Outcome: providers.Hit, Reason: "valid", Result: result}
}

// byStatus classifies an answer whose error code is missing or unknown.
func byStatus(status int, header http.Header) providers.Answer {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}
	case status == http.StatusTooManyRequests:
		return providers.Answer{Outcome: providers.Throttled, After: resetAfter(header), Reason: "rate_limit"}
	case status == http.StatusPaymentRequired:
		return providers.Answer{Outcome: providers.Quota, Reason: "plan_limit"}
	case status >= 400 && status < 500:
		return providers.Answer{Outcome: providers.BadRequest, Reason: "not_understood"}
	}
	return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
}

// resetAfter returns when the window that is used up begins anew: the longest
// of those with nothing left, or else the shortest that has a reset at all.
func resetAfter(header http.Header) time.Duration {
	var usedUp, shortest time.Duration
	for _, window := range []string{"second", "minute", "daily"} {
		reset := seconds(header.Get("x-" + window + "-reset-seconds"))
		if reset > 0 && (shortest == 0 || reset < shortest) {
			shortest = reset
		}
		if strings.TrimSpace(header.Get("x-"+window+"-request-left")) == "0" {
			usedUp = max(usedUp, reset)
		}
	}
	if usedUp > 0 {
		return usedUp
	}
	return shortest
}

func seconds(value string) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(n > 0) {
		return 0
	}
	return time.Duration(min(n, 86400) * float64(time.Second))
}
