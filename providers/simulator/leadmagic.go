package simulator

import (
	"math"
	"net/http"
	"strconv"
)

// leadMagicDialect speaks like LeadMagic.
type leadMagicDialect struct{}

func (leadMagicDialect) key(r *http.Request) string { return r.Header.Get("X-Api-Key") }

func (leadMagicDialect) question(r *http.Request, w world) (person, bool) {
	var asked struct {
		First   string `json:"first_name"`
		Last    string `json:"last_name"`
		Full    string `json:"full_name"`
		Domain  string `json:"domain"`
		Company string `json:"company_name"`
		Email   string `json:"email"` // to be validated
	}
	if !readJSON(r, &asked) {
		return person{}, false
	}
	if asked.Email != "" {
		return w.mailbox(asked.Email)
	}
	return w.person(asked.First, asked.Last, asked.Full, asked.Domain, asked.Company)
}

// leadMagicErrors are the status and the code of each refusal.
var leadMagicErrors = map[answer]struct {
	status int
	code   string
}{
	throttled:     {http.StatusTooManyRequests, "rate_limit_exceeded"},
	planUsedUp:    {http.StatusPaymentRequired, "insufficient_credits"},
	keyRefused:    {http.StatusUnauthorized, "invalid_api_key"},
	notUnderstood: {http.StatusBadRequest, "validation_error"},
	serverError:   {http.StatusInternalServerError, "internal_error"},
	pending:       {http.StatusServiceUnavailable, "service_unavailable"}, // it knows no way to put one off
}

func (leadMagicDialect) reply(a answer, about subject) reply {
	if e, refused := leadMagicErrors[a]; refused {
		said := reply{status: e.status, body: encode(map[string]any{
			"success": false,
			"errors":  []any{map[string]any{"type": e.code, "title": "simulated", "status": e.status, "code": e.code}},
		})}
		if a == throttled && about.wait > 0 {
			seconds := strconv.Itoa(int(math.Ceil(about.wait.Seconds())))
			said.header = map[string]string{
				"Retry-After": seconds, "RateLimit-Limit": strconv.Itoa(about.quota), "RateLimit-Remaining": "0", "RateLimit-Reset": seconds,
			}
		}
		return said
	}
	if about.mailbox {
		return reply{status: http.StatusOK, body: encode(leadMagicVerdict(about))}
	}
	body := map[string]any{
		"email": nil, "status": "not_found", "credits_consumed": 0, "message": "Email not found.",
		"domain": about.domain, "is_domain_catch_all": about.fact == catchAll,
	}
	if word := map[fact]string{valid: "valid", foreign: "valid", catchAll: "valid_catch_all"}[about.fact]; a != noMatch && word != "" {
		body["email"], body["status"], body["credits_consumed"] = about.email, about.spelt(word), 1
		body["message"], body["mx_provider"] = "Valid email found.", about.mx
	}
	return reply{status: http.StatusOK, body: encode(body)}
}

// leadMagicVerdict is the body of an answer about an address. What is made to be
// thrown away LeadMagic does not tell.
func leadMagicVerdict(about subject) map[string]any {
	words := map[fact]string{valid: "valid", catchAll: "catch_all", invalid: "invalid", disposable: "unknown", unclear: "unknown"}
	status, charged := about.spelt(words[about.fact]), 0.0
	if about.fact == valid || about.fact == invalid {
		charged = 0.25
	}
	return map[string]any{
		"email": about.email, "email_status": status, "credits_consumed": charged, "message": "Email validated.",
		"mx_record": "mx." + about.domain, "mx_provider": about.mx, "is_domain_catch_all": about.fact == catchAll,
	}
}
