package simulator

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
)

const maxRequest = 64 << 10

// prospeoDialect speaks like Prospeo.
type prospeoDialect struct{}

func (prospeoDialect) key(r *http.Request) string { return r.Header.Get("X-Key") }

func (prospeoDialect) question(r *http.Request, w world) (person, bool) {
	var asked struct {
		Data struct {
			FirstName      string `json:"first_name"`
			LastName       string `json:"last_name"`
			FullName       string `json:"full_name"`
			CompanyWebsite string `json:"company_website"`
			CompanyName    string `json:"company_name"`
		} `json:"data"`
	}
	if !readJSON(r, &asked) {
		return person{}, false
	}
	d := asked.Data
	return w.person(d.FirstName, d.LastName, d.FullName, d.CompanyWebsite, d.CompanyName)
}

// readJSON reads a request's body.
func readJSON(r *http.Request, into any) bool {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	return err == nil && json.Unmarshal(body, into) == nil
}

// prospeoErrors are the status and the code of each refusal. The statuses are
// as misleading as the real ones.
var prospeoErrors = map[answer]struct {
	status int
	code   string
}{
	noMatch:         {http.StatusBadRequest, "NO_MATCH"},
	answer(blocked): {http.StatusBadRequest, "NO_MATCH"},
	throttled:       {http.StatusTooManyRequests, "RATE_LIMITED"},
	planUsedUp:      {http.StatusBadRequest, "INSUFFICIENT_CREDITS"},
	keyRefused:      {http.StatusUnauthorized, "INVALID_API_KEY"},
	notUnderstood:   {http.StatusBadRequest, "INVALID_REQUEST"},
	serverError:     {http.StatusBadRequest, "INTERNAL_ERROR"},
	pending:         {http.StatusBadRequest, "INTERNAL_ERROR"}, // it knows no other way to put one off
}

type prospeoEmail struct {
	Status   string `json:"status"`
	Revealed bool   `json:"revealed"`
	Email    string `json:"email"`
	Provider string `json:"email_mx_provider"`
}

func (prospeoDialect) reply(a answer, about subject) reply {
	if e, refused := prospeoErrors[a]; refused {
		return reply{
			status: e.status,
			header: prospeoHeader(a, about),
			body:   encode(map[string]any{"error": true, "error_code": e.code}),
		}
	}
	email := prospeoEmail{Status: "VERIFIED", Revealed: true, Email: about.email, Provider: about.mx}
	switch about.fact {
	case masked:
		email.Revealed = false
	case unverified:
		email.Status = "UNVERIFIED"
	case catchAll:
		email.Status = "CATCH_ALL"
	}
	email.Status = about.spelt(email.Status)
	return reply{status: http.StatusOK, body: encode(map[string]any{
		"error": false, "free_enrichment": false,
		"person":  map[string]any{"email": email, "mobile": map[string]any{"revealed": false, "mobile": nil}},
		"company": map[string]any{"domain": about.domain},
	})}
}

// prospeoHeader says which window is used up; of too many calls at once
// Prospeo says nothing.
func prospeoHeader(a answer, about subject) map[string]string {
	if a != throttled || about.wait <= 0 {
		return nil
	}
	seconds := strconv.Itoa(max(1, int(math.Ceil(about.wait.Seconds()))))
	return map[string]string{
		"X-" + about.window + "-Request-Left":  "0",
		"X-" + about.window + "-Reset-Seconds": seconds,
	}
}
