package api

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// spool is an uploaded file that lies on disk until it has been read. Reading
// it only when it is whole has three reasons: fields of a form may follow the
// file, an upload that breaks off never reaches the database, and its
// Idempotency-Key is claimed with the hash of its content.
type spool struct {
	file *os.File
	hash []byte
}

// newSpool reads an upload to its end.
func newSpool(dir string, upload io.Reader) (s *spool, err error) {
	file, err := os.CreateTemp(dir, "magpie-upload-*")
	if err != nil {
		return nil, fmt.Errorf("api: spool an upload: %w", err)
	}
	s = &spool{file: file}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	// Where the system allows it, the file has no name from now on, and is gone
	// with this process whatever happens to it.
	_ = os.Remove(file.Name())
	source, sum := &watched{r: upload}, sha256.New()
	if _, err = io.Copy(io.MultiWriter(file, sum), source); err != nil {
		return nil, broken(source.err, err)
	}
	if _, err = file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("api: spool an upload: %w", err)
	}
	s.hash = sum.Sum(nil)
	return s, nil
}

func (s *spool) close() error {
	if s == nil {
		return nil
	}
	err := s.file.Close()
	_ = os.Remove(s.file.Name()) // mostly gone already
	return err
}

// broken tells an upload that ended badly from a disk that did.
func broken(source, err error) error {
	var size *http.MaxBytesError
	switch {
	case errors.As(source, &size):
		return size
	case source != nil:
		return invalid("file", "the upload broke off before its end; send it again")
	}
	return fmt.Errorf("api: spool an upload: %w", err)
}

// watched keeps the error of a reader.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
