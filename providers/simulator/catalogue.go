package simulator

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is one way in which a vendor's answer goes wrong.
type Fault struct {
	Name   string `json:"name"`   // "retry_list"; in a magic domain fault-retry-list.test
	Number string `json:"number"` // its family: "F6"
	About  string `json:"about"`
	// Answers is set where a careful reader still gets what the vendor knows.
	Answers bool `json:"answers"`

	says  answer         // what the vendor is made to say; "": what it knows
	until int            // strikes only the first so many attempts; 0: all
	shown func(*subject) // changes what is shown of somebody known
	words func(*reply)   // changes the vendor's words
	way   delivery       // how they are sent
	bills bool           // it is charged although nobody can use it
}

// delivery is how an answer is sent.
type delivery uint8

const (
	whole     delivery = iota
	broken             // the connection breaks before the first byte
	cut                // the connection breaks in the middle
	halved             // a proper end after half of the body
	late               // after Vendor.Slow
	stalling           // half of the body, then nothing
	silence            // nothing, until the caller leaves
	packed             // compressed
	oversized          // with megabytes of white space
)

// Catalogue lists every fault that can be injected by name. What concerns more
// than one call is set in other ways: limiters by [Quota] (F21), brown-outs by
// [BrownOut] (F22), lock-outs by [LockOut] (F23).
func Catalogue() []Fault { return catalogue }

