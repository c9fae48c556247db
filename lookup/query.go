package lookup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Options change what counts as a result. They are part of the question: an
// answer given under one set of options does not answer another.
type Options struct {
	// AcceptCatchAll lets an email finder charge for an address at a domain
	// that accepts every address.
	AcceptCatchAll bool `json:"accept_catch_all,omitempty"`
}

// Fields are a query's fields by their names, see [Service.QueryFields].
type Fields map[string]string

// Query is one question in normal form: two ways of writing the same thing
// have equal fields. Make one with [Normalise].
type Query struct {
	Service Service
	Fields  Fields
	Options Options
}

// Get returns a field, or "" where the query has none.
func (q Query) Get(field string) string { return q.Fields[field] }

// Question identifies what a query asks: 128 bits of a hash over the service,
// the normalised fields and the options.
type Question [16]byte

// Question returns the identity of q.
func (q Query) Question() Question {
	names := make([]string, 0, len(q.Fields))
	for name := range q.Fields {
		names = append(names, name)
	}
	slices.Sort(names)
	text := make([]byte, 0, 256)
	text = append(text, q.Service...)
	text = strconv.AppendBool(append(text, 0), q.Options.AcceptCatchAll)
	for _, name := range names {
		value := q.Fields[name]
		text = append(append(text, 0), name...)
		// Lengths keep ("a", "bc") and ("ab", "c") apart.
		text = strconv.AppendInt(append(text, 0), int64(len(value)), 10)
		text = append(append(text, 0), value...)
	}
	sum := sha256.Sum256(text)
	return Question(sum[:len(Question{})])
}

// String writes the question as a UUID-shaped string, the form kept in SQL.
func (q Question) String() string {
	s := hex.EncodeToString(q[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// ParseQuestion reads the form that String writes.
func ParseQuestion(s string) (q Question, err error) {
	digits := strings.ReplaceAll(s, "-", "")
	if len(digits) == hex.EncodedLen(len(q)) {
		_, err = hex.Decode(q[:], []byte(digits))
	}
	if err != nil || q.String() != s {
		return Question{}, errors.New("lookup: this is not the text of a question")
	}
	return q, nil
}

// InputError says why a query cannot be asked. Its texts name the field and
// the remedy but never repeat a customer's data.
type InputError struct {
	Field  string // the field at fault
	Code   string // missing_field, invalid_name, invalid_domain, invalid_email, invalid_number, invalid_country, invalid_url, invalid_value
	Detail string // what is wrong and what to do
}

func (e *InputError) Error() string { return e.Field + ": " + e.Detail }
