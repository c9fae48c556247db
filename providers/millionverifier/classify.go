package millionverifier

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// answer is the part of MillionVerifier's JSON that is read. Fields whose type
// may vary are any.
type answer struct {
	Email     string `json:"email"`
	Quality   string `json:"quality"`
	Result    string `json:"result"`
	Subresult any    `json:"subresult"`
	Free      any    `json:"free"`
	Role      any    `json:"role"`
	Error     any    `json:"error"`
}

// complaints are the words by which the errors are told apart, the clearest
// first. Their exact texts are documented in part only.
var complaints = []struct {
	word   string
	answer providers.Answer
}{
	{"credit", providers.Answer{Outcome: providers.Quota, Reason: "plan_limit"}},
	{"apikey", providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}},
	{"api key", providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}},
	{"ip address", providers.Answer{Outcome: providers.Auth, Reason: "address_refused"}},
	{"too many", providers.Answer{Outcome: providers.Throttled, Reason: "rate_limit"}},
	{"rate limit", providers.Answer{Outcome: providers.Throttled, Reason: "rate_limit"}},
	{"no email", providers.Answer{Outcome: providers.BadRequest, Reason: "not_understood"}},
}

// Classify reads an answer of the validation.
func (Adapter) Classify(_ lookup.Service, status int, _ http.Header, body []byte) providers.Answer {
	if a, refused := refusal(status); refused {
		return a
	}
	var a answer
	undecodable := json.Unmarshal(body, &a) != nil
	complains := !undecodable && a.Error != nil && a.Error != ""
	if known, ok := complaint(a.Error); complains && ok {
		return known
	}
	switch {
	case status == http.StatusTooManyRequests:
		return providers.Answer{Outcome: providers.Throttled, Reason: "rate_limit"}
	case undecodable:
		return providers.Answer{Outcome: providers.Transient, Reason: "undecodable"}
	case status >= 400:
		return providers.Answer{Outcome: providers.BadRequest, Reason: "not_understood"}
	case status != http.StatusOK:
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
	case complains:
		return providers.Answer{Outcome: providers.Transient, Reason: "vendor_error"}
	}
	return verdict(a)
}

// refusal classifies the statuses that say all. None of them is documented: they
// come from something in front of MillionVerifier.
func refusal(status int) (providers.Answer, bool) {
	switch {
	case status >= 500:
		return providers.Answer{Outcome: providers.Transient, Reason: "server_error"}, true
	case status == http.StatusUnauthorized:
		return providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}, true
	case status == http.StatusPaymentRequired:
		return providers.Answer{Outcome: providers.Quota, Reason: "plan_limit"}, true
	case status == http.StatusUnavailableForLegalReasons:
		return providers.Answer{Outcome: providers.Blocked, Reason: "person_objected"}, true
	}
	return providers.Answer{}, false
}

// complaint reads an error; ok is false for one that nobody documented.
func complaint(said any) (known providers.Answer, ok bool) {
	text, _ := said.(string)
	text = strings.ToLower(text)
	for _, c := range complaints {
		if strings.Contains(text, c.word) {
			return c.answer, true
		}
	}
	return providers.Answer{}, false
}

// verdict reads an answer without an error: a quality that contradicts the
// result leaves nothing definite.
func verdict(a answer) providers.Answer {
	result, quality := strings.ToLower(a.Result), strings.ToLower(a.Quality)
	switch {
	case result == "" || result == "error":
		return providers.Answer{Outcome: providers.Transient, Reason: "no_verdict"}
	case result == "ok" && (quality == "good" || quality == ""):
		return told(a, providers.Hit, "valid", "valid")
	case result == "invalid" && (quality == "bad" || quality == ""):
		return told(a, providers.Hit, "invalid", "invalid")
	case result == "ok" || result == "invalid":
		return providers.Answer{Outcome: providers.Miss, Reason: "contradiction"}
	case providers.CatchAll(result):
		return told(a, providers.Miss, "catch_all", "catch_all")
	case result == "disposable":
		return told(a, providers.Miss, "unknown", "disposable")
	}
	return told(a, providers.Miss, "unknown", "unverified") // unknown, unverified and whatever comes
}

// told is an answer with the status in our words.
func told(a answer, outcome providers.Outcome, status, reason string) providers.Answer {
	result := map[string]any{
		"email": a.Email, "email_status": status, "reason": a.Subresult, "is_free": a.Free, "is_role": a.Role,
	}
	switch reason {
	case "disposable":
		result["is_disposable"] = true
	case "valid": // else it would say so
		result["is_disposable"] = false
	}
	return providers.Answer{Outcome: outcome, Reason: reason, Result: result}
}