var catalogue = []Fault{
	{Name: "error", Number: "F2", About: "the vendor's own server error, in its own words", says: serverError},
	{Name: "throttled", Number: "F6", About: "too many calls, in the vendor's own words, without a hint when to come back", says: throttled},
	{Name: "plan_used_up", Number: "F2", About: "no credits left, in the vendor's own words", says: planUsedUp},
	{Name: "key_refused", Number: "F23", About: "the key is refused, in the vendor's own words", says: keyRefused},
	{Name: "not_understood", Number: "F17", About: "the vendor does not understand the request", says: notUnderstood},

	{Name: "error_200", Number: "F1", About: "status 200 and an error in the body", says: serverError, words: status(http.StatusOK)},
	{Name: "plan_200", Number: "F1", About: "status 200 and a body that says that the credits are used up", says: planUsedUp, words: status(http.StatusOK)},
	{Name: "miss_400", Number: "F2", About: "status 400 for a plain miss", says: noMatch, words: status(http.StatusBadRequest)},
	{Name: "plan_400", Number: "F2", About: "status 400 for credits used up", says: planUsedUp, words: status(http.StatusBadRequest)},
	{Name: "error_400", Number: "F2", About: "status 400 for an internal error", says: serverError, words: status(http.StatusBadRequest)},
	{Name: "miss_404", Number: "F3", About: "status 404 for a plain miss", says: noMatch, words: status(http.StatusNotFound)},
	{Name: "html_404", Number: "F3", About: "status 404 and a page: the path is wrong", words: htmlAs(http.StatusNotFound)},
	{Name: "null", Number: "F4", About: "status 200 and null", words: bodyAs(http.StatusOK, "null")},
	{Name: "empty", Number: "F4", About: "status 200 and an empty object", words: bodyAs(http.StatusOK, "{}")},
	{Name: "throttled_403", Number: "F5", About: "too many calls, as 403", says: throttled, words: status(http.StatusForbidden)},
	{Name: "plan_429", Number: "F5", About: "credits used up, as 429", says: planUsedUp, words: status(http.StatusTooManyRequests)},
	{Name: "retry_seconds", Number: "F6", About: "429, Retry-After in seconds", says: throttled, words: retryIn("Retry-After", "1")},
	{Name: "retry_date", Number: "F6", About: "429, Retry-After as an HTTP date", says: throttled, words: retryAt("Retry-After", http.TimeFormat)},
	{Name: "retry_utc", Number: "F6", About: "429, X-RateLimit-Reset as a UTC timestamp", says: throttled, words: retryAt("X-Ratelimit-Reset", time.RFC3339)},
	{Name: "retry_list", Number: "F6", About: "429, RateLimit-Reset as a list of windows", says: throttled, words: retryIn("Ratelimit-Reset", "1, 1, 2")},
	{Name: "retry_prose", Number: "F6", About: "429, the delay only in the error's text", says: throttled,
		words: bodyAs(http.StatusTooManyRequests, `{"error":"Rate limit per minute exceeded, please wait 1.3s"}`)},
	{Name: "pending", Number: "F7", About: "not ready, for ever", says: pending},
	{Name: "pending_once", Number: "F7", About: "not ready, and then an answer to the same request", Answers: true, says: pending, until: 1},
	{Name: "item", Number: "F7", About: "a job's result as item instead of items", Answers: true, words: replace(`"items":[`, `"item":[`)},
	{Name: "status_222", Number: "F9", About: "status 222 and what looks like a result", words: status(222)},
	{Name: "status_423", Number: "F9", About: "status 423: the subscription is paused", says: planUsedUp, words: status(http.StatusLocked)},
	{Name: "status_451", Number: "F9", About: "status 451: the person has objected", says: answer(blocked), words: status(http.StatusUnavailableForLegalReasons)},
	{Name: "slow", Number: "F10", About: "an answer after Vendor.Slow", Answers: true, way: late},
	{Name: "stalled", Number: "F10", About: "headers and half of the body, then nothing", way: stalling},
	{Name: "silent", Number: "F11", About: "no answer at all", way: silence},
	{Name: "reset", Number: "F11", About: "the connection breaks before the answer", way: broken},
	{Name: "cut", Number: "F11", About: "the connection breaks in the middle of the body", way: cut},
	{Name: "truncated", Number: "F11", About: "half of the body with a proper end", way: halved},
	{Name: "html", Number: "F12", About: "502 and a page", words: htmlAs(http.StatusBadGateway)},
	{Name: "html_503", Number: "F12", About: "503 and a page", words: htmlAs(http.StatusServiceUnavailable)},
	{Name: "html_520", Number: "F12", About: "520 and a page", words: htmlAs(520)},
	{Name: "html_200", Number: "F12", About: "200 and a page", words: htmlAs(http.StatusOK)},
	{Name: "cloudflare_1015", Number: "F12", About: "429 and a page: error 1015, rate limited", words: htmlAs(http.StatusTooManyRequests)},
	{Name: "plain_401", Number: "F12", About: "401 as plain text", words: plain(http.StatusUnauthorized, "Invalid access credentials.")},
	{Name: "huge", Number: "F13", About: "a body of more than 5 MB", way: oversized},
	{Name: "gzip", Number: "F13", About: "a compressed body", Answers: true, way: packed},
	{Name: "masked", Number: "F14", About: "a value with hidden letters, called a success", shown: maskedEmail},
	{Name: "placeholder", Number: "F14", About: "a placeholder instead of a value, called a success",
		shown: func(s *subject) { s.email = "email_not_unlocked@" + s.domain }},
	{Name: "catch_all", Number: "F15", About: "a catch-all domain, spelt catch_all", shown: catchAllAs("catch_all")},
	{Name: "catchall", Number: "F15", About: "a catch-all domain, spelt catchall", shown: catchAllAs("catchall")},
	{Name: "catch_hyphen_all", Number: "F15", About: "a catch-all domain, spelt catch-all", shown: catchAllAs("catch-all")},
	{Name: "accept_all", Number: "F15", About: "a catch-all domain, spelt accept_all", shown: catchAllAs("accept_all")},
	{Name: "valid_catch_all", Number: "F15", About: "a catch-all domain, spelt valid_catch_all", shown: catchAllAs("valid_catch_all")},
	{Name: "texts", Number: "F16", About: "numbers and booleans as texts, and fields nobody knows", Answers: true, words: asTexts},
	{Name: "shouted", Number: "F16", About: "statuses in capitals", Answers: true, words: shouted},
	{Name: "unknown_status", Number: "F16", About: "a status that nobody documented", shown: func(s *subject) { s.status = "semi_valid" }},
	{Name: "misspelt", Number: "F16", About: "the field with the value is misspelt", words: replace(`"email":`, `"emial":`)},
	{Name: "deprecated", Number: "F17", About: "400 DEPRECATED: the endpoint is gone",
		words: bodyAs(http.StatusBadRequest, `{"error":true,"error_code":"DEPRECATED","errors":[{"id":"deprecated","code":400}]}`)},
	{Name: "moved", Number: "F17", About: "301 to another version of the path", words: moved},
	{Name: "charged_silent", Number: "F18", About: "computed and charged, but never sent", way: silence, bills: true},
	{Name: "without_field", Number: "F19", About: "a match without what was asked for, charged", bills: true, shown: func(s *subject) { s.email = "" }},
	{Name: "wrong_person", Number: "F20", About: "somebody at another company",
		shown: func(s *subject) { s.email = "someone@elsewhere.test" }},
}

