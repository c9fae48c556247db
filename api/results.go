package api

import (
	"bufio"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

type resultsInput struct {
	ID      string `doc:"Of the batch."            path:"id"`
	Format  string `doc:"ndjson (default) or csv." query:"format"`
	Outcome string `doc:"Only rows that ended so." enum:"found,not_found,invalid_input,failed" query:"outcome"`
}

func (a *api) registerResults() {
	op := operation(http.MethodGet, "/v1/batches/{id}/results", "get-results", "Download the results of a batch", customerScheme)
	op.Description = "Rows come in the order given, as they are known now: while the batch runs, open rows are left out. An answer that is cut off is not whole; ask again."
	op.Responses = map[string]*huma.Response{
		"200": {Description: "The rows.", Content: map[string]*huma.MediaType{
			"application/x-ndjson": {Schema: schemaOf[lookup.Row](a)},
			"text/csv":             {Schema: &huma.Schema{Type: huma.TypeString}},
		}},
	}
	register(a, op, a.results)
}

func (a *api) results(ctx context.Context, in *resultsInput) (*huma.StreamResponse, error) {
	switch in.Format {
	case "", "ndjson", "csv":
	case "json", "xlsx":
		return nil, invalid("format", in.Format+" is not available yet; want ndjson or csv")
	default:
		return nil, invalid("format", "want ndjson or csv")
	}
	b, err := a.tenant(ctx).GetBatch(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := newDownload(ctx)
	write := out.writeJSON
	media, ending := "application/x-ndjson", ".ndjson"
	if in.Format == "csv" {
		media, ending = "text/csv; charset=utf-8; header=present", ".csv"
		sheet, err := a.newSheet(ctx, b, out.buffer)
		if err != nil {
			return nil, err
		}
		write = sheet.write
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", media)
		hc.SetHeader("Content-Disposition", `attachment; filename="`+b.ID+ending+`"`)
		err := a.tenant(ctx).EachResult(ctx, b, lookup.Outcome(in.Outcome), func(row store.ResultRow) error {
			if err := write(row); err != nil {
				return err
			}
			return out.written()
		})
		if err == nil {
			err = out.flush()
		}
		if err != nil {
			// What is missing must show: the answer breaks off.
			a.report(ctx, problemOf(err), err)
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// download writes rows and passes them on in portions, so that what is there
// arrives while the rest is read.
type download struct {
	buffer *bufio.Writer
	line   []byte // its memory is used again from row to row
	rows   int
	flush  func() error
}

const rowsAPortion = 200

func newDownload(ctx context.Context) *download {
	v := visitOf(ctx)
	connection := http.NewResponseController(v.writer)
	_ = connection.SetWriteDeadline(time.Time{}) // a download takes as long as it takes
	d := &download{buffer: bufio.NewWriterSize(v.writer, 64<<10)}
	d.flush = func() error {
		if err := d.buffer.Flush(); err != nil {
			return err
		}
		return connection.Flush()
	}
	return d
}

// written counts a row.
func (d *download) written() error {
	d.rows++
	if d.rows%rowsAPortion == 0 {
		return d.flush()
	}
	return nil
}

func (d *download) writeJSON(row store.ResultRow) error {
	var err error
	if d.line, err = row.AppendJSON(d.line[:0]); err != nil {
		return err
	}
	d.line = append(d.line, '\n')
	_, err = d.buffer.Write(d.line)
	return err
}
