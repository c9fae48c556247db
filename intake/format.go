package intake

import (
	"bytes"
	"mime"
	"path/filepath"
	"strings"
)

// Format is how an upload is written.
type Format string

// The formats that can be read.
const (
	CSV    Format = "csv"    // with commas, semicolons, tabs or pipes
	NDJSON Format = "ndjson" // one JSON object a line
	JSON   Format = "json"   // an array of JSON objects
)

// Kinds of file that people send and that are refused by name.
const (
	workbook   = "spreadsheet workbook"
	compressed = "compressed file"
)

// mediaTypes and extensions say what is in a file; a kind that is no [Format]
// is refused.
var (
	mediaTypes = map[string]Format{
		"text/csv": CSV, "application/csv": CSV, "text/x-csv": CSV, "text/tab-separated-values": CSV,
		"application/x-ndjson": NDJSON, "application/ndjson": NDJSON, "application/jsonl": NDJSON,
		"application/x-jsonlines": NDJSON, "application/jsonlines": NDJSON,
		"application/json": JSON, "text/json": JSON,
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": workbook,
		"application/vnd.oasis.opendocument.spreadsheet":                    workbook,
		"application/gzip": compressed, "application/x-gzip": compressed,
		"application/zip": compressed, "application/x-zip-compressed": compressed,
	}
	extensions = map[string]Format{
		".csv": CSV, ".tsv": CSV, ".tab": CSV, ".txt": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON, ".json": JSON,
		".xlsx": workbook, ".xlsm": workbook, ".xls": workbook, ".ods": workbook,
		".gz": compressed, ".zip": compressed, ".zst": compressed, ".bz2": compressed, ".xz": compressed,
	}
)

// DetectFormat tells an upload's format from its media type and, where that
// says little, from its file name; either may be empty. The error is an
// [*Error] on file.
func DetectFormat(contentType, filename string) (Format, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = strings.ToLower(strings.TrimSpace(contentType))
	}
	byName := extensions[strings.ToLower(filepath.Ext(filename))]
	found, ok := mediaTypes[media]
	switch {
	case ok:
	case media == "application/vnd.ms-excel" && byName == "": // what browsers on Windows say of CSV, too
		found = workbook
	case byName != "":
		found = byName
	case media == "text/plain":
		found = CSV
	default:
		return "", &Error{"file", CodeUnsupported, "its format cannot be told; send text/csv, application/x-ndjson or application/json"}
	}
	if err := refusal(found); err != nil {
		return "", err
	}
	return found, nil
}

// refusal says by name what cannot be read; nil for a format that can.
func refusal(kind Format) error {
	switch kind {
	case workbook:
		return &Error{"file", CodeUnsupported, "spreadsheet workbooks (xlsx, xls, ods) are not read; save it as CSV and send that"}
	case compressed:
		return &Error{"file", CodeUnsupported, "compressed files (gzip, zip) are not read; send the file uncompressed"}
	}
	return nil
}

// disguised recognises workbooks and compressed files whatever they are called.
func disguised(head []byte) error {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")):
		return refusal(workbook)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return refusal(compressed)
	}
	return nil
}
