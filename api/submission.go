package api

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
)

// submission is a batch as it was sent, read but not looked into.
type submission struct {
	service lookup.Service
	name    string
	mapping map[string]string
	options lookup.Options
	most    lookup.Credits // the batch's cap; 0: none
	format  intake.Format
	file    *spool            // nil if rows is set
	rows    []json.RawMessage // of a JSON body
	hash    []byte            // of all that was sent, however it was wrapped
}

// submitRequest is a JSON body with rows.
type submitRequest struct {
	Service        string            `doc:"Which service to ask."                                                                               json:"service"`
	Rows           []json.RawMessage `doc:"One object a row, with any fields; values are texts, numbers, booleans or null. row_id names a row." json:"rows"                       nullable:"false"`
	Name           string            `doc:"What to call the batch."                                                                             json:"name,omitempty"             maxLength:"200"`
	Mapping        map[string]string `doc:"The caller's name of a field of the query, where it is another."                                     json:"mapping,omitempty"`
	MaxCredits     spendCap          `doc:"At most so much is charged for the batch, which pauses there; null: no cap."                         json:"max_credits,omitzero"`
	AcceptCatchAll bool              `doc:"Also charge for addresses at domains that accept every address."                                     json:"accept_catch_all,omitempty"`
}

// readSubmission reads the body, in any of the ways it may be sent. The caller
// closes the submission's file.
func (a *api) readSubmission(w http.ResponseWriter, r *http.Request) (*submission, error) {
	// An upload may take as long as it takes, whatever the server allows else.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		media = r.Header.Get("Content-Type")
	}
	if media == "multipart/form-data" || media == "application/json" {
		if query := r.URL.Query(); len(query) > 0 {
			for name := range query {
				return nil, invalid(name, "belongs into the body, not into the address")
			}
		}
	}
	switch media {
	case "multipart/form-data":
		return a.readForm(w, r)
	case "application/json":
		return readRows(w, r)
	}
	return a.readFile(w, r, media)
}

// readRows reads a JSON body.
func readRows(w http.ResponseWriter, r *http.Request) (*submission, error) {
	raw, err := readJSON(w, r, maxBatchBody)
	if size, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, newProblem(http.StatusRequestEntityTooLarge, codeTooLarge,
			"the body is larger than "+strconv.FormatInt(size.Limit, 10)+" bytes; send a file (text/csv or application/x-ndjson) instead")
	}
	if err != nil {
		return nil, err
	}
	var in submitRequest
	if err := decode(raw, &in); err != nil {
		return nil, err
	}
	s := &submission{rows: in.Rows, mapping: in.Mapping, most: in.MaxCredits.credits, options: lookup.Options{AcceptCatchAll: in.AcceptCatchAll}}
	sum := sha256.Sum256(raw)
	s.hash = sum[:]
	return s, s.named(in.Service, in.Name)
}

// readFile reads a body that is the file itself; the rest is in the query.
func (a *api) readFile(w http.ResponseWriter, r *http.Request, media string) (*submission, error) {
	s := &submission{}
	var err error
	if s.format, err = intake.DetectFormat(media, ""); err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for name, values := range r.URL.Query() {
		fields[name] = values[0]
	}
	if err := s.fill(fields); err != nil {
		return nil, err
	}
	if s.file, err = newSpool(a.cfg.SpoolDir, http.MaxBytesReader(w, r.Body, a.cfg.MaxUploadBytes)); err != nil {
		return nil, err
	}
	s.seal(fields)
	return s, nil
}

// readForm reads a form, whose fields may come before and after its file.
func (a *api) readForm(w http.ResponseWriter, r *http.Request) (*submission, error) {
	r.Body = http.MaxBytesReader(w, r.Body, a.cfg.MaxUploadBytes+maxBody)
	form, err := r.MultipartReader()
	if err != nil {
		return nil, invalid("body", "this is not a form; send multipart/form-data with its boundary")
	}
	s := &submission{}
	if err := a.readParts(s, form); err != nil {
		return nil, errors.Join(err, s.file.close())
	}
	return s, nil
}

func (a *api) readParts(s *submission, form *multipart.Reader) error {
	fields := map[string]string{}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return brokenForm(err)
		}
		if err := a.readPart(s, part, fields); err != nil {
			return err
		}
	}
	if s.file == nil {
		return invalid("file", "is missing; send the rows as a file")
	}
	if err := s.fill(fields); err != nil {
		return err
	}
	s.seal(fields)
	return nil
}

func brokenForm(err error) error {
	if size, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return size
	}
	return invalid("body", "the form broke off before its end; send it again")
}

// maxField bounds a form's field other than the file.
const maxField = 64 << 10

func (a *api) readPart(s *submission, part *multipart.Part, fields map[string]string) (err error) {
	name := part.FormName()
	if _, twice := fields[name]; twice || name == "file" && s.file != nil {
		return invalid(name, "is given more than once")
	}
	if name == "file" {
		if s.format, err = intake.DetectFormat(part.Header.Get("Content-Type"), part.FileName()); err != nil {
			return err
		}
		s.file, err = newSpool(a.cfg.SpoolDir, part)
		return err
	}
	if fault := unknownOf(name); fault != nil {
		return invalidFields(*fault)
	}
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil {
		return brokenForm(err)
	}
	if len(value) > maxField {
		return invalid(name, "is longer than "+strconv.Itoa(maxField)+" bytes")
	}
	fields[name] = string(value)
	return nil
}

// submitFields are what may be said of a file.
var submitFields = []string{"service", "name", "mapping", "max_credits", "accept_catch_all"}

func unknownOf(name string) *fieldError {
	if slices.Contains(submitFields, name) {
		return nil
	}
	fault := unknown(name, append([]string{"file"}, submitFields...))
	return &fault
}

// fill reads the fields that came as text.
func (s *submission) fill(fields map[string]string) error {
	if text := fields["mapping"]; text != "" {
		if err := json.Unmarshal([]byte(text), &s.mapping); err != nil {
			return invalid("mapping", "want "+wanted(s.mapping))
		}
	}
	var err error
	if s.most, err = parseCap("max_credits", fields["max_credits"]); err != nil {
		return err
	}
	if text := fields["accept_catch_all"]; text != "" {
		if text != "true" && text != "false" {
			return invalid("accept_catch_all", "want true or false")
		}
		s.options.AcceptCatchAll = text == "true"
	}
	return s.named(fields["service"], fields["name"])
}

func (s *submission) named(service, name string) error {
	var err error
	if s.service, err = lookup.ParseService(service); err != nil {
		return unknownService()
	}
	s.name = name
	return checkBatchName(name)
}

func checkBatchName(name string) error {
	const most = 200
	if utf8.RuneCountInString(name) > most || !utf8.ValidString(name) {
		return invalid("name", "want a text of at most "+strconv.Itoa(most)+" characters")
	}
	return nil
}

// seal hashes what was sent, without the boundary of the form that it came in.
func (s *submission) seal(fields map[string]string) {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(sum, "%s %d %s\x00", name, len(fields[name]), fields[name])
	}
	sum.Write([]byte("\x00" + s.format + "\x00"))
	sum.Write(s.file.hash)
	s.hash = sum.Sum(nil)
}

// open begins to read the rows.
func (s *submission) open(limits intake.Limits) (*intake.Reader, error) {
	o := intake.Options{Service: s.service, Mapping: s.mapping, Query: s.options, Limits: limits}
	if s.file == nil {
		return intake.OpenJSONRows(s.rows, o)
	}
	return intake.Open(s.file.file, s.format, o)
}
