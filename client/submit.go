package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path/filepath"
	"strconv"

	"github.com/magpie-hq/magpie/lookup"
)

// SubmitRequest is a file to be asked.
type SubmitRequest struct {
	Service lookup.Service
	// Reader is the file. One that is an [io.Seeker], such as an [os.File], can
	// be sent again after a broken connection, from where it stands now.
	Reader io.Reader
	// Filename or ContentType tell the format: CSV, NDJSON or a JSON list.
	Filename, ContentType string
	// Name is what to call the batch; may be empty.
	Name string
	// Mapping gives the file's name of a field of the query where it is another.
	Mapping map[string]string
	// AcceptCatchAll also charges for addresses at domains that accept every
	// address.
	AcceptCatchAll bool
	// MaxCredits is the most that the batch may be charged: there it pauses. 0: no
	// cap.
	MaxCredits lookup.Credits
	// IdempotencyKey names the submission, so that it can be repeated by another
	// process too; "" for one of this call only.
	IdempotencyKey string
}

// Submit sends a file and returns the batch that it became. If ctx ends, Reader
// may still be read for a moment.
func (c *Client) Submit(ctx context.Context, s SubmitRequest) (Batch, error) {
	if s.Reader == nil {
		return Batch{}, errors.New("client: SubmitRequest.Reader is nil; give the file to submit")
	}
	head, tail, contentType, err := s.form()
	if err != nil {
		return Batch{}, fmt.Errorf("client: submit: %w", err)
	}
	q := call{
		method: http.MethodPost, path: "/v1/batches",
		header: http.Header{
			"Content-Type":    {contentType},
			"Idempotency-Key": {keyOr(s.IdempotencyKey)},
			"Expect":          {"100-continue"}, // a refusal comes before a gigabyte is sent
		},
	}
	rewind := func() error { return nil }
	if file, ok := s.Reader.(io.Seeker); ok {
		if start, err := file.Seek(0, io.SeekCurrent); err == nil { // pipes look like files
			q.repeatable = true
			rewind = func() error {
				_, err := file.Seek(start, io.SeekStart)
				return err
			}
		}
	}
	q.body = func() (io.Reader, error) {
		if err := rewind(); err != nil {
			return nil, fmt.Errorf("client: submit: %w", err)
		}
		return io.MultiReader(bytes.NewReader(head), s.Reader, bytes.NewReader(tail)), nil
	}
	var b Batch
	_, err = c.ask(ctx, q, &b)
	return b, err
}

// form returns what stands before and after the file in the body.
func (s SubmitRequest) form() (head, tail []byte, contentType string, err error) {
	var buffer bytes.Buffer // writing to it cannot go wrong
	form := multipart.NewWriter(&buffer)
	fields := [][2]string{{"service", string(s.Service)}, {"name", s.Name}}
	if len(s.Mapping) > 0 {
		text, err := json.Marshal(s.Mapping)
		if err != nil {
			return nil, nil, "", err
		}
		fields = append(fields, [2]string{"mapping", string(text)})
	}
	if s.AcceptCatchAll {
		fields = append(fields, [2]string{"accept_catch_all", strconv.FormatBool(true)})
	}
	if s.MaxCredits != 0 {
		fields = append(fields, [2]string{"max_credits", s.MaxCredits.String()})
	}
	for _, field := range fields {
		if field[1] == "" {
			continue
		}
		if err := form.WriteField(field[0], field[1]); err != nil {
			return nil, nil, "", err
		}
	}
	disposition := mime.FormatMediaType("form-data", map[string]string{"name": "file", "filename": "file" + filepath.Ext(s.Filename)})
	header := textproto.MIMEHeader{"Content-Disposition": {disposition}}
	if s.ContentType != "" {
		header.Set("Content-Type", s.ContentType)
	}
	if _, err := form.CreatePart(header); err != nil {
		return nil, nil, "", err
	}
	cut := buffer.Len()
	if err := form.Close(); err != nil {
		return nil, nil, "", err
	}
	whole := buffer.Bytes()
	return whole[:cut:cut], whole[cut:], form.FormDataContentType(), nil
}
