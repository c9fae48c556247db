package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/magpie-hq/magpie/lookup"
)

// sampleRows and sampleBytes are how far an upload of objects is read to find
// the columns it needs: objects have no header, and may leave out what they
// do not know.
const (
	sampleRows  = 100
	sampleBytes = 4 << 20
)

// rawReader returns one row after the other as it was written, valid until the
// next call; bad says why a row could not be kept. The error is [io.EOF], an
// [*Error], or that of the underlying reader.
type rawReader interface {
	read() (raw []byte, bad *lookup.RowError, err error)
}

// objects is an upload of JSON objects.
type objects struct {
	rows    rawReader
	param   string
	matcher matcher
	limits  Limits

	sampled []object // read to find the columns, not yet returned
	ended   error    // what ended the sample, if anything

	names  []string // the columns seen so far
	known  map[string]bool
	layout []string          // the keys of the last object
	fields map[string]int    // and where the query's fields are among them
	values map[string]string // of the last row
}

// object is a row as it was given.
type object struct {
	raw    json.RawMessage
	keys   []string
	values [][]byte
	bad    *lookup.RowError
}

func openObjects(rows rawReader, param string, columns matcher, limits Limits) (*objects, error) {
	o := &objects{rows: rows, param: param, matcher: columns, limits: limits, known: map[string]bool{}, values: map[string]string{}}
	err := o.sample()
	switch {
	case len(o.sampled) > 0 && len(o.names) == 0 && (o.ended == nil || errors.Is(o.ended, io.EOF)):
		return nil, &Error{param, CodeInvalid, `no row is a JSON object; write each row like {"email": "jane@example.com"}`}
	case len(o.sampled) == 0 && errors.Is(o.ended, io.EOF):
		return nil, &Error{param, CodeInvalid, "there are no rows; give at least one object"}
	case len(o.sampled) == 0:
		return nil, o.ended
	}
	return o, err
}

// sample reads until the columns suffice for a query, or far enough to say
// that they do not; only then the error is set.
func (o *objects) sample() error {
	size := 0
	for {
		next, err := o.parse()
		if err != nil {
			o.ended = err
		} else {
			o.sampled = append(o.sampled, next)
			size += len(next.raw)
		}
		missing := o.matcher.check(o.matcher.match(o.names), o.names, o.param)
		if missing == nil || err != nil || len(o.sampled) == sampleRows || size > sampleBytes {
			return missing
		}
	}
}

func (o *objects) columns() []string { return o.names }

func (o *objects) read(row *Row) (map[string]string, error) {
	next, err := o.take()
	if err != nil {
		return nil, err
	}
	row.Object, row.Invalid = next.raw, next.bad
	if o.fields == nil || !slices.Equal(next.keys, o.layout) {
		o.layout, o.fields = next.keys, o.matcher.match(next.keys)
	}
	clear(o.values)
	for field, column := range o.fields {
		value, problem := scalar(next.values[column], o.limits.CellBytes)
		if problem != "" && row.Invalid == nil {
			row.Invalid = &lookup.RowError{Code: "invalid_value", Detail: field + ": " + problem}
		}
		o.values[field] = value
	}
	row.RowID = o.values[rowIDField]
	return o.values, nil
}

func (o *objects) take() (object, error) {
	if len(o.sampled) > 0 {
		next := o.sampled[0]
		o.sampled = o.sampled[1:]
		return next, nil
	}
	if o.ended != nil {
		return object{}, o.ended
	}
	return o.parse()
}

// parse reads the next row and learns its columns.
func (o *objects) parse() (object, error) {
	raw, bad, err := o.rows.read()
	if err != nil {
		return object{}, err
	}
	if bad != nil {
		return object{bad: bad}, nil
	}
	next := parseObject(raw)
	for _, key := range next.keys {
		if o.known[key] {
			continue
		}
		if len(o.names) == o.limits.Columns {
			return object{}, tooManyColumns(o.param, o.limits.Columns)
		}
		o.known[key] = true
		o.names = append(o.names, key)
	}
	return next, nil
}

// parseObject keeps the keys in their order, of which a map would know nothing.
// Text that is no JSON becomes a JSON string.
func parseObject(raw []byte) object {
	var compact bytes.Buffer
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	if err := json.Compact(&compact, raw); err != nil {
		bad := &lookup.RowError{Code: "invalid_json", Detail: `the row is not JSON; write it like {"email": "jane@example.com"}`}
		text, err := json.Marshal(string(raw))
		if err != nil {
			text = nil
		}
		return object{raw: text, bad: bad}
	}
	o := object{raw: compact.Bytes()}
	if o.raw[0] != '{' {
		o.bad = &lookup.RowError{Code: "not_an_object", Detail: `the row is JSON but no object; write it like {"email": "jane@example.com"}`}
		return o
	}
	for rest := o.raw[1:]; rest[0] != '}'; {
		var key, value []byte
		key, rest = cutValue(rest)
		value, rest = cutValue(rest[1:]) // behind the colon
		if rest[0] == ',' {
			rest = rest[1:]
		}
		name, err := unquote(key)
		if err != nil || strings.Contains(name, "\x00") {
			return object{raw: o.raw, bad: &lookup.RowError{Code: "invalid_json", Detail: "the row has a key that cannot be a column's name; rename it"}}
		}
		o.keys = append(o.keys, name)
		o.values = append(o.values, value)
	}
	return o
}

// cutValue returns the value at the beginning of compact, valid JSON, and what
// follows it.
func cutValue(text []byte) (value, rest []byte) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++ // whatever is escaped, it closes nothing
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']'):
			return text[:i], text[i:]
		case c == '}', c == ']':
			depth--
		}
	}
	return text, nil
}

// unquote returns the text of a JSON string.
func unquote(raw []byte) (s string, err error) {
	if !bytes.ContainsRune(raw, '\\') {
		return string(raw[1 : len(raw)-1]), nil
	}
	err = json.Unmarshal(raw, &s)
	return s, err
}

// scalar returns a value as text, null as none; problem says why there is none.
func scalar(raw []byte, most int) (value, problem string) {
	switch raw[0] {
	case '{', '[':
		return "", "want text, a number, true or false, not an object or a list"
	case 'n':
		return "", ""
	case '"':
		var err error
		if value, err = unquote(raw); err != nil {
			return "", "the text cannot be read"
		}
	default:
		value = string(raw) // numbers keep every digit
	}
	switch {
	case len(value) > most:
		return "", fmt.Sprintf("the value is longer than %d bytes; shorten it", most)
	case strings.Contains(value, "\x00"):
		return "", "the value has a NUL character in it; remove it"
	}
	return value, ""
}
