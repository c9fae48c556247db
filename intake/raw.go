package intake

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/magpie-hq/magpie/lookup"
)

// lineReader reads the rows of an NDJSON file. Blank lines are no rows.
type lineReader struct {
	r    *bufio.Reader
	most int // bytes of a line that are kept
	line []byte
}

func (l *lineReader) read() ([]byte, *lookup.RowError, error) {
	for {
		size, err := l.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, readError(err)
		}
		switch line := bytes.TrimSpace(l.line); {
		case size > l.most:
			return nil, rowTooLarge(l.most), nil
		case len(line) > 0:
			return line, nil, nil
		case err != nil:
			return nil, nil, err
		}
	}
}

// next reads a line and returns how long it is, beyond what is kept.
func (l *lineReader) next() (size int, err error) {
	l.line = l.line[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		size += len(part)
		if size <= l.most {
			l.line = append(l.line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return size, err
		}
	}
}

// rowsReader reads rows that are already in memory.
type rowsReader struct {
	rows []json.RawMessage
	most int
}

func (r *rowsReader) read() ([]byte, *lookup.RowError, error) {
	if len(r.rows) == 0 {
		return nil, nil, io.EOF
	}
	raw := r.rows[0]
	r.rows = r.rows[1:]
	if len(raw) > r.most {
		return nil, rowTooLarge(r.most), nil
	}
	return raw, nil, nil
}

// arrayReader reads the elements of a JSON array. An element longer than most
// refuses the file: to skip it, it would have to be read into memory.
type arrayReader struct {
	input   *meter
	decoder *json.Decoder
	opened  bool
	most    int
}

func newArrayReader(r io.Reader, most int) *arrayReader {
	input := &meter{r: r}
	return &arrayReader{input: input, decoder: json.NewDecoder(input), most: most}
}

func (a *arrayReader) read() ([]byte, *lookup.RowError, error) {
	a.input.left = a.most + lookahead
	if !a.opened {
		if token, err := a.decoder.Token(); err != nil || token != json.Delim('[') {
			return nil, nil, a.refuse(err)
		}
		a.opened = true
	}
	if !a.decoder.More() {
		return nil, nil, a.close()
	}
	var raw json.RawMessage
	if err := a.decoder.Decode(&raw); err != nil {
		return nil, nil, a.refuse(err)
	}
	if len(raw) > a.most {
		return nil, rowTooLarge(a.most), nil
	}
	return raw, nil, nil
}

// close returns [io.EOF] where the array and with it the file ends.
func (a *arrayReader) close() error {
	if _, err := a.decoder.Token(); err != nil {
		return a.refuse(err)
	}
	if _, err := a.decoder.Token(); !errors.Is(err, io.EOF) {
		return &Error{"file", CodeInvalid, "something follows the JSON array; send one array of objects"}
	}
	if err := a.input.err; err != nil {
		return a.refuse(err)
	}
	return io.EOF
}

func (a *arrayReader) refuse(err error) error {
	switch {
	case errors.Is(a.input.err, errTooLong):
		return &Error{"file", CodeTooLarge, fmt.Sprintf("a row is longer than %d bytes; shorten it", a.most)}
	case a.input.err != nil:
		return readError(a.input.err)
	case !a.opened:
		return &Error{"file", CodeInvalid, `want a JSON array of objects, such as [{"email": "jane@example.com"}]`}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{"file", CodeInvalid, "the JSON array is never closed; send the whole file"}
	}
	return &Error{"file", CodeInvalid, fmt.Sprintf("not JSON any more after byte %d of the text; send one array of objects", a.decoder.InputOffset())}
}

// errTooLong ends a row that does not end by itself.
var errTooLong = errors.New("the row is too long")

// meter bounds how much is read for one row, and keeps the error that a JSON
// decoder may hide.
type meter struct {
	r    io.Reader
	left int
	err  error // of r, unless io.EOF
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		m.err = errTooLong
		return 0, errTooLong
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}
