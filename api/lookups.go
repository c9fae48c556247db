package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
)

type lookupInput struct {
	Service string `doc:"Which service to ask." path:"service"`
}

// lookupOutput is a row, with what it cost.
type lookupOutput struct {
	Cost      string `doc:"Charged for the lookup."                        header:"X-Credits-Cost"`
	Remaining string `doc:"Credits available after it."                    header:"X-Credits-Remaining"`
	Replayed  string `doc:"true if this is the first answer, given again." header:"Idempotency-Replayed"`
	Body      lookup.Row
}

const lookupPath = "/v1/lookups/{service}"

func (a *api) registerLookups() {
	op := operation(http.MethodPost, lookupPath, "lookup", "Ask one question", customerScheme)
	op.Description = "Answers the result row of a batch, without row. Nothing found is an answer (200, outcome not_found), and free."
	register(a, repeatable(op), a.lookup)
	var bodies []*huma.Schema
	for _, service := range lookup.Services {
		s := &huma.Schema{Type: huma.TypeObject, Title: string(service), AdditionalProperties: false, Properties: map[string]*huma.Schema{
			"accept_catch_all": {Type: huma.TypeBoolean, Description: "Also charge for addresses at domains that accept every address."},
			"row_id":           {Type: huma.TypeString, Description: "The caller's own name for the question; it comes back."},
		}}
		for _, field := range service.QueryFields() {
			s.Properties[field] = &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}, {Type: "null"}}}
		}
		bodies = append(bodies, s)
	}
	a.describeBody(lookupPath, map[string]*huma.Schema{"application/json": {OneOf: bodies}})
	path := a.huma.OpenAPI().Paths[lookupPath].Post.Parameters
	path[slices.IndexFunc(path, func(p *huma.Param) bool { return p.In == "path" })].Schema = serviceSchema()
}

func (a *api) lookup(ctx context.Context, in *lookupInput) (*lookupOutput, error) {
	service, err := lookup.ParseService(in.Service)
	if err != nil {
		return nil, newProblem(http.StatusNotFound, codeNotFound, unknownService().Detail)
	}
	v := visitOf(ctx)
	raw, err := readJSON(v.writer, v.request, maxBody)
	if err != nil {
		return nil, err
	}
	q, err := readQuestion(service, raw)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	answer, err := once[lookup.Row]{prefix: "lkp", hash: sum[:], do: func(ctx context.Context, id string) (int, lookup.Row, error) {
		row, err := a.ask(ctx, id, q.query)
		row.RowID, row.Input = lookup.OptionalText(q.rowID), q.input
		return http.StatusOK, row, err
	}}.run(ctx, a)
	if err != nil {
		return nil, err
	}
	out := &lookupOutput{Cost: answer.Body.Credits.String(), Replayed: answer.Replayed, Body: answer.Body}
	// The answer is worth more than the header: without Redis it goes without.
	if balance, err := a.Books.Balance(ctx, v.caller.org); err == nil {
		out.Remaining = lookup.Credits(balance.Available).String()
	}
	return out, nil
}

// ask puts one question to the engine that also runs batches.
func (a *api) ask(ctx context.Context, id string, q lookup.Query) (lookup.Row, error) {
	if err := a.available(q.Service); err != nil {
		return lookup.Row{}, err
	}
	c, price := visitOf(ctx).caller, a.price(q.Service)
	row, err := a.Engine.Lookup(ctx, enrich.Request{ID: id, Org: c.org, Key: c.key, KeyCap: c.monthlyCap, Query: q, Price: price})
	var few *ledger.InsufficientError
	switch {
	case errors.As(err, &few) && few.Reason == ledger.AtLimit:
		return lookup.Row{}, a.atCap(ctx, price, few)
	case errors.As(err, &few):
		return lookup.Row{}, a.insufficient(price, lookup.Credits(few.Available))
	case err != nil:
		return lookup.Row{}, err
	case row.Outcome != nil && *row.Outcome == lookup.Failed:
		detail := "no provider could answer; nothing was charged, try again"
		if row.Error != nil {
			detail = row.Error.Detail
		}
		return lookup.Row{}, unavailable(detail)
	}
	return row, nil
}

func (a *api) insufficient(required, available lookup.Credits) *problem {
	detail := "the lookup can cost " + required.String() + " credits, " + available.String() + " are available; "
	if a.cfg.BuyURL == "" {
		detail += "ask the operator for more"
	} else {
		detail += "buy more at " + a.cfg.BuyURL
	}
	p := newProblem(http.StatusPaymentRequired, codeInsufficient, detail)
	p.CreditsRequired, p.CreditsAvailable, p.BuyURL = &required, &available, a.cfg.BuyURL
	return p
}

// question is a single lookup as it was sent.
type question struct {
	query lookup.Query
	rowID string
	input json.RawMessage // as given
}

func readQuestion(service lookup.Service, raw []byte) (question, error) {
	given, err := object(raw)
	if err != nil {
		return question{}, err
	}
	var q question
	var options lookup.Options
	fields := map[string]string{}
	var faults []fieldError
	known := append(slices.Clone(service.QueryFields()), "accept_catch_all", "row_id")
	for name, value := range given {
		kind := value[0]
		switch {
		case !slices.Contains(known, name):
			faults = append(faults, unknown(name, known))
		case name == "accept_catch_all":
			if json.Unmarshal(value, &options.AcceptCatchAll) != nil {
				faults = append(faults, fieldError{name, codeValidation, "want true or false"})
			}
		case kind == '{' || kind == '[':
			faults = append(faults, fieldError{name, codeValidation, "want a text, a number, true or false"})
		case name == "row_id":
			q.rowID = text(value)
		default:
			fields[name] = text(value)
		}
	}
	if len(faults) > 0 {
		return question{}, invalidFields(sorted(faults)...)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return question{}, err
	}
	q.input = compact.Bytes()
	q.query, err = lookup.Normalise(service, fields, options)
	return q, err
}
