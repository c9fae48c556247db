package intake

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
)

// table is a CSV upload: a header and records below it.
type table struct {
	scanner *scanner
	header  []string
	fields  map[string]int    // the column of each field of the query, and of row_id
	values  map[string]string // of the last row
}

func openTable(r *bufio.Reader, columns matcher, limits Limits) (*table, error) {
	separator := sniff(r)
	s := newScanner(r, separator, limits)
	header, count, bad, err := s.record()
	switch {
	case errors.Is(err, io.EOF):
		return nil, &Error{"file", CodeInvalid, "the file is empty; send a header line and at least one row"}
	case err != nil:
		return nil, err
	case count > limits.Columns:
		return nil, tooManyColumns("file", limits.Columns)
	case bad != nil && bad.Code != "invalid_value":
		return nil, &Error{"file", CodeTooLarge, "the header line: " + bad.Detail}
	}
	t := &table{scanner: s, header: header, fields: columns.match(header), values: map[string]string{}}
	if err := columns.check(t.fields, header, "file"); err != nil {
		return nil, err
	}
	return t, nil
}

func tooManyColumns(param string, most int) error {
	return &Error{param, CodeTooLarge, fmt.Sprintf("there are more than %d columns; leave out those that are not needed", most)}
}

func (t *table) columns() []string { return t.header }

func (t *table) read(row *Row) (map[string]string, error) {
	cells, count, bad, err := t.scanner.record()
	if err != nil {
		return nil, err
	}
	row.Invalid = bad
	if most := len(t.header); count > most {
		// A trailing separator more than the header has is no other table.
		if count == len(cells) && strings.Join(cells[most:], "") == "" {
			cells = cells[:most]
		} else {
			row.Invalid = &lookup.RowError{Code: "ragged_row", Detail: fmt.Sprintf("the row has %d cells for %d columns; quote cells that contain the separator", count, most)}
		}
	}
	for len(cells) < len(t.header) {
		cells = append(cells, "")
	}
	row.Cells = cells
	for field, column := range t.fields {
		t.values[field] = cells[column]
	}
	row.RowID = t.values[rowIDField]
	return t.values, nil
}
