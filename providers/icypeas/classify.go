package icypeas

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// pollAfter is how long Icypeas asks to be left alone between two readings.
const pollAfter = 4 * time.Second

// answer is the part of Icypeas's JSON that is read. A job has been seen both
// under item and under items.
type answer struct {
	Success any  `json:"success"`
	Item    jobs `json:"item"`
	Items   jobs `json:"items"`
}

// jobs is one job or a list.
type jobs []item

// UnmarshalJSON reads either.
func (j *jobs) UnmarshalJSON(body []byte) error {
	if len(body) > 0 && body[0] == '[' {
		return json.Unmarshal(body, (*[]item)(j))
	}
	var one *item
	err := json.Unmarshal(body, &one)
	if one != nil {
		*j = jobs{*one}
	}
	return err
}

type item struct {
	ID      string `json:"_id"`
	Status  string `json:"status"`
	Results struct {
		Emails []struct {
			Email     string `json:"email"`
			Certainty string `json:"certainty"`
			Provider  string `json:"mxProvider"`
		} `json:"emails"`
	} `json:"results"`
}

// byStatus is what each documented state of a job without a result means.
var byStatus = map[string]providers.Answer{
	"NONE":               {Outcome: providers.Pending, After: pollAfter, Reason: "not_ready"},
	"SCHEDULED":          {Outcome: providers.Pending, After: pollAfter, Reason: "not_ready"},
	"IN_PROGRESS":        {Outcome: providers.Pending, After: pollAfter, Reason: "not_ready"},
	"NOT_FOUND":          {Outcome: providers.Miss, Reason: "no_match"},
	"DEBITED_NOT_FOUND":  {Outcome: providers.Miss, Reason: "no_match"},
	"BAD_INPUT":          {Outcome: providers.Ineligible, Reason: "bad_input"},
	"INSUFFICIENT_FUNDS": {Outcome: providers.Quota, Reason: "plan_limit"},
	"ABORTED":            {Outcome: providers.Ineligible, Reason: "aborted"},
}

// Classify reads an answer to a search or a reading: both show the job.
func (Adapter) Classify(_ lookup.Service, status int, header http.Header, body []byte) providers.Answer {
	if a, refused := refusal(status, header); refused {
		return a
	}
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return providers.Answer{Outcome: providers.Transient, Reason: "undecodable"}
	}
	switch {
	case status != http.StatusOK && status >= 400, a.Success == false, a.Success == "false":
		return providers.Answer{Outcome: providers.BadRequest, Reason: "not_understood"}
	case status != http.StatusOK:
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
	case len(a.Item) > 0:
		return read(a.Item[0])
	case len(a.Items) > 0:
		return read(a.Items[0])
	case a.Success == nil:
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_answer"}
	}
	return providers.Answer{Outcome: providers.BadRequest, Reason: "job_unknown"}
}

// refusal classifies the statuses that say all.
func refusal(status int, header http.Header) (providers.Answer, bool) {
	switch {
	case status >= 500:
		return providers.Answer{Outcome: providers.Transient, Reason: "server_error"}, true
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return providers.Answer{Outcome: providers.Auth, Reason: "key_refused"}, true
	case status == http.StatusPaymentRequired:
		return providers.Answer{Outcome: providers.Quota, Reason: "plan_limit"}, true
	case status == http.StatusTooManyRequests:
		return providers.Answer{Outcome: providers.Throttled, After: retryAfter(header), Reason: "rate_limit"}, true
	case status == http.StatusUnavailableForLegalReasons:
		return providers.Answer{Outcome: providers.Blocked, Reason: "person_objected"}, true
	}
	return providers.Answer{}, false
}

// read reads a job.
func read(job item) providers.Answer {
	state := strings.ToUpper(job.Status)
	if state == "FOUND" || state == "DEBITED" {
		return found(job)
	}
	known, ok := byStatus[state]
	switch {
	case !ok:
		return providers.Answer{Outcome: providers.Transient, Reason: "unknown_state"}
	case known.Outcome == providers.Pending && job.ID == "":
		return providers.Answer{Outcome: providers.Transient, Reason: "no_ticket"}
	case known.Outcome == providers.Pending:
		known.Ticket = job.ID
	}
	return known
}

// found picks the first address that Icypeas vouches for, else the first at a
// domain that accepts all.
func found(job item) providers.Answer {
	best := providers.Answer{Outcome: providers.Miss, Reason: "no_email"}
	for _, e := range job.Results.Emails {
		email, domain, ok := providers.ParseEmail(e.Email)
		status := certain(e.Certainty)
		switch {
		case !ok, status == "":
			if best.Outcome == providers.Miss {
				best.Reason = "unverified"
			}
			continue
		case status == "valid_catch_all" && best.Outcome == providers.Hit:
			continue
		}
		best = providers.Answer{Outcome: providers.Hit, Reason: status, Result: map[string]any{
			"email": email, "status": status, "domain": domain,
		}}
		if e.Provider != "" {
			best.Result["mx_provider"] = e.Provider
		}
		if status == "valid" {
			break
		}
	}
	return best
}

// certain returns an address's status in our words, or "" where Icypeas is less
// than sure.
func certain(certainty string) string {
	if strings.EqualFold(certainty, "ultra_sure") {
		return "valid"
	}
	if providers.CatchAll(certainty) {
		return "valid_catch_all"
	}
	return ""
}

// retryAfter reads Retry-After in seconds; 0 if there is none.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(header.Get("Retry-After")))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 86400)) * time.Second
}
