package hunter

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// answer is the part of Hunter's JSON that is read. Fields whose type has been
// seen to vary are any.
type answer struct {
	Data *struct {
		Email        *string `json:"email"`
		Score        any     `json:"score"`
		AcceptAll    any     `json:"accept_all"`
		Verification struct {
			Status *string `json:"status"`
		} `json:"verification"`
	} `json:"data"`
	Errors []struct {
		ID string `json:"id"`
	} `json:"errors"`
}

// Classify reads an answer of the email finder. Some statuses say all; else
// what is not JSON is transient: it comes from something in front of Hunter.
func (Adapter) Classify(_ lookup.Service, status int, header http.Header, body []byte) providers.Answer {
	switch {
	case status >= 500:
		return providers.Answer{Outcome: providers.Transient, Reason: "server_error"}
	case status == http.StatusAccepted:
		return providers.Answer{Outcome: providers.Pending, After: retryAfter(header), Reason: "not_ready"}
	case status == http.StatusUnavailableForLegalReasons:
		return providers.Answer{Outcome: providers.Blocked, Reason: "person_objected"}
	case status == http.StatusUnauthorized:
		return providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}
	}
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return providers.Answer{Outcome: providers.Transient, Reason: "undecodable"}
	}
	if status == http.StatusOK && len(a.Errors) == 0 {
		return found(a)
	}
	return refused(a, status, header)
}

// found reads a 200: an address counts only if Hunter verified it.
func found(a answer) providers.Answer {
	switch {
	case a.Data == nil:
		return providers.Answer{Outcome: providers.Transient, Reason: "no_data"}
	case a.Data.Email == nil || *a.Data.Email == "":
		return providers.Answer{Outcome: providers.Miss, Reason: "no_match"}
	}
	email, domain, ok := providers.ParseEmail(*a.Data.Email)
	if !ok {
		return providers.Answer{Outcome: providers.Miss, Reason: "masked"}
	}
	status := verified(a)
	if status == "" {
		return providers.Answer{Outcome: providers.Miss, Reason: "unverified"}
	}
	return providers.Answer{Outcome: providers.Hit, Reason: status, Result: map[string]any{
		"email": email, "status": status, "domain": domain, "score": number(a.Data.Score),
	}}
}

// verified returns the address's status in our words, or "" where Hunter does
// not vouch for it. Where the two fields contradict each other the domain is
// taken to accept everything.
func verified(a answer) string {
	if a.Data.Verification.Status == nil {
		return ""
	}
	status := strings.ToLower(*a.Data.Verification.Status)
	switch {
	case providers.CatchAll(status):
		return "valid_catch_all"
	case status == "valid":
		switch a.Data.AcceptAll {
		case nil, false, "false":
			return "valid"
		}
		return "valid_catch_all"
	}
	return "" // invalid, webmail, disposable, unknown and whatever comes
}

// refused reads an error: its id where it has a meaning of its own, else the
// status in Hunter's sense.
func refused(a answer, status int, header http.Header) providers.Answer {
	id := ""
	if len(a.Errors) > 0 {
		id = a.Errors[0].ID
	}
	switch status {
	case http.StatusBadRequest:
		if id == "invalid_domain" { // it receives no mail
			return providers.Answer{Outcome: providers.Miss, Reason: "invalid_domain"}
		}
	case http.StatusForbidden:
		if strings.Contains(id, "restricted") {
			return providers.Answer{Outcome: providers.Auth, Reason: "account_restricted"}
		}
		return providers.Answer{Outcome: providers.Throttled, After: retryAfter(header), Reason: "rate_limit"}
	case http.StatusNotFound:
		return providers.Answer{Outcome: providers.Miss, Reason: "no_match"}
	case http.StatusTooManyRequests:
		// Here even "too_many_requests" means the plan. Only a hint when to
		// come back tells a throttle, in whatever form: who calls reads it.
		if header.Get("Retry-After") != "" || strings.Contains(id, "rate") {
			return providers.Answer{Outcome: providers.Throttled, After: retryAfter(header), Reason: "rate_limit"}
		}
		return providers.Answer{Outcome: providers.Quota, Reason: "plan_limit"}
	}
	if status < 300 {
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
	}
	return providers.Answer{Outcome: providers.BadRequest, Reason: "not_understood"}
}

// retryAfter reads Retry-After in seconds, the only form Hunter has been seen
// to use; 0 if there is none.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(header.Get("Retry-After")))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 86400)) * time.Second
}

// number returns a number that may have been written as text, or nil.
func number(v any) any {
	switch v := v.(type) {
	case float64:
		return v
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			return n
		}
	}
	return nil
}
