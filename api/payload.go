package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/lookup"
)

const (
	maxBody      = 1 << 20  // bytes of a JSON body
	maxBatchBody = 64 << 20 // bytes of one with a batch's rows, which are held in memory
)

// payload is a JSON body, read strictly into T: names are case-sensitive, and
// unknown ones are refused. Fields of T without omitempty or omitzero are required.
type payload[T any] struct {
	value T
	hash  []byte // of the bytes sent
}

// Resolve is called by huma before the handler.
func (p *payload[T]) Resolve(ctx huma.Context) []error {
	v := visitOf(ctx.Context())
	raw, err := readJSON(v.writer, v.request, maxBody)
	if err != nil {
		return []error{problemOf(err)}
	}
	sum := sha256.Sum256(raw)
	p.hash = sum[:]
	if err := decode(raw, &p.value); err != nil {
		return []error{problemOf(err)}
	}
	return nil
}

// readJSON reads a whole body that says it is JSON.
func readJSON(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if given := r.Header.Get("Content-Type"); given != "" {
		media, _, err := mime.ParseMediaType(given)
		if err != nil || media != "application/json" {
			return nil, newProblem(http.StatusUnsupportedMediaType, codeMedia, "want a body of application/json",
				fieldError{"Content-Type", codeMedia, "want application/json"})
		}
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var size *http.MaxBytesError
	if err != nil && !errors.As(err, &size) {
		return nil, invalid("body", "it broke off; send it again")
	}
	return raw, err
}

// object reads a JSON object without interpreting its values.
func object(raw []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(raw, &fields)
	var kind *json.UnmarshalTypeError
	switch {
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, invalid("body", "there is none; want a JSON object")
	case errors.As(err, &kind), err == nil && fields == nil:
		return nil, invalid("body", "want a JSON object")
	case err != nil:
		return nil, invalid("body", "this is not JSON; want an object")
	}
	return fields, nil
}

// decode reads a JSON object into the struct that into points to.
func decode(raw []byte, into any) error {
	given, err := object(raw)
	if err != nil {
		return err
	}
	target := reflect.ValueOf(into).Elem()
	var known []string
	var faults []fieldError
	for i := range target.NumField() {
		name, options, _ := strings.Cut(target.Type().Field(i).Tag.Get("json"), ",")
		known = append(known, name)
		value, ok := given[name]
		delete(given, name)
		switch {
		case ok && (string(value) != "null" || target.Field(i).Type() == reflect.TypeFor[spendCap]()):
			if err := json.Unmarshal(value, target.Field(i).Addr().Interface()); err != nil {
				faults = append(faults, fieldError{name, codeValidation, "want " + wanted(target.Field(i).Interface())})
			}
		case !strings.HasPrefix(options, "omit"):
			faults = append(faults, fieldError{name, codeValidation, "is missing; want " + wanted(target.Field(i).Interface())})
		}
	}
	for name := range given {
		faults = append(faults, unknown(name, known))
	}
	if len(faults) > 0 {
		return invalidFields(sorted(faults)...)
	}
	return nil
}

// wanted says in words what a field must hold.
func wanted(v any) string {
	switch v.(type) {
	case bool:
		return "true or false"
	case spendCap:
		return wantedCap
	case lookup.Credits:
		return "a number of credits with at most three decimals, such as 12.5"
	case map[string]string:
		return `an object of texts, such as {"first_name": "Vorname"}`
	case *time.Time:
		return "a time such as 2026-12-31T23:59:59Z"
	case []json.RawMessage:
		return "a list of objects"
	}
	return "a text"
}
