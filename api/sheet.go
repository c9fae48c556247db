package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"

	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// sheet writes results as CSV: the caller's columns as given, what Magpie says
// of the row, and one column a result field.
type sheet struct {
	out     *csv.Writer
	columns []string // the caller's
	cells   bool     // rows have cells; else they are objects
	fields  []string // of results
	record  []string
}

// newSheet writes the header. Where rows are objects, the columns are all their
// keys, in order of appearance: for that they are read once more.
func (a *api) newSheet(ctx context.Context, b store.Batch, w io.Writer) (*sheet, error) {
	s := &sheet{out: csv.NewWriter(w), columns: b.Columns, cells: b.Columns != nil, fields: b.Service.ResultFields()}
	if !s.cells {
		known := map[string]bool{}
		err := a.tenant(ctx).EachResult(ctx, b, "", func(row store.ResultRow) error {
			keys, _ := members(row.Input)
			for _, key := range keys {
				if !known[key] {
					known[key] = true
					s.columns = append(s.columns, key)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, column := range s.columns {
		s.add(column)
	}
	s.add("magpie_outcome", "magpie_provider", "magpie_credits")
	for _, field := range s.fields {
		s.add("magpie_" + field)
	}
	return s, s.end()
}

func (s *sheet) write(row store.ResultRow) error {
	if s.cells {
		for i := range s.columns {
			s.add(at(row.Cells, i))
		}
	} else {
		_, values := members(row.Input)
		for _, column := range s.columns {
			s.add(text(values[column]))
		}
	}
	outcome := lookup.Outcome("")
	if row.Outcome != nil {
		outcome = *row.Outcome
	}
	s.add(string(outcome), string(row.Provider), row.Credits.String())
	_, result := members(row.Result)
	for _, field := range s.fields {
		s.add(text(result[field]))
	}
	return s.end()
}

// add adds cells, so that no spreadsheet runs them.
func (s *sheet) add(cells ...string) {
	for _, cell := range cells {
		s.record = append(s.record, intake.Defuse(cell))
	}
}

// end ends the line.
func (s *sheet) end() error {
	err := s.out.Write(s.record)
	s.record = s.record[:0]
	s.out.Flush()
	return err
}

func at(cells []string, i int) string {
	if i < len(cells) {
		return cells[i]
	}
	return ""
}

// members are the keys of a JSON object in their order, and its values. What is
// no object has none.
func members(raw json.RawMessage) (keys []string, values map[string]json.RawMessage) {
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &values) != nil {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	_, _ = decoder.Token() // the brace: raw is known to be an object
	for decoder.More() {
		var value json.RawMessage
		key, err := decoder.Token()
		if err != nil || decoder.Decode(&value) != nil {
			return keys, values
		}
		if name, ok := key.(string); ok {
			keys = append(keys, name)
		}
	}
	return keys, values
}

// text is a JSON value as a cell.
func text(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var s string
	if raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
