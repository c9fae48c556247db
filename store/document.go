package store

import (
	"encoding/binary"
	"errors"
)

// Many rows are kept as one document: a chunk's input, a round's answers. Every
// row is decoded several times in a batch's life, so the form is flat: numbers
// are uvarints, texts follow their length, and a word that comes back (a field's
// name, a provider) is written once and then called by its number.

// documentForm begins every document. A program that meets another form is
// older than the data.
const documentForm = 1

var errDocument = errors.New("the document is damaged, or written by a newer program")

// documentWriter writes a document. The zero value is ready.
type documentWriter struct {
	bytes []byte
	words []string
}

func (w *documentWriter) number(n int64) {
	w.bytes = binary.AppendUvarint(w.bytes, uint64(n)) // none of ours is negative
}

func (w *documentWriter) text(s string) {
	w.number(int64(len(s)))
	w.bytes = append(w.bytes, s...)
}

func (w *documentWriter) raw(b []byte) {
	w.number(int64(len(b)))
	w.bytes = append(w.bytes, b...)
}

// word writes a text that comes back. The words of a document are few.
func (w *documentWriter) word(s string) {
	for i, known := range w.words {
		if known == s {
			w.number(int64(i))
			return
		}
	}
	w.number(int64(len(w.words)))
	w.words = append(w.words, s)
	w.text(s)
}

// flags writes which of up to eight things a row has.
func (w *documentWriter) flags(has ...bool) {
	var b byte
	for i, set := range has {
		if set {
			b |= 1 << i
		}
	}
	w.bytes = append(w.bytes, b)
}

// documentReader reads what a documentWriter wrote. A damaged document makes it
// bad, and reads as zeros from there on; it never panics.
type documentReader struct {
	body  []byte
	all   string // the same: texts and raw values are parts, not copies
	at    int
	words []string
	bad   bool
}

// readDocument begins to read and returns the number of rows. body must not be
// changed afterwards.
func readDocument(body []byte) (r documentReader, rows int) {
	r = documentReader{body: body, all: string(body)}
	r.bad = r.byte() != documentForm
	n := r.number()
	// A row takes a byte at least: a damaged number must not ask for memory.
	if r.bad || n > int64(len(r.all)-r.at) {
		r.bad = true
		return r, 0
	}
	return r, int(n)
}

func (r *documentReader) byte() byte {
	if r.bad || r.at == len(r.all) {
		r.bad = true
		return 0
	}
	b := r.all[r.at]
	r.at++
	return b
}

func (r *documentReader) number() int64 {
	var n uint64
	for shift := 0; shift < 63; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(n)
		}
	}
	r.bad = true
	return 0
}

// part returns where the next text is.
func (r *documentReader) part() (from, to int) {
	n := r.number()
	if r.bad || n > int64(len(r.all)-r.at) {
		r.bad = true
		return 0, 0
	}
	from = r.at
	r.at += int(n)
	return from, r.at
}

func (r *documentReader) text() string {
	from, to := r.part()
	return r.all[from:to]
}

func (r *documentReader) raw() []byte {
	from, to := r.part()
	return r.body[from:to:to]
}

func (r *documentReader) word() string {
	i, known := r.number(), int64(len(r.words))
	if i > known {
		r.bad = true
	}
	if r.bad {
		return ""
	}
	if i == known {
		r.words = append(r.words, r.text())
	}
	return r.words[i]
}

// end says whether all was read, and nothing was missing.
func (r *documentReader) end() error {
	if r.bad || r.at != len(r.all) {
		return errDocument
	}
	return nil
}
