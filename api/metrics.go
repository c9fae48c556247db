package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests. Labels are from fixed lists: patterns of routes,
// methods and classes of status, never a path as it was asked for.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewMetrics registers the API's metrics; registerer may be nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "magpie_http_requests_total", Help: "Requests answered, by route, method and class of status; route none: refused before a route was looked for.",
		}, []string{"route", "method", "class"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "magpie_http_request_seconds",
			Help:    "Duration of requests to their last byte, uploads and downloads included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"route", "method"}),
	}
	if registerer != nil {
		registerer.MustRegister(m.requests, m.seconds)
	}
	return m
}

// methods are those that a label may have.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// answered counts a request. pattern is that of the router: "GET /v1/credits",
// or "" if none matched. A status of 0 is a connection that ended before any
// answer, which counts as 5xx.
func (m *Metrics) answered(pattern, method string, status int, took time.Duration) {
	if !slices.Contains(methods, method) {
		method = "other"
	}
	_, route, _ := strings.Cut(pattern, "/")
	if route = "/" + route; pattern == "" {
		route = "none"
	}
	class := "5xx"
	if status >= 100 && status < 600 {
		class = strconv.Itoa(status/100) + "xx"
	}
	m.requests.WithLabelValues(route, method, class).Inc()
	m.seconds.WithLabelValues(route, method).Observe(took.Seconds())
}