// findFault returns the fault of this name.
func findFault(name string) (*Fault, bool) {
	f, ok := faultsByName[name]
	return f, ok
}

var faultsByName = func() map[string]*Fault {
	byName := map[string]*Fault{}
	for i := range catalogue {
		byName[catalogue[i].Name] = &catalogue[i]
	}
	return byName
}()

// needsSubject reports whether the fault is about a result, so that it cannot
// strike where the vendor knows nothing.
func (f *Fault) needsSubject() bool { return f.shown != nil || f.Answers || f.bills }

func status(code int) func(*reply) { return func(r *reply) { r.status = code } }

func bodyAs(code int, body string) func(*reply) {
	return func(r *reply) { r.status, r.body = code, []byte(body) }
}

func plain(code int, text string) func(*reply) {
	return func(r *reply) {
		bodyAs(code, text)(r)
		r.set("Content-Type", "text/plain")
	}
}

func htmlAs(code int) func(*reply) {
	return func(r *reply) {
		bodyAs(code, "<html><body><h1>"+strconv.Itoa(code)+" simulated</h1></body></html>")(r)
		r.set("Content-Type", "text/html")
	}
}

func moved(r *reply) {
	r.status, r.body = http.StatusMovedPermanently, nil
	r.set("Location", "/moved")
}

func retryIn(header, value string) func(*reply) {
	return func(r *reply) {
		r.status = http.StatusTooManyRequests
		r.set(header, value)
	}
}

func retryAt(header, layout string) func(*reply) {
	return func(r *reply) { retryIn(header, time.Now().UTC().Add(2*time.Second).Format(layout))(r) }
}

func replace(old, with string) func(*reply) {
	return func(r *reply) { r.body = bytes.Replace(r.body, []byte(old), []byte(with), 1) }
}

func maskedEmail(s *subject) {
	_, domain, _ := strings.Cut(s.email, "@")
	s.email = s.email[:min(1, len(s.email))] + "***@" + domain
}

func catchAllAs(spelling string) func(*subject) {
	return func(s *subject) { s.fact, s.status = catchAll, spelling }
}

// asTexts rewrites numbers and booleans as texts.
func asTexts(r *reply) {
	rewrite(r, func(v any) any {
		switch v := v.(type) {
		case bool:
			return strconv.FormatBool(v)
		case json.Number:
			return v.String()
		case map[string]any:
			v["field_nobody_knows"] = []any{1}
		}
		return v
	})
}

// shouted writes statuses in capitals.
func shouted(r *reply) {
	rewrite(r, func(v any) any {
		object, ok := v.(map[string]any)
		for _, name := range []string{"status", "email_status", "result", "quality"} {
			if text, is := object[name].(string); ok && is {
				object[name] = strings.ToUpper(text)
			}
		}
		return v
	})
}

// rewrite passes every value of a JSON body through change, from inside out.
func rewrite(r *reply, change func(any) any) {
	var body any
	in := json.NewDecoder(bytes.NewReader(r.body))
	in.UseNumber()
	if in.Decode(&body) == nil {
		r.body = encode(walk(body, change))
	}
}

func walk(v any, change func(any) any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			v[name] = walk(value, change)
		}
	case []any:
		for i, value := range v {
			v[i] = walk(value, change)
		}
	}
	return change(v)
}

// compress packs the body.
func compress(r *reply) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(r.body) // memory takes everything
	_ = w.Close()
	r.body = packed.Bytes()
	r.set("Content-Encoding", "gzip")
}

const hugeBody = 5<<20 + 1

// inflate leaves the body what it says, but larger than anybody should read.
func inflate(r *reply) {
	r.body = append(bytes.Repeat([]byte(" "), hugeBody), r.body...)
}
