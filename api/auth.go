package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/magpie-hq/magpie/store"
)

// authenticate finds out who calls. Whether that is enough is the route's to
// decide, see guard.
func (a *api) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r.Context())
		var err error
		if v.caller, err = a.callerOf(r); err != nil {
			writeProblem(w, r, a.told(r.Context(), err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *api) callerOf(r *http.Request) (caller, error) {
	secret := r.Header.Get("X-API-Key")
	if secret == "" {
		return caller{refused: unauthorized(codeMissingAuth, "there is no API key; send it in the header X-API-Key")}, nil
	}
	if a.isAdmin(secret) {
		return caller{admin: true}, nil
	}
	key, err := a.DB.KeyBySecret(r.Context(), secret)
	if errors.Is(err, store.ErrNotFound) {
		return caller{refused: unauthorized(codeInvalidKey, "the API key is unknown or was revoked; check the header X-API-Key")}, nil
	}
	return caller{org: key.Org, key: key.ID, monthlyCap: key.MonthlyCap}, err
}

// isAdmin compares hashes in constant time.
func (a *api) isAdmin(secret string) bool {
	return len(a.cfg.AdminKeyHash) > 0 && subtle.ConstantTimeCompare(store.HashSecret(secret), a.cfg.AdminKeyHash) == 1
}

func unauthorized(code, detail string) *problem {
	return newProblem(http.StatusUnauthorized, code, detail).with("WWW-Authenticate", `ApiKey realm="Magpie"`)
}

// guard lets through whom the operation is for, if the query has no parameters
// that it does not know.
func (a *api) guard(ctx huma.Context, next func(huma.Context)) {
	v := visitOf(ctx.Context())
	refusal := v.caller.may(ctx.Operation())
	if refusal == nil {
		refusal = checkQuery(v.request, ctx.Operation())
	}
	if refusal != nil {
		writeProblem(v.writer, v.request, refusal)
		return
	}
	next(ctx)
}

func (c caller) may(op *huma.Operation) *problem {
	_, forAdmin := op.Security[0][adminScheme]
	switch {
	case c.refused != nil:
		return c.refused
	case forAdmin && !c.admin:
		return newProblem(http.StatusForbidden, codePermissions, "this needs the administrator's key, not an organization's")
	case !forAdmin && c.admin:
		return newProblem(http.StatusForbidden, codePermissions, "this needs the key of an organization, not the administrator's")
	}
	return nil
}

// checkQuery refuses parameters that the operation does not know, by name, and
// those given twice.
func checkQuery(r *http.Request, op *huma.Operation) *problem {
	var known []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // what cannot be read must not be ignored either
		return invalid("query", "cannot be read; percent-encode names and values")
	}
	var faults []fieldError
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			faults = append(faults, unknown(name, known))
		case len(values) > 1:
			faults = append(faults, fieldError{name, codeValidation, "is given more than once"})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return invalidFields(sorted(faults)...)
}

// sorted orders faults by parameter, since they come out of maps.
func sorted(faults []fieldError) []fieldError {
	slices.SortStableFunc(faults, func(a, b fieldError) int { return strings.Compare(a.Param, b.Param) })
	return faults
}

// notYet are names in the contract that are not built yet.
var notYet = []string{"callback_url", "min_confidence", "max_cost", "expires_at"}

// unknown refuses a parameter or field that nobody reads: what is misspelt must
// not be ignored.
func unknown(name string, known []string) fieldError {
	const most = 60
	param := strings.ToValidUTF8(name, "?")
	if r := []rune(param); len(r) > most {
		param = string(r[:most]) + "…"
	}
	switch {
	case slices.Contains(notYet, name):
		return fieldError{param, codeValidation, param + " is not available yet; leave it out"}
	case len(known) == 0:
		return fieldError{param, codeValidation, "is unknown; this takes none"}
	}
	return fieldError{param, codeValidation, "is unknown; want " + strings.Join(known, ", ")}
}

// orgOf is the organization of the caller.
func orgOf(ctx context.Context) string { return visitOf(ctx).caller.org }

// tenant is the database as the caller's organization may use it.
func (a *api) tenant(ctx context.Context) *store.Tenant { return a.DB.As(orgOf(ctx)) }
