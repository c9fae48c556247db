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
	}
	if !readJSON(r, &asked) {
		return person{}, false
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
