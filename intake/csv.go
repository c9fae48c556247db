package intake

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
)

// scanner reads the records of a CSV file.
//
// It is not encoding/csv because a file of a million rows must not end at a
// stray quote, nor be held in memory from an opening quote on. A quote inside
// an unquoted cell is data, and so is what follows a closing quote; only a
// quoted cell that is never closed is an error. A record ends at "\n", "\r\n"
// or "\r"; an empty line is none. Line ends within quotes stay as they are.
type scanner struct {
	r         *bufio.Reader
	separator byte
	limits    Limits

	line   int64 // of the byte read last, from 1
	opened int64 // the line of the last opening quote

	state  state
	bytes  []byte // of the record's cells, one after the other
	ends   []int  // of each cell in bytes
	count  int    // cells, those beyond limits.Columns included
	size   int    // bytes of the record, those not kept included
	length int    // bytes of the cell
	nul    bool   // the cell has a NUL
	quoted bool   // the record has a quoted cell
	bad    *lookup.RowError
}

// state is where in a cell the scanner is.
type state int

const (
	atStart  state = iota // nothing of the cell has been read
	inPlain               // in an unquoted cell, or behind a closing quote
	inQuotes              // behind an opening quote
	atQuote               // behind a quote within quotes: the closing one, or the first of two
)

func newScanner(r *bufio.Reader, separator byte, limits Limits) *scanner {
	return &scanner{r: r, separator: separator, limits: limits, line: 1}
}

// record returns the next record, at most limits.Columns of its cells and how
// many there are. A cell that is too long or has a NUL is emptied, and bad says
// so. The error is [io.EOF], an [*Error], or that of the underlying reader.
func (s *scanner) record() (cells []string, count int, bad *lookup.RowError, err error) {
	for {
		if err := s.scan(); err != nil {
			return nil, 0, nil, err
		}
		if s.count > 1 || s.size > 0 || s.quoted {
			break
		}
	}
	all := string(s.bytes)
	cells = make([]string, len(s.ends))
	start := 0
	for i, end := range s.ends {
		cells[i] = all[start:end]
		start = end
	}
	return cells, s.count, s.bad, nil
}

// scan reads one line or, with quoted line ends, several.
func (s *scanner) scan() error {
	s.bytes, s.ends, s.count, s.size = s.bytes[:0], s.ends[:0], 0, 0
	s.quoted, s.bad = false, nil
	s.state, s.length, s.nul = atStart, 0, false
	for {
		c, err := s.r.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return s.finish()
		case err != nil:
			return readError(err)
		case s.step(c):
			return nil
		}
	}
}

// step takes one byte and reports whether it ends the record.
func (s *scanner) step(c byte) (done bool) {
	switch {
	case s.state == inQuotes && c == '"':
		s.state = atQuote
	case s.state == inQuotes:
		if c == '\n' {
			s.line++
		}
		s.keep(c)
	case s.state == atQuote && c == '"':
		s.state = inQuotes
		s.keep(c)
	case s.state == atStart && c == '"':
		s.state, s.opened, s.quoted = inQuotes, s.line, true
	case c == s.separator:
		s.size++
		s.endCell()
	case c == '\n' || c == '\r':
		s.endLine(c)
		return true
	default:
		s.state = inPlain
		s.keep(c)
	}
	return false
}

// finish ends the last record, where the file ends.
func (s *scanner) finish() error {
	if s.state == inQuotes {
		return &Error{"file", CodeInvalid, fmt.Sprintf("line %d: a quote opens here and is never closed; close it, or double a quote that is part of the text", s.opened)}
	}
	if s.count == 0 && s.size == 0 && !s.quoted {
		return io.EOF
	}
	s.endCell()
	return nil
}

func (s *scanner) endLine(c byte) {
	if c == '\r' {
		if next, err := s.r.Peek(1); err == nil && next[0] == '\n' {
			_, _ = s.r.Discard(1) // it is there
		}
	}
	s.line++
	s.endCell()
}

func (s *scanner) keep(c byte) {
	s.size++
	s.length++
	s.nul = s.nul || c == 0
	if s.length <= s.limits.CellBytes && s.size <= s.limits.RowBytes && s.count < s.limits.Columns {
		s.bytes = append(s.bytes, c)
	}
}

func (s *scanner) endCell() {
	s.count++
	if s.count <= s.limits.Columns {
		start := 0
		if len(s.ends) > 0 {
			start = s.ends[len(s.ends)-1]
		}
		if bad := s.judgeCell(); bad != nil {
			s.bytes = s.bytes[:start]
			s.bad = bad
		}
		s.ends = append(s.ends, len(s.bytes))
	}
	s.state, s.length, s.nul = atStart, 0, false
}

func (s *scanner) judgeCell() *lookup.RowError {
	switch {
	case s.size > s.limits.RowBytes:
		return rowTooLarge(s.limits.RowBytes)
	case s.length > s.limits.CellBytes:
		return &lookup.RowError{Code: "cell_too_large", Detail: fmt.Sprintf("cell %d is longer than %d bytes; shorten it", s.count, s.limits.CellBytes)}
	case s.nul:
		return &lookup.RowError{Code: "invalid_value", Detail: fmt.Sprintf("cell %d has a NUL character in it; remove it", s.count)}
	}
	return nil
}

func rowTooLarge(most int) *lookup.RowError {
	return &lookup.RowError{Code: "row_too_large", Detail: fmt.Sprintf("the row is longer than %d bytes; shorten it", most)}
}

// separators are what may stand between cells, the likeliest first.
const separators = ",;\t|"

// sniff finds the separator: the one that the header line has most of, outside
// quotes. A spreadsheet's hint in the first line ("sep=;") is obeyed and
// skipped.
func sniff(r *bufio.Reader) byte {
	head, _ := r.Peek(lookahead) // an error shows again when the file is read
	text := strings.TrimLeft(string(head), "\r\n")
	if hint, ok := strings.CutPrefix(text, "sep="); ok && len(hint) > 1 && strings.ContainsAny(hint[1:2], "\r\n") && strings.Contains(separators, hint[:1]) {
		_, _ = r.Discard(len(head) - len(hint) + 1) // it is there
		return hint[0]
	}
	var counts [256]int
	quoted := false
	for i := range len(text) {
		c := text[i]
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			if c == '\n' || c == '\r' {
				break
			}
			counts[c]++
		}
	}
	best := separators[0]
	for i := range len(separators) {
		if counts[separators[i]] > counts[best] {
			best = separators[i]
		}
	}
	return best
}
