package simulator

import "net/http"

// millionVerifierDialect speaks like MillionVerifier, which answers everything
// with 200.
type millionVerifierDialect struct{}

func (millionVerifierDialect) key(r *http.Request) string { return r.URL.Query().Get("api") }

func (millionVerifierDialect) question(r *http.Request, w world) (person, bool) {
	return w.mailbox(r.URL.Query().Get("email"))
}

// millionVerifierErrors are the texts of each refusal.
var millionVerifierErrors = map[answer]string{
	throttled:     "Too many requests",
	planUsedUp:    "Insufficient credits",
	keyRefused:    "Apikey not found",
	notUnderstood: "No email specified",
	serverError:   "Internal error",
	pending:       "Internal error", // it knows no way to put one off
}

func (millionVerifierDialect) reply(a answer, about subject) reply {
	body := map[string]any{
		"email": about.email, "quality": "", "result": "error", "resultcode": 6, "subresult": "", "free": false, "role": false,
		"didyoumean": "", "error": "", "livemode": true,
	}
	if text, refused := millionVerifierErrors[a]; refused {
		body["error"] = text
		return reply{status: http.StatusOK, body: encode(body)}
	}
	words := map[fact][2]string{
		valid: {"ok", "good"}, catchAll: {"catch_all", "risky"}, invalid: {"invalid", "bad"},
		disposable: {"disposable", "bad"}, unclear: {"unknown", "risky"},
	}[about.fact]
	body["result"], body["quality"] = about.spelt(words[0]), words[1]
	return reply{status: http.StatusOK, body: encode(body)}
}
