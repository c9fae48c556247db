package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// lookahead is how many bytes of a file are looked at before it is read.
const lookahead = 64 << 10

// openText returns the file as UTF-8, whatever its encoding, and refuses what
// is no text.
func openText(r io.Reader) (*bufio.Reader, error) {
	raw := bufio.NewReaderSize(r, lookahead)
	head, err := raw.Peek(lookahead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(err)
	}
	if len(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\ufeff")))) == 0 && err != nil {
		return nil, &Error{"file", CodeInvalid, "the file is empty; send a header line and at least one row"}
	}
	if err := disguised(head); err != nil {
		return nil, err
	}
	var decoder transform.Transformer = &western{}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		decoder = unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder()
	case binary(head):
		return nil, &Error{"file", CodeInvalid, "this is not text; send CSV, NDJSON or JSON as UTF-8, UTF-16 with its mark, or Latin-1"}
	case bytes.HasPrefix(head, []byte("\ufeff")):
		if _, err := raw.Discard(len("\ufeff")); err != nil {
			return nil, readError(err)
		}
	}
	return bufio.NewReaderSize(transform.NewReader(raw, decoder), lookahead), nil
}

func readError(err error) error { return fmt.Errorf("reading the file: %w", err) }

// binary reports whether a file cannot be text: more than one byte in a
// hundred is a control character. A few are forgiven, since a stray NUL spoils
// a row, not a file.
func binary(head []byte) bool {
	controls := 0
	for _, c := range head {
		if c < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1b", rune(c)) || c == 0x7f {
			controls++
		}
	}
	return controls > 4+len(head)/100
}

// western passes UTF-8 through and reads every other byte as Windows-1252 (of
// which Latin-1's letters are a part). If the first byte beyond ASCII is not
// UTF-8, the whole file is Windows-1252; later, it is a slip in a UTF-8 file.
type western struct {
	isUTF8, isWestern bool
}

// Reset implements [transform.Transformer].
func (w *western) Reset() { *w = western{} }

// Transform implements [transform.Transformer].
func (w *western) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if src[nSrc] < utf8.RuneSelf {
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = src[nSrc]
			nDst, nSrc = nDst+1, nSrc+1
			continue
		}
		if !w.isWestern && !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		if nDst+utf8.UTFMax > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		r, size := w.decode(src[nSrc:])
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += size
	}
	return nDst, nSrc, nil
}

func (w *western) decode(src []byte) (r rune, size int) {
	if !w.isWestern {
		if r, size := utf8.DecodeRune(src); r != utf8.RuneError || size > 1 {
			w.isUTF8 = true
			return r, size
		}
		w.isWestern = !w.isUTF8
	}
	return charmap.Windows1252.DecodeByte(src[0]), 1
}
