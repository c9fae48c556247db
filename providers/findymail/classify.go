package findymail

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// answer is the part of Findymail's JSON that is read. The contact has been seen
// both at the top and in a payload.
type answer struct {
	Error   any      `json:"error"`
	Message any      `json:"message"`
	Contact *contact `json:"contact"`
	Payload *struct {
		Contact *contact `json:"contact"`
	} `json:"payload"`
}

type contact struct {
	Email string `json:"email"`
}

// Classify reads an answer of the email finder.
func (Adapter) Classify(_ lookup.Service, status int, _ http.Header, body []byte) providers.Answer {
	a, decoded := decode(body)
	said := complaint(a)
	switch {
	case status >= 500:
		return providers.Answer{Outcome: providers.Transient, Reason: "server_error"}
	case status == http.StatusPaymentRequired, strings.Contains(said, "not enough credits"):
		return providers.Answer{Outcome: providers.Quota, Reason: "plan_limit"}
	case status == http.StatusLocked:
		return providers.Answer{Outcome: providers.Quota, Reason: "subscription_paused"}
	case status == http.StatusUnauthorized:
		return providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}
	case status == http.StatusTooManyRequests:
		return providers.Answer{Outcome: providers.Throttled, Reason: "rate_limit"}
	case status == http.StatusUnavailableForLegalReasons:
		return providers.Answer{Outcome: providers.Blocked, Reason: "person_objected"}
	case !decoded:
		return providers.Answer{Outcome: providers.Transient, Reason: "undecodable"}
	case status == http.StatusOK:
		return found(a, said)
	}
	return refused(status, said)
}

// decode reads an object; null is none.
func decode(body []byte) (answer, bool) {
	var a *answer
	if json.Unmarshal(body, &a) != nil || a == nil {
		return answer{}, false
	}
	return *a, true
}

// complaint is the text of an error, in small letters.
func complaint(a answer) string {
	for _, value := range []any{a.Error, a.Message} {
		if text, ok := value.(string); ok && text != "" {
			return strings.ToLower(text)
		}
	}
	return ""
}

// found reads a 200. An error beside a contact outweighs it, as does a message
// instead of one.
func found(a answer, said string) providers.Answer {
	c := a.Contact
	if c == nil && a.Payload != nil {
		c = a.Payload.Contact
	}
	switch {
	case a.Error != nil && a.Error != "" && a.Error != false, c == nil && said != "":
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
	case c == nil:
		return providers.Answer{Outcome: providers.Miss, Reason: "no_match"}
	case c.Email == "":
		return providers.Answer{Outcome: providers.Miss, Reason: "no_email"}
	}
	email, domain, ok := providers.ParseEmail(c.Email)
	if !ok {
		return providers.Answer{Outcome: providers.Miss, Reason: "masked"}
	}
	return providers.Answer{Outcome: providers.Hit, Reason: "valid", Result: map[string]any{
		"email": email, "status": "valid", "domain": domain,
	}}
}

// refused reads the other statuses.
func refused(status int, said string) providers.Answer {
	switch {
	case status < 400:
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
	case status == http.StatusForbidden:
		return providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}
	case status == http.StatusNotFound && !strings.Contains(said, "route"): // that is a path which does not exist
		return providers.Answer{Outcome: providers.Miss, Reason: "no_match"}
	}
	return providers.Answer{Outcome: providers.BadRequest, Reason: "not_understood"}
}
