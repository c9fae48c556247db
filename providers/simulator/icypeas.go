package simulator

import "net/http"

// icypeasDialect speaks like Icypeas: a search is a job that is read later.
type icypeasDialect struct{}

func (icypeasDialect) key(r *http.Request) string { return r.Header.Get("Authorization") }

func (icypeasDialect) question(r *http.Request, w world) (person, bool) {
	var asked struct {
		First  string `json:"firstname"`
		Last   string `json:"lastname"`
		Domain string `json:"domainOrCompany"`
	}
	if !readJSON(r, &asked) {
		return person{}, false
	}
	return w.person(asked.First, asked.Last, asked.First+" "+asked.Last, asked.Domain, asked.Domain)
}

func (icypeasDialect) ticket(r *http.Request) string {
	var asked struct {
		ID string `json:"id"`
	}
	readJSON(r, &asked) // without an id no job is found
	return asked.ID
}

// icypeasErrors are the status of each refusal of a call.
var icypeasErrors = map[answer]int{
	throttled:   http.StatusTooManyRequests,
	keyRefused:  http.StatusUnauthorized,
	serverError: http.StatusInternalServerError,
}

// icypeasStates are the states of a job without a result.
var icypeasStates = map[answer]string{
	accepted: "NONE", pending: "IN_PROGRESS", noMatch: "NOT_FOUND", answer(blocked): "NOT_FOUND",
	planUsedUp: "INSUFFICIENT_FUNDS", notUnderstood: "BAD_INPUT",
}

func (icypeasDialect) reply(a answer, about subject) reply {
	if code, refused := icypeasErrors[a]; refused {
		return reply{status: code, body: encode(map[string]any{"success": false, "validationErrors": []any{}})}
	}
	item := map[string]any{"_id": about.ticket}
	if state, none := icypeasStates[a]; none {
		item["status"] = state
	} else {
		certainty := about.spelt(map[fact]string{valid: "ultra_sure", foreign: "ultra_sure", catchAll: "catch_all"}[about.fact])
		if certainty == "" {
			certainty = "undeliverable"
		}
		item["status"] = "DEBITED"
		item["results"] = map[string]any{"emails": []any{map[string]any{
			"email": about.email, "certainty": certainty, "mxProvider": about.mx,
		}}}
	}
	if a == accepted {
		return reply{status: http.StatusOK, body: encode(map[string]any{"success": true, "item": item})}
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"success": true, "items": []any{item}})}
}
