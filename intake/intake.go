package intake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/magpie-hq/magpie/lookup"
)

// Codes of an [*Error], as the API answers them.
const (
	CodeInvalid     = "validation_error"
	CodeUnsupported = "unsupported_media_type"
	CodeTooLarge    = "payload_too_large"
)

// Error refuses a whole upload.
type Error struct {
	Param  string // the parameter at fault: file, rows, service, mapping.<field>
	Code   string // CodeInvalid, CodeUnsupported or CodeTooLarge
	Detail string // what is wrong and what to do
}

func (e *Error) Error() string { return e.Param + ": " + e.Detail }

// Options say how to read an upload.
type Options struct {
	Service lookup.Service
	// Mapping names the customer's column for a query field, or for row_id.
	// Fields that it leaves out are mapped by the columns' names.
	Mapping map[string]string
	Query   lookup.Options // part of every row's query
	Limits  Limits
}

// Limits bound an upload; a zero value means the default.
type Limits struct {
	Rows      int64 // rows of an upload, default 1,000,000; more refuse the upload
	Columns   int   // columns, default 500; more refuse the upload
	CellBytes int   // bytes of a cell or value, default 64 KiB; more make the row invalid
	RowBytes  int   // bytes of a row, default 1 MiB; more make the row invalid
}

func (l Limits) withDefaults() Limits {
	if l.Rows <= 0 {
		l.Rows = 1_000_000
	}
	if l.Columns <= 0 {
		l.Columns = 500
	}
	if l.CellBytes <= 0 {
		l.CellBytes = 64 << 10
	}
	if l.RowBytes <= 0 {
		l.RowBytes = 1 << 20
	}
	return l
}

// Row is one row of an upload.
type Row struct {
	Index int64  // from 0, in the order given
	RowID string // the customer's own name for the row; "" if there is none
	// Cells are the row of a CSV file: one a column, and in a ragged row those
	// that are too many. A cell that cannot be kept (too long, a NUL in it) is
	// empty, and the row invalid.
	Cells []string
	// Object is the row of a JSON upload, compact, otherwise as given. A line
	// that is no JSON is the text of the line; one too long is nil.
	Object json.RawMessage
	Query  lookup.Query // zero if Invalid is set
	// Invalid says why the row cannot be asked: a code of [lookup.InputError],
	// ragged_row, cell_too_large, row_too_large, invalid_json or not_an_object.
	Invalid     *lookup.RowError
	DuplicateOf int64 // the first row that asks the same, or -1
}

// Counts are the rows returned so far.
type Counts struct {
	Rows, Invalid, Duplicate int64
}

// Reader reads the rows of an upload. It is for one goroutine.
type Reader struct {
	options Options
	source  source
	param   string // that errors name
	ahead   *Row   // read by Open, to know that there is one
	next    int64
	seen    map[lookup.Question]int64
	counts  Counts
	err     error // ends the reading
}

// source is an upload in one format.
type source interface {
	// read fills in what was given, and returns the query's fields, valid until
	// the next call. Where they cannot be told, it sets row.Invalid.
	read(row *Row) (map[string]string, error)
	columns() []string
}

// Open begins to read an upload. An upload that has no rows or no usable
// columns is refused here; the error is an [*Error], or wraps that of r.
func Open(r io.Reader, f Format, o Options) (*Reader, error) {
	o.Limits = o.Limits.withDefaults()
	columns, err := newMatcher(o)
	if err != nil {
		return nil, err
	}
	text, err := openText(r)
	if err != nil {
		return nil, err
	}
	var s source
	switch f {
	case CSV:
		s, err = openTable(text, columns, o.Limits)
	case NDJSON:
		s, err = openObjects(&lineReader{r: text, most: o.Limits.RowBytes}, "file", columns, o.Limits)
	case JSON:
		s, err = openObjects(newArrayReader(text, o.Limits.RowBytes), "file", columns, o.Limits)
	default:
		return nil, &Error{"file", CodeUnsupported, "want csv, ndjson or json"}
	}
	return newReader(s, err, "file", o)
}

// OpenJSONRows reads the rows of a JSON body that is already decoded. Its
// errors name the parameter rows.
func OpenJSONRows(rows []json.RawMessage, o Options) (*Reader, error) {
	o.Limits = o.Limits.withDefaults()
	columns, err := newMatcher(o)
	if err != nil {
		return nil, err
	}
	s, err := openObjects(&rowsReader{rows: rows, most: o.Limits.RowBytes}, "rows", columns, o.Limits)
	return newReader(s, err, "rows", o)
}

// newReader reads the first row, so that an upload without any is refused.
func newReader(s source, err error, param string, o Options) (*Reader, error) {
	if err != nil {
		return nil, err
	}
	r := &Reader{options: o, source: s, param: param, seen: map[lookup.Question]int64{}}
	first, err := r.read()
	if errors.Is(err, io.EOF) {
		return nil, &Error{param, CodeInvalid, "there are columns but no rows; give at least one row below the header"}
	}
	if err != nil {
		return nil, err
	}
	r.ahead = &first
	return r, nil
}

// Columns are the customer's columns as given, in their order. In a JSON
// upload they are the keys of the rows read so far, in order of appearance.
func (r *Reader) Columns() []string { return r.source.columns() }

// Counts counts the rows that Next has returned.
func (r *Reader) Counts() Counts { return r.counts }

// Next returns the next row, and [io.EOF] after the last. Any other error ends
// the upload: an [*Error], or one that wraps that of the underlying reader.
func (r *Reader) Next() (Row, error) {
	if r.err != nil {
		return Row{}, r.err
	}
	row, err := r.take()
	if err != nil {
		r.err = err
		return Row{}, err
	}
	r.counts.Rows++
	if row.Invalid != nil {
		r.counts.Invalid++
	}
	if row.DuplicateOf >= 0 {
		r.counts.Duplicate++
	}
	return row, nil
}

func (r *Reader) take() (Row, error) {
	if row := r.ahead; row != nil {
		r.ahead = nil
		return *row, nil
	}
	return r.read()
}

func (r *Reader) read() (Row, error) {
	row := Row{Index: r.next, DuplicateOf: -1}
	fields, err := r.source.read(&row)
	if err != nil {
		return Row{}, err
	}
	if r.next == r.options.Limits.Rows {
		return Row{}, &Error{r.param, CodeTooLarge, fmt.Sprintf("there are more than %d rows; split the upload", r.next)}
	}
	r.next++
	if row.Invalid == nil {
		r.ask(&row, fields)
	}
	return row, nil
}

// ask makes the row's query, and marks it as invalid or a duplicate.
func (r *Reader) ask(row *Row, fields map[string]string) {
	query, err := lookup.Normalise(r.options.Service, fields, r.options.Query)
	var input *lookup.InputError
	switch {
	case errors.As(err, &input):
		row.Invalid = &lookup.RowError{Code: input.Code, Detail: input.Error()}
		return
	case err != nil:
		row.Invalid = &lookup.RowError{Code: "invalid_value", Detail: err.Error()}
		return
	}
	row.Query = query
	question := query.Question()
	if first, ok := r.seen[question]; ok {
		row.DuplicateOf = first
		return
	}
	r.seen[question] = row.Index
}
