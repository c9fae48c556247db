package lookup

import "encoding/json"

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

// OptionalText is a text that may be missing: "" is null in JSON.
type OptionalText string

// MarshalJSON writes a string, or null.
func (t OptionalText) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// RowError says why a row has no result.
type RowError struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}
