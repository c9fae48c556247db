package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// widthOf is how many characters fit on a line of the terminal behind w.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// clean makes data fit for one line of a terminal: what could move its cursor,
// change its colours or turn its text around is replaced.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if dangerous(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(s))
}

// dangerous reports whether a terminal might obey r instead of showing it.
func dangerous(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// cleaner passes text on to a terminal, cleaned. Line ends and tabs stay.
type cleaner struct {
	w    io.Writer
	rest []byte // the beginning of a character whose end is still to come
}

// Write takes all of p, even if the last character of it is not whole.
func (c *cleaner) Write(p []byte) (int, error) {
	text := slices.Concat(c.rest, p)
	var out []byte
	for len(text) > 0 && utf8.FullRune(text) {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '\n' || r == '\t':
			out = append(out, byte(r))
		case r == '\r': // half of a line end, or an attempt to overwrite the line
		case dangerous(r):
			out = utf8.AppendRune(out, unicode.ReplacementChar)
		default:
			out = utf8.AppendRune(out, r)
		}
		text = text[size:]
	}
	c.rest = slices.Clone(text)
	if _, err := c.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// table writes rows in columns.
func (s *session) table(rows [][]string) {
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = clean(cell)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // stdout closed: nobody reads
}
