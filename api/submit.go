package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/store"
)

func (a *api) registerSubmit() {
	op := operation(http.MethodPost, "/v1/batches", "submit-batch", "Submit a batch", customerScheme)
	op.Description = "The rows are a file of a form, a body of their own (then the other fields are query parameters), or part of a JSON object. " +
		"A batch dearer than the balance is accepted and pauses when credits run out."
	op.DefaultStatus = http.StatusAccepted
	text, least := &huma.Schema{Type: huma.TypeString}, 0.001
	capSchema := &huma.Schema{Type: huma.TypeNumber, Minimum: &least}
	op.Parameters = []*huma.Param{
		{Name: "service", In: "query", Schema: serviceSchema(), Description: "Needed where the body is the file itself."},
		{Name: "name", In: "query", Schema: text, Description: "What to call the batch."},
		{Name: "mapping", In: "query", Schema: text, Description: `The file's column for a field of the query, as a JSON object: {"first_name": "Vorname"}.`},
		{Name: "max_credits", In: "query", Schema: capSchema, Description: "At most so much is charged for the batch, which pauses there. Left out: no cap."},
		{Name: "accept_catch_all", In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean}, Description: "Also charge for addresses at domains that accept every address."},
	}
	register(a, repeatable(op), a.submit)
	file := &huma.Schema{Type: huma.TypeString, Format: "binary", Description: "CSV with a header line, NDJSON, or a JSON list of objects."}
	a.describeBody("/v1/batches", map[string]*huma.Schema{
		"application/json":     strictSchemaOf[submitRequest](a),
		"text/csv":             file,
		"application/x-ndjson": file,
		"multipart/form-data": {
			Type: huma.TypeObject, Required: []string{"file", "service"}, AdditionalProperties: false,
			Properties: map[string]*huma.Schema{
				"file": file, "service": serviceSchema(), "name": text, "mapping": text, "max_credits": capSchema, "accept_catch_all": {Type: huma.TypeBoolean},
			},
		},
	})
}

func (a *api) submit(ctx context.Context, _ *struct{}) (*created[batchBody], error) {
	v := visitOf(ctx)
	s, err := a.readSubmission(v.writer, v.request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.file.close() }() // it has been read, or will not be
	out, err := once[batchBody]{prefix: "bat", hash: s.hash, do: func(ctx context.Context, id string) (int, batchBody, error) {
		b, err := a.accept(ctx, s, id)
		if err != nil {
			return 0, batchBody{}, err
		}
		a.Log.InfoContext(ctx, "batch accepted", "batch", b.ID, "org", b.Org, "service", b.Service, "rows", b.Rows.Total, "chunks", b.Chunks)
		a.Dispatcher.Start(context.WithoutCancel(ctx), b)
		return http.StatusAccepted, describe(b), nil // the batch exists: nothing may go wrong any more
	}}.run(ctx, a)
	if err != nil {
		return nil, err
	}
	out.Location = "/v1/batches/" + out.Body.ID
	return out, nil
}

// accept stores a submission as the batch of the given id. One that is there
// already, from a request whose answer was lost, is returned; what is left of
// one that did not get that far is dropped first.
func (a *api) accept(ctx context.Context, s *submission, id string) (store.Batch, error) {
	db := a.tenant(ctx)
	known, err := db.GetBatch(ctx, id)
	if !errors.Is(err, store.ErrNotFound) {
		return known, err
	}
	if err := a.available(s.service); err != nil {
		return store.Batch{}, err
	}
	if err := db.DropIntake(ctx, id); err != nil {
		return store.Batch{}, err
	}
	reader, err := s.open(a.cfg.Limits)
	if err != nil {
		return store.Batch{}, err
	}
	upload, err := db.BeginUpload(ctx, store.Batch{
		ID: id, Key: visitOf(ctx).caller.key, Service: s.service, Name: s.name,
		Price: a.price(s.service), Options: s.options, Columns: s.columns(reader), ChunkRows: a.cfg.ChunkRows, MaxCredits: s.most, CreatedAt: a.Now().UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return store.Batch{}, err
	}
	b, err := a.storeRows(ctx, upload, reader)
	if err == nil {
		return b, nil
	}
	keep := context.WithoutCancel(ctx) // the client may be gone; what it left must go too
	if errors.Is(err, store.ErrUnknownOutcome) {
		if b, missing := db.GetBatch(keep, id); missing == nil {
			return b, nil
		}
	}
	if undo := upload.Abort(keep); undo != nil {
		a.Log.WarnContext(ctx, "an upload is dropped later", "batch", id, "err", undo)
	}
	return store.Batch{}, err
}

// columns are those of a file that has columns.
func (s *submission) columns(r *intake.Reader) []string {
	if s.format == intake.CSV {
		return r.Columns()
	}
	return nil
}

func (a *api) storeRows(ctx context.Context, upload *store.Upload, reader *intake.Reader) (store.Batch, error) {
	for {
		row, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return store.Batch{}, err
		}
		if err := upload.Add(ctx, inputRow(row)); err != nil {
			return store.Batch{}, err
		}
	}
	if ctx.Err() != nil {
		return store.Batch{}, ctx.Err()
	}
	return upload.Accept(context.WithoutCancel(ctx), a.Now())
}

// inputRow is a row as it is stored.
func inputRow(row intake.Row) store.InputRow {
	in := store.InputRow{RowID: row.RowID, Cells: row.Cells, Object: row.Object, Error: row.Invalid, DuplicateOf: row.DuplicateOf + 1}
	if row.Invalid == nil {
		in.Fields = row.Query.Fields
	}
	if in.Object == nil && in.Cells == nil {
		in.Object = json.RawMessage("null") // a row too long to be kept
	}
	return in
}
