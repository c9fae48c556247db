package api

import (
	"context"
	"net/http"

	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/lookup"
)

// proofBody is what an audit says of one organization.
type proofBody struct {
	Org         string         `json:"org"`
	Entries     int64          `doc:"That were looked at."                                                    json:"entries"`
	Available   lookup.Credits `json:"available"`
	Busy        bool           `doc:"Lookups were under way, so the live balance was not compared. No error." json:"busy"`
	Differences []string       `doc:"None: it all adds up."                                                   json:"differences" nullable:"false"`
}

type auditInput struct {
	Limit  int    `default:"50"                                            maximum:"200"  minimum:"1" query:"limit"`
	Cursor string `doc:"The next_cursor of the page before."               query:"cursor"`
	Full   bool   `doc:"From the first entry, not from the last audit on." query:"full"`
}

func (a *api) registerAudit() {
	op := operation(http.MethodGet, "/admin/v1/audit", "audit", "Prove the books of organizations, page by page", adminScheme)
	register(a, op, func(ctx context.Context, in *auditInput) (*output[page[proofBody]], error) {
		orgs, err := a.Books.Accounts(ctx, in.Cursor, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return pageOf(orgs, in.Limit, func(org string) (proofBody, error) {
			p, err := a.Books.Audit(ctx, org, in.Full)
			return proofOut(p), err
		}, func(org string) string { return org })
	})
}

func proofOut(p books.Proof) proofBody {
	body := proofBody{Org: p.Org, Entries: p.Entries, Available: p.Available, Busy: p.Busy, Differences: []string{}}
	body.Differences = append(body.Differences, p.Differences...)
	return body
}
