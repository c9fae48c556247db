package simulator

import (
	"net/http"
	"strings"
)

// findymailDialect speaks like Findymail.
type findymailDialect struct{}

func (findymailDialect) key(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (findymailDialect) question(r *http.Request, w world) (person, bool) {
	var asked struct {
		Name   string `json:"name"`
		Domain string `json:"domain"`
	}
	if !readJSON(r, &asked) {
		return person{}, false
	}
	return w.person("", "", asked.Name, asked.Domain, "")
}

// findymailErrors are the status and the text of each refusal.
var findymailErrors = map[answer]struct {
	status int
	text   string
}{
	throttled:     {http.StatusTooManyRequests, "Too many concurrent requests"},
	planUsedUp:    {http.StatusPaymentRequired, "Not enough credits"},
	keyRefused:    {http.StatusUnauthorized, "Unauthenticated."},
	notUnderstood: {http.StatusUnprocessableEntity, "The domain field is required."},
	serverError:   {http.StatusInternalServerError, "Server Error"},
	pending:       {http.StatusServiceUnavailable, "Server Error"}, // it knows no way to put one off
}

func (findymailDialect) reply(a answer, about subject) reply {
	if e, refused := findymailErrors[a]; refused {
		return reply{status: e.status, body: encode(map[string]any{"error": e.text})}
	}
	// Only verified addresses are shown.
	if a == noMatch || about.fact != valid && about.fact != foreign && about.status == "" {
		return reply{status: http.StatusOK, body: encode(map[string]any{"contact": nil})}
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"contact": map[string]any{
		"name": about.name, "domain": about.domain, "email": about.email,
	}})}
}
