package api

import (
	"context"
	"net/http"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// providerBody is how the fleet stands with one vendor.
type providerBody struct {
	Provider   string           `json:"provider"`
	Services   []lookup.Service `json:"services"                                                                                                           nullable:"false"`
	Condition  string           `doc:"closed: all is well; open: it is down; half-open: it is probed; parked: it refused the key, or its plan is used up." enum:"closed,half-open,open,parked" json:"condition"`
	Until      *time.Time       `doc:"When it is tried again, if open or parked."                                                                          json:"until"`
	NotBefore  *time.Time       `doc:"The end of a pause that the vendor asked for."                                                                       json:"not_before"`
	Processes  int              `doc:"That can ask it and reported in the last seconds."                                                                   json:"processes"`
	InFlight   int              `doc:"Calls under way."                                                                                                    json:"in_flight"`
	PerSecond  *float64         `doc:"Calls a second that are allowed now; null: no limit."                                                                json:"per_second"`
	Quotas     []quotaBody      `doc:"How much of each window of its quota is used."                                                                       json:"quotas"                       nullable:"false"`
	Calls      map[string]int64 `doc:"By what the answer meant, since the processes began."                                                                json:"calls"`
	HeldBack   map[string]int64 `doc:"Questions that were not let through, by why."                                                                        json:"held_back"`
	P50Seconds *float64         `doc:"Half of the calls of the last five minutes were as fast; null: there were none."                                     json:"p50_seconds"`
	P95Seconds *float64         `doc:"19 of 20 of them were as fast."                                                                                      json:"p95_seconds"`
	Cost       float64          `doc:"Of the calls, in the unit of the waterfall file."                                                                    json:"cost"`
}

type quotaBody struct {
	Window string `enum:"second,minute,day" json:"window"`
	Used   int64  `json:"used"`
	Quota  int64  `json:"quota"`
}

func (a *api) registerProviders() {
	op := operation(http.MethodGet, "/admin/v1/providers", "list-providers", "How the whole fleet stands with its vendors", adminScheme)
	register(a, op, func(ctx context.Context, _ *struct{}) (*output[page[providerBody]], error) {
		var all []providers.Summary
		if a.Providers != nil {
			var err error
			if all, err = a.Providers(ctx); err != nil {
				a.Log.WarnContext(ctx, "the page of providers cannot be read", "err", err)
				return nil, unavailable("what the processes say of their vendors cannot be read from Redis; try again in a moment")
			}
		}
		return pageOf(all, len(all), providerOut, func(s providers.Summary) string { return s.Provider })
	})
}

func providerOut(s providers.Summary) (providerBody, error) {
	body := providerBody{
		Provider: s.Provider, Services: s.Services, Condition: s.Condition, Processes: s.Processes, InFlight: s.InFlight,
		Until: optionalTime(s.Until), NotBefore: optionalTime(s.NotBefore), PerSecond: optionalNumber(s.Rate), Quotas: []quotaBody{},
		Calls: s.Calls, HeldBack: s.HeldBack, Cost: s.Cost,
		P50Seconds: optionalNumber(s.P50.Seconds()), P95Seconds: optionalNumber(s.P95.Seconds()),
	}
	for _, q := range s.Quotas {
		body.Quotas = append(body.Quotas, quotaBody(q))
	}
	return body, nil
}

// optionalTime is null where there is none.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// optionalNumber is null where there is none.
func optionalNumber(n float64) *float64 {
	if n == 0 {
		return nil
	}
	return &n
}
