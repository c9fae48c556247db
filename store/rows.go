package store

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/magpie-hq/magpie/lookup"
)

// InputRow is one row of a chunk as intake stored it.
type InputRow struct {
	RowID  string
	Cells  []string         // as given, in a file with columns
	Object json.RawMessage  // as given, where rows are objects
	Fields lookup.Fields    // the normalised query; nil if invalid
	Error  *lookup.RowError // set if invalid
	// DuplicateOf is one more than the row it repeats, 0 for none.
	DuplicateOf int64
}

// Askable reports whether a provider may be asked about the row.
func (r InputRow) Askable() bool { return r.Error == nil && r.DuplicateOf == 0 }

// RowAnswer is the answer to one row, as a round stored it. It has an outcome.
type RowAnswer struct {
	Row      int64 // within the chunk
	Outcome  lookup.Outcome
	Result   json.RawMessage
	Provider string
	Credits  lookup.Credits
	Reused   bool
	Error    *lookup.RowError
}

func encodeInput(rows []InputRow) []byte {
	w := documentWriter{bytes: make([]byte, 0, 128*len(rows))}
	w.bytes = append(w.bytes, documentForm)
	w.number(int64(len(rows)))
	fields := documentWriter{} // its words are the document's
	for _, row := range rows {
		w.flags(row.RowID != "", row.Cells != nil, row.Object != nil, row.Error != nil, row.DuplicateOf > 0, row.Fields != nil)
		if row.RowID != "" {
			w.text(row.RowID)
		}
		if row.Cells != nil {
			w.number(int64(len(row.Cells)))
			for _, cell := range row.Cells {
				w.text(cell)
			}
		}
		if row.Object != nil {
			w.raw(row.Object)
		}
		if row.Error != nil {
			w.text(row.Error.Code)
			w.text(row.Error.Detail)
		}
		if row.DuplicateOf > 0 {
			w.number(row.DuplicateOf)
		}
		if row.Fields != nil {
			// In a part of their own, which a download skips.
			fields.bytes = fields.bytes[:0]
			fields.fields(row.Fields)
			w.raw(fields.bytes)
		}
	}
	return w.bytes
}

// fields writes those known from earlier rows in their order, then new ones.
func (w *documentWriter) fields(f lookup.Fields) {
	w.number(int64(len(f)))
	written := 0
	for _, name := range w.words {
		if value, ok := f[name]; ok {
			w.word(name)
			w.text(value)
			written++
		}
	}
	if written == len(f) {
		return
	}
	known := w.words
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if !slices.Contains(known, name) {
			w.word(name)
			w.text(f[name])
		}
	}
}

// decodeInput reads a chunk's rows, with their queries or, for a download,
// without.
func decodeInput(body []byte, queries bool) ([]InputRow, error) {
	r, n := readDocument(body)
	rows := make([]InputRow, n)
	var fields documentReader // keeps the words
	for i := range rows {
		row := &rows[i]
		has := r.byte()
		if has&1 != 0 {
			row.RowID = r.text()
		}
		if has&2 != 0 {
			row.Cells = r.texts()
		}
		if has&4 != 0 {
			row.Object = r.raw()
		}
		if has&8 != 0 {
			row.Error = &lookup.RowError{Code: r.text(), Detail: r.text()}
		}
		if has&16 != 0 {
			row.DuplicateOf = r.number()
		}
		if has&32 != 0 {
			from, to := r.part()
			if queries {
				fields.all, fields.at = r.all[:to], from
				row.Fields = fields.fields()
				r.bad = r.bad || fields.end() != nil
			}
		}
	}
	return rows, r.end()
}

func (r *documentReader) texts() []string {
	n := r.number()
	if n > int64(len(r.all)-r.at) {
		r.bad = true
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.text()
	}
	return list
}

func (r *documentReader) fields() lookup.Fields {
	f := lookup.Fields{}
	for k := r.number(); k > 0 && !r.bad; k-- {
		name := r.word()
		f[name] = r.text()
	}
	return f
}

func encodeAnswers(answers []RowAnswer) []byte {
	w := documentWriter{bytes: make([]byte, 0, 128*len(answers))}
	w.bytes = append(w.bytes, documentForm)
	w.number(int64(len(answers)))
	for _, a := range answers {
		w.number(a.Row)
		w.flags(a.Result != nil, a.Provider != "", a.Credits > 0, a.Reused, a.Error != nil)
		w.word(string(a.Outcome))
		if a.Result != nil {
			w.raw(a.Result)
		}
		if a.Provider != "" {
			w.word(a.Provider)
		}
		if a.Credits > 0 {
			w.number(int64(a.Credits))
		}
		if a.Error != nil {
			w.text(a.Error.Code)
			w.text(a.Error.Detail)
		}
	}
	return w.bytes
}

// decodeAnswers reads a round's answers, each into its row's place.
func decodeAnswers(body []byte, into []RowAnswer) error {
	r, n := readDocument(body)
	for range n {
		a := RowAnswer{Row: r.number()}
		has := r.byte()
		a.Outcome = lookup.Outcome(r.word())
		if has&1 != 0 {
			a.Result = r.raw()
		}
		if has&2 != 0 {
			a.Provider = r.word()
		}
		if has&4 != 0 {
			a.Credits = lookup.Credits(r.number())
		}
		a.Reused = has&8 != 0
		if has&16 != 0 {
			a.Error = &lookup.RowError{Code: r.text(), Detail: r.text()}
		}
		if r.bad || a.Row >= int64(len(into)) {
			return errDocument
		}
		into[a.Row] = a
	}
	return r.end()
}
