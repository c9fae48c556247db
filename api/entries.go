package api

import (
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
)

// entryBody is one line of an organization's statement.
type entryBody struct {
	ID        string          `doc:"Its place in the statement."              json:"id"`
	CreatedAt time.Time       `json:"created_at"`
	Kind      string          `enum:"grant,charge,expiry,refund,revoke,merge" json:"kind"`
	Credits   lookup.Credits  `doc:"Below 0: they went out."                  json:"credits"`
	Balance   lookup.Credits  `doc:"After it."                                json:"balance"`
	Source    *string         `doc:"Of a grant."                              json:"source"  nullable:"true"`
	Service   *lookup.Service `doc:"Of a charge."                             json:"service" nullable:"true"`
	Grant     *string         `doc:"The grant behind it."                     json:"grant"   nullable:"true"`
	Batch     *string         `doc:"The batch behind it."                     json:"batch"   nullable:"true"`
	Chunk     *int64          `doc:"The part of the batch, from 0."           json:"chunk"   nullable:"true"`
	Lookup    *string         `doc:"The single lookup behind it."             json:"lookup"  nullable:"true"`
}

func entryOut(l books.Line) (entryBody, error) {
	body := entryBody{
		ID: strconv.FormatInt(l.Seq, 10), CreatedAt: l.CreatedAt, Kind: l.Kind, Credits: l.Amount, Balance: l.Balance,
		Source: optional(l.Source), Service: optional(l.Service), Grant: optional(l.Grant), Batch: optional(l.Batch), Lookup: optional(l.Lookup),
	}
	if l.Batch != "" {
		body.Chunk = &l.Chunk
	}
	return body, nil
}

type entriesInput struct {
	Limit  int    `default:"50"                                          maximum:"200"  minimum:"1" query:"limit"`
	Cursor string `doc:"The next_cursor of the page before."             query:"cursor"`
	Format string `doc:"json (default), or csv for all entries at once." query:"format"`
}

func (a *api) registerEntries() {
	op := operation(http.MethodGet, "/v1/credits/entries", "list-entries", "List what changed the balance, newest first", customerScheme)
	op.Responses = map[string]*huma.Response{
		"200": {Description: "The entries.", Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemaOf[page[entryBody]](a)},
			"text/csv":         {Schema: &huma.Schema{Type: huma.TypeString}},
		}},
	}
	register(a, op, a.entries)
}

func (a *api) entries(ctx context.Context, in *entriesInput) (*huma.StreamResponse, error) {
	before := int64(0)
	if in.Cursor != "" {
		var err error
		if before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || before < 1 {
			return nil, invalid("cursor", "want the next_cursor of the page before")
		}
	}
	switch in.Format {
	case "", "json":
	case "csv":
		return a.entriesSheet(ctx, before), nil
	default:
		return nil, invalid("format", "want json or csv")
	}
	lines, err := a.Books.Statement(ctx, orgOf(ctx), before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	list, err := pageOf(lines, in.Limit, entryOut, func(l books.Line) string { return strconv.FormatInt(l.Seq, 10) })
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		if err := huma.DefaultJSONFormat.Marshal(hc.BodyWriter(), list.Body); err != nil {
			a.report(ctx, problemOf(err), err)
		}
	}}, nil
}

// entriesAtOnce is how many entries of a sheet are read together.
const entriesAtOnce = 1000

// entriesSheet writes the whole statement as CSV.
func (a *api) entriesSheet(ctx context.Context, before int64) *huma.StreamResponse {
	out := newDownload(ctx)
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "text/csv; charset=utf-8; header=present")
		hc.SetHeader("Content-Disposition", `attachment; filename="credits.csv"`)
		sheet := csv.NewWriter(out.buffer)
		err := sheet.Write([]string{"id", "created_at", "kind", "credits", "balance", "source", "service", "grant", "batch", "chunk", "lookup"})
		for err == nil {
			var lines []books.Line
			if lines, err = a.Books.Statement(ctx, orgOf(ctx), before, entriesAtOnce); err != nil || len(lines) == 0 {
				break
			}
			for _, l := range lines {
				err = sheet.Write(entryCells(l))
			}
			before = lines[len(lines)-1].Seq
			sheet.Flush()
		}
		if sheet.Flush(); err == nil {
			err = out.flush()
		}
		if err != nil {
			// What is missing must show: the answer breaks off.
			a.report(ctx, problemOf(err), err)
			panic(http.ErrAbortHandler)
		}
	}}
}

func entryCells(l books.Line) []string {
	chunk := ""
	if l.Batch != "" {
		chunk = strconv.FormatInt(l.Chunk, 10)
	}
	cells := []string{
		strconv.FormatInt(l.Seq, 10), l.CreatedAt.Format(time.RFC3339), l.Kind, l.Amount.String(), l.Balance.String(),
		l.Source, string(l.Service), l.Grant, l.Batch, chunk, l.Lookup,
	}
	for i, cell := range cells {
		cells[i] = intake.Defuse(cell)
	}
	return cells
}
