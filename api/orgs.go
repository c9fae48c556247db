package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/store"
)

type orgBody struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

func orgOut(o store.Org) (orgBody, error) {
	return orgBody{ID: o.ID, Name: o.Name, CreatedAt: o.CreatedAt.UTC()}, nil
}

// nameRequest makes something that only has a name.
type nameRequest struct {
	Name string `doc:"What people call it." json:"name" maxLength:"200" minLength:"1"`
}

func (n nameRequest) check() error {
	if strings.TrimSpace(n.Name) == "" || utf8.RuneCountInString(n.Name) > 200 {
		return invalid("name", "want a text of 1 to 200 characters")
	}
	return nil
}

type createOrgInput struct {
	Payload payload[nameRequest]
}

type orgInput struct {
	ID string `doc:"Of the organization." path:"id"`
}

type listOrgsInput struct {
	Limit  int    `default:"50"                              maximum:"200"  minimum:"1" query:"limit"`
	Cursor string `doc:"The next_cursor of the page before." query:"cursor"`
}

const orgsPath = "/admin/v1/orgs"

func (a *api) registerOrgs() {
	op := operation(http.MethodPost, orgsPath, "create-org", "Create an organization", adminScheme)
	op.DefaultStatus = http.StatusCreated
	register(a, repeatable(op), a.createOrg)
	a.describeBody(orgsPath, map[string]*huma.Schema{"application/json": strictSchemaOf[nameRequest](a)})
	register(a, operation(http.MethodGet, orgsPath, "list-orgs", "List organizations, oldest first", adminScheme),
		func(ctx context.Context, in *listOrgsInput) (*output[page[orgBody]], error) {
			orgs, err := a.DB.Orgs(ctx, in.Cursor, in.Limit+1)
			if err != nil {
				return nil, err
			}
			return pageOf(orgs, in.Limit, orgOut, func(o store.Org) string { return o.ID })
		})
	register(a, operation(http.MethodGet, orgsPath+"/{id}", "get-org", "Get an organization", adminScheme),
		func(ctx context.Context, in *orgInput) (*output[orgBody], error) {
			org, err := a.DB.GetOrg(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			body, err := orgOut(org)
			return &output[orgBody]{Body: body}, err
		})
}

func (a *api) createOrg(ctx context.Context, in *createOrgInput) (*created[orgBody], error) {
	if err := in.Payload.value.check(); err != nil {
		return nil, err
	}
	out, err := once[orgBody]{prefix: "org", hash: in.Payload.hash, do: func(ctx context.Context, id string) (int, orgBody, error) {
		org, err := a.DB.CreateOrg(ctx, id, in.Payload.value.Name, a.Now())
		if errors.Is(err, store.ErrConflict) { // made by a request whose answer was lost
			org, err = a.DB.GetOrg(ctx, id)
		}
		if err != nil {
			return 0, orgBody{}, err
		}
		body, err := orgOut(org)
		return http.StatusCreated, body, err
	}}.run(ctx, a)
	if err != nil {
		return nil, err
	}
	out.Location = orgsPath + "/" + out.Body.ID
	return out, nil
}
