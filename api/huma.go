package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/magpie-hq/magpie/lookup"
)

// Names of the two ways to prove who one is.
const (
	customerScheme = "ApiKey"
	adminScheme    = "AdminKey"
)

// newHuma sets up huma with none of its defaults that the contract does not
// allow. All of them are overridden here: how errors look and what they repeat,
// links and $schema in answers, pages beside the API, and bodies, which
// [payload] and [api.readSubmission] read instead.
func newHuma(mux *http.ServeMux, version string, guard func(huma.Context, func(huma.Context))) huma.API { //nolint:ireturn // huma has no other type for it
	overrideErrors()
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schemas.RegisterTypeAlias(reflect.TypeFor[lookup.Credits](), reflect.TypeFor[float64]())
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Magpie",
				Version:     version,
				Description: "B2B data enrichment, paid by result: submit a lookup or a file, pay for what is found. Amounts are credits with at most three decimals, times are RFC 3339 in UTC.",
			},
			Servers: []*huma.Server{{URL: "/"}},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					customerScheme: {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "A key of an organization."},
					adminScheme:    {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "The administrator's key."},
				},
			},
		},
		// No OpenAPIPath, DocsPath or SchemasPath: huma would also serve pages
		// that load scripts from elsewhere.
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}, // "+json" too
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{addRequestID},
	}
	config.AllowAdditionalPropertiesByDefault = true // answers will have more fields one day
	made := humago.New(mux, config)
	made.UseMiddleware(guard)
	return made
}

// overrideErrors makes huma's own errors ours. They are package variables of
// huma, so they are set once.
var overrideErrors = sync.OnceFunc(func() {
	huma.NewError = humaProblem
	huma.NewErrorWithContext = func(_ huma.Context, status int, message string, errs ...error) huma.StatusError {
		return humaProblem(status, message, errs...)
	}
})

func humaProblem(status int, message string, errs ...error) huma.StatusError { //nolint:ireturn // what huma asks for
	fields := make([]fieldError, 0, len(errs))
	for _, err := range errs {
		if ours, ok := errors.AsType[*problem](err); ok {
			return ours
		}
		if theirs, ok := errors.AsType[*huma.ErrorDetail](err); ok { // its Value stays unsaid
			_, param, _ := strings.Cut(theirs.Location, ".")
			fields = append(fields, fieldError{param, codeValidation, theirs.Message})
		}
	}
	switch {
	case len(fields) > 0:
		return invalidFields(fields...)
	case status >= http.StatusInternalServerError:
		return problemOf(errors.Join(errs...))
	}
	return newProblem(http.StatusBadRequest, codeValidation, message)
}

// addRequestID is a transformer: problems are made where no request is at hand.
func addRequestID(ctx huma.Context, _ string, body any) (any, error) {
	if p, ok := body.(*problem); ok {
		p.RequestID = visitOf(ctx.Context()).id
	}
	return body, nil
}

// output is the answer of an operation that has only a body.
type output[T any] struct {
	Body T
}

// register adds an operation whose errors go through [problemOf].
func register[I, O any](a *api, op huma.Operation, handle func(ctx context.Context, in *I) (*O, error)) {
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.told(ctx, err)
		}
		return out, nil
	})
}

// told returns the problem to answer and logs what must not be answered.
func (a *api) told(ctx context.Context, err error) *problem {
	p := problemOf(err)
	a.report(ctx, p, err)
	return p
}

func (a *api) report(ctx context.Context, p *problem, err error) {
	if p.Status == http.StatusInternalServerError {
		a.Log.ErrorContext(ctx, "a request broke", "route", visitOf(ctx).route, "err", err)
	}
}

func operation(method, path, id, summary, scheme string) huma.Operation {
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary,
		Security: []map[string][]string{{scheme: {}}},
	}
}

// describeBody writes the body of an operation that reads it itself into the
// document.
func (a *api) describeBody(path string, media map[string]*huma.Schema) {
	body := &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
	for name, schema := range media {
		body.Content[name] = &huma.MediaType{Schema: schema}
	}
	a.huma.OpenAPI().Paths[path].Post.RequestBody = body
}

// jsonBody documents a body of JSON.
func jsonBody(schema *huma.Schema) *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
}

// schemaOf is the schema of a body.
func schemaOf[T any](a *api) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// strictSchemaOf is the schema of a body that [decode] reads.
func strictSchemaOf[T any](a *api) *huma.Schema {
	reference := schemaOf[T](a)
	a.huma.OpenAPI().Components.Schemas.SchemaFromRef(reference.Ref).AdditionalProperties = false
	return reference
}

// document serves the OpenAPI document, which is complete by now.
func (a *api) document() (http.HandlerFunc, error) {
	// lookup.Row knows nothing of huma, which takes a pointer to a struct for an
	// object that is always there.
	row := a.huma.OpenAPI().Components.Schemas.SchemaFromRef(schemaOf[lookup.Row](a).Ref).Properties
	row["error"] = &huma.Schema{OneOf: []*huma.Schema{schemaOf[lookup.RowError](a), {Type: "null"}}}
	row["outcome"].Enum = []any{nil}
	for _, outcome := range lookup.Outcomes {
		row["outcome"].Enum = append(row["outcome"].Enum, outcome)
	}
	text, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("api: OpenAPI document: %w", err)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		w.Write(text)
	}, nil
}
