package intake_test

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/magpie-hq/magpie/intake"
)

// mustRead reads a whole upload, one byte at a time, so that no test depends
// on how the bytes arrive.
func mustRead(t *testing.T, file string, f intake.Format, o intake.Options) (*intake.Reader, []intake.Row) {
	t.Helper()
	r, err := intake.Open(iotest.OneByteReader(strings.NewReader(file)), f, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return r, mustRows(t, r)
}

func mustRows(t *testing.T, r *intake.Reader) (rows []intake.Row) {
	t.Helper()
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		rows = append(rows, row)
	}
}

// readAll returns what ends an upload.
func readAll(file string, f intake.Format, o intake.Options) error {
	r, err := intake.Open(strings.NewReader(file), f, o)
	for err == nil {
		_, err = r.Next()
	}
	return err
}

func wantQuery(t *testing.T, row intake.Row, want map[string]string) {
	t.Helper()
	if row.Invalid != nil || !maps.Equal(row.Query.Fields, want) {
		t.Errorf("row %d asks %v (%+v), want %v", row.Index, row.Query.Fields, row.Invalid, want)
	}
}

func wantInvalid(t *testing.T, row intake.Row, code string) {
	t.Helper()
	if row.Invalid == nil || row.Invalid.Code != code || row.Invalid.Detail == "" || row.Query.Fields != nil {
		t.Errorf("row %d is %+v with query %v, want %s", row.Index, row.Invalid, row.Query.Fields, code)
	}
}

// wantError wants an error on a parameter whose detail has all the words.
func wantError(t *testing.T, err error, param, code string, anyOf ...string) {
	t.Helper()
	var refused *intake.Error
	if !errors.As(err, &refused) || refused.Param != param || refused.Code != code {
		t.Fatalf("got %v, want %s on %s", err, code, param)
	}
	if len(anyOf) > 0 && !slices.ContainsFunc(anyOf, func(s string) bool { return strings.Contains(refused.Detail, s) }) {
		t.Errorf("the detail %q says nothing of %q", refused.Detail, anyOf)
	}
}
