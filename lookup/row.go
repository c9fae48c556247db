package lookup

import (
	"encoding/json"
	"strconv"
)

// Outcome is how a lookup ended.
type Outcome string

// The four outcomes. Only Found is charged.
const (
	Found        Outcome = "found"
	NotFound     Outcome = "not_found"
	InvalidInput Outcome = "invalid_input"
	// Failed means that no provider could answer before the deadline.
	Failed Outcome = "failed"
)

// Outcomes lists every outcome.
var Outcomes = []Outcome{Found, NotFound, InvalidInput, Failed}

// Row is the answer to one lookup, in the form customers read. A row of a
// batch has Row set; a single lookup has not.
type Row struct {
	Row         *int64          `json:"row,omitempty"`
	RowID       OptionalText    `json:"row_id"`   // the caller's own name for it
	Input       json.RawMessage `json:"input"`    // as given
	Outcome     *Outcome        `json:"outcome"`  // nil: never asked, in a cancelled batch
	Result      json.RawMessage `json:"result"`   // an object, or null
	Provider    OptionalText    `json:"provider"` // who answered
	Credits     Credits         `json:"credits"`  // charged for this row
	Reused      bool            `json:"reused"`
	DuplicateOf *int64          `json:"duplicate_of"`
	Error       *RowError       `json:"error"`
}

// AppendJSON appends the row as encoding/json would write it. A download writes
// millions; Input and Result are JSON already and are copied as they are.
func (r Row) AppendJSON(b []byte) ([]byte, error) {
	b = append(b, '{')
	if r.Row != nil {
		b = append(b, `"row":`...)
		b = append(strconv.AppendInt(b, *r.Row, 10), ',')
	}
	b = append(b, `"row_id":`...)
	b = r.RowID.append(b)
	b = append(b, `,"input":`...)
	b = appendRaw(b, r.Input)
	b = append(b, `,"outcome":`...)
	if r.Outcome == nil {
		b = append(b, `null`...)
	} else {
		b = append(append(append(b, '"'), *r.Outcome...), '"')
	}
	b = append(b, `,"result":`...)
	b = appendRaw(b, r.Result)
	b = append(b, `,"provider":`...)
	b = r.Provider.append(b)
	b = append(b, `,"credits":`...)
	b = append(b, r.Credits.String()...)
	b = append(b, `,"reused":`...)
	b = strconv.AppendBool(b, r.Reused)
	b = append(b, `,"duplicate_of":`...)
	if r.DuplicateOf == nil {
		b = append(b, `null`...)
	} else {
		b = strconv.AppendInt(b, *r.DuplicateOf, 10)
	}
	b = append(b, `,"error":`...)
	if r.Error == nil {
		return append(b, "null}"...), nil
	}
	fault, err := json.Marshal(r.Error) // rare
	return append(append(b, fault...), '}'), err
}

func appendRaw(b []byte, raw json.RawMessage) []byte {
	if raw == nil {
		return append(b, `null`...)
	}
	return append(b, raw...)
}

// OptionalText is a text that may be missing: "" is null in JSON.
type OptionalText string

// MarshalJSON writes a string, or null.
func (t OptionalText) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

func (t OptionalText) append(b []byte) []byte {
	if t == "" {
		return append(b, `null`...)
	}
	return AppendJSONText(b, string(t))
}

// AppendJSONText appends s as a JSON string, as encoding/json writes it. Most
// texts are plain, and appended as they are.
func AppendJSONText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always has a JSON form
			}
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// RowError says why a row has no result.
type RowError struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}
