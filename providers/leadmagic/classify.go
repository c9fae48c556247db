package leadmagic

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// answer is the part of LeadMagic's JSON that is read, of both services and of
// errors in both shapes. Fields whose type has been seen to vary are any.
type answer struct {
	Email     *string `json:"email"`
	Status    string  `json:"status"`       // of the email finder
	Validated string  `json:"email_status"` // of email validation
	CatchAll  any     `json:"is_domain_catch_all"`
	MXRecord  any     `json:"mx_record"`
	Provider  any     `json:"mx_provider"`
	Success   any     `json:"success"`
	Errors    []struct {
		Code any `json:"code"`
	} `json:"errors"`
	Error any `json:"error"` // of the older shape
}

// byCode is what each documented code means, whatever the status.
var byCode = map[string]providers.Answer{
	"validation_error":         {Outcome: providers.BadRequest, Reason: "not_understood"},
	"missing_required_field":   {Outcome: providers.BadRequest, Reason: "not_understood"},
	"invalid_json":             {Outcome: providers.BadRequest, Reason: "not_understood"},
	"invalid_parameter":        {Outcome: providers.BadRequest, Reason: "not_understood"},
	"missing_authentication":   {Outcome: providers.Auth, Reason: "key_refused"},
	"invalid_api_key":          {Outcome: providers.Auth, Reason: "key_refused"},
	"insufficient_permissions": {Outcome: providers.Auth, Reason: "account_restricted"},
	"insufficient_credits":     {Outcome: providers.Quota, Reason: "plan_limit"},
	"credits_exhausted":        {Outcome: providers.Quota, Reason: "plan_limit"},
	"resource_not_found":       {Outcome: providers.Miss, Reason: "no_match"},
	"profile_not_found":        {Outcome: providers.Miss, Reason: "no_match"},
	"rate_limit_exceeded":      {Outcome: providers.Throttled, Reason: "rate_limit"},
	"internal_error":           {Outcome: providers.Transient, Reason: "server_error"},
	"external_service_error":   {Outcome: providers.Transient, Reason: "server_error"},
	"service_unavailable":      {Outcome: providers.Transient, Reason: "server_error"},
}

// Classify reads an answer of the email finder or of email validation. When to
// come back is in headers that are read for every vendor alike.
func (Adapter) Classify(service lookup.Service, status int, _ http.Header, body []byte) providers.Answer {
	var a *answer
	if json.Unmarshal(body, &a) != nil || a == nil {
		return unreadable(status)
	}
	if known, ok := byCode[code(*a)]; ok {
		return known
	}
	switch {
	case status != http.StatusOK:
		return byStatus(status, *a)
	case complains(*a):
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
	case service == lookup.EmailValidation:
		return validated(*a)
	}
	return found(*a)
}

// code is what an error is called, in small letters.
func code(a answer) string {
	said := a.Error
	if len(a.Errors) > 0 {
		said = a.Errors[0].Code
	}
	word, _ := said.(string)
	return strings.ToLower(word)
}

// complains reports whether an answer says that it is an error.
func complains(a answer) bool {
	return len(a.Errors) > 0 || a.Success == false || a.Success == "false" || a.Error != nil && a.Error != "" && a.Error != false
}

// unreadable classifies what is no object: some statuses say all, the others
// come from something in front of LeadMagic.
func unreadable(status int) providers.Answer {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusTooManyRequests, http.StatusUnavailableForLegalReasons:
		return byStatus(status, answer{})
	}
	return providers.Answer{Outcome: providers.Transient, Reason: "undecodable"}
}

// byStatus classifies an answer whose code is missing or unknown.
func byStatus(status int, a answer) providers.Answer {
	switch {
	case status >= 500:
		return providers.Answer{Outcome: providers.Transient, Reason: "server_error"}
	case status < 400:
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}
	case status == http.StatusPaymentRequired:
		return providers.Answer{Outcome: providers.Quota, Reason: "plan_limit"}
	case status == http.StatusTooManyRequests:
		return providers.Answer{Outcome: providers.Throttled, Reason: "rate_limit"}
	case status == http.StatusUnavailableForLegalReasons:
		return providers.Answer{Outcome: providers.Blocked, Reason: "person_objected"}
	case status == http.StatusNotFound && !complains(a): // else it may be the path that does not exist
		return providers.Answer{Outcome: providers.Miss, Reason: "no_match"}
	}
	return providers.Answer{Outcome: providers.BadRequest, Reason: "not_understood"}
}

// found reads an answer of the email finder: an address counts only if LeadMagic
// vouches for it. Where two fields contradict each other the domain is taken to
// accept everything.
func found(a answer) providers.Answer {
	if a.Email == nil || *a.Email == "" {
		return providers.Answer{Outcome: providers.Miss, Reason: "no_match"}
	}
	email, domain, ok := providers.ParseEmail(*a.Email)
	if !ok {
		return providers.Answer{Outcome: providers.Miss, Reason: "masked"}
	}
	status := strings.ToLower(a.Status)
	switch {
	case status == "valid" && acceptsAll(a):
		status = "valid_catch_all"
	case status != "valid" && status != "valid_catch_all":
		return providers.Answer{Outcome: providers.Miss, Reason: "unverified"}
	}
	return providers.Answer{Outcome: providers.Hit, Reason: status, Result: map[string]any{
		"email": email, "status": status, "domain": domain, "mx_provider": a.Provider,
	}}
}

// validated reads an answer of email validation: only a definite one is a hit.
func validated(a answer) providers.Answer {
	status := strings.ToLower(a.Validated)
	told := providers.Answer{Outcome: providers.Hit}
	switch {
	case status == "":
		return providers.Answer{Outcome: providers.Transient, Reason: "no_verdict"}
	case status == "valid" && acceptsAll(a):
		status = "valid_catch_all"
	case status == "valid", status == "valid_catch_all", status == "invalid":
	case providers.CatchAll(status):
		told.Outcome, status = providers.Miss, "catch_all"
	default: // unknown and whatever comes
		told.Outcome, status = providers.Miss, "unknown"
	}
	told.Reason = status
	told.Result = map[string]any{"email_status": status, "mx_record": a.MXRecord, "mx_provider": a.Provider}
	if a.Email != nil {
		told.Result["email"] = *a.Email
	}
	return told
}

func acceptsAll(a answer) bool { return a.CatchAll == true || a.CatchAll == "true" }
