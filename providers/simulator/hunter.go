package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
)

// hunterDialect speaks like Hunter.
type hunterDialect struct{}

func (hunterDialect) key(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	if key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return key
	}
	return r.URL.Query().Get("api_key")
}

func (hunterDialect) question(r *http.Request, w world) (person, bool) {
	q := r.URL.Query()
	return w.person(q.Get("first_name"), q.Get("last_name"), q.Get("full_name"), q.Get("domain"), q.Get("company"))
}

// hunterErrors are the status and the id of each refusal.
var hunterErrors = map[answer]struct {
	status int
	id     string
}{
	answer(blocked): {http.StatusUnavailableForLegalReasons, "claimed_email"},
	throttled:       {http.StatusForbidden, "rate_limit_reached"},
	planUsedUp:      {http.StatusTooManyRequests, "too_many_requests"},
	keyRefused:      {http.StatusUnauthorized, "authentication_failed"},
	notUnderstood:   {http.StatusBadRequest, "wrong_params"},
	serverError:     {http.StatusInternalServerError, "internal_error"},
}

type hunterData struct {
	Email        *string            `json:"email"`
	Score        *int               `json:"score"`
	Domain       string             `json:"domain"`
	AcceptAll    bool               `json:"accept_all"`
	Verification hunterVerification `json:"verification"`
}

type hunterVerification struct {
	Status *string `json:"status"`
}

func (hunterDialect) reply(a answer, about subject) reply {
	if e, refused := hunterErrors[a]; refused {
		return reply{status: e.status, body: encode(map[string]any{
			"errors": []map[string]any{{"id": e.id, "code": e.status, "details": "simulated"}},
		})}
	}
	if a == pending || a == accepted {
		return reply{status: http.StatusAccepted, body: encode(map[string]any{"data": nil})}
	}
	data := hunterData{Domain: about.domain}
	if a != noMatch {
		status := map[fact]string{valid: "valid", foreign: "valid", catchAll: "accept_all"}[about.fact]
		if status == "" {
			status = "unknown"
		}
		status = about.spelt(status)
		data.Email, data.Score, data.Verification.Status = &about.email, &about.score, &status
		data.AcceptAll = about.fact == catchAll
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"data": data})}
}

// encode writes what is made of strings, numbers and booleans only, which
// always has a JSON form.
func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return body
}
