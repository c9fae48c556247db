package providers

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		header, value, body string
		want                time.Duration
	}{
		{"", "", "", 0},
		{"Retry-After", "7", "", 7 * time.Second},
		{"Retry-After", " 1.5 ", "", 1500 * time.Millisecond},
		{"Retry-After", "-3", "", 0},
		{"Retry-After", "NaN", "", 0},
		{"Retry-After", "soon", "", 0},
		{"Retry-After", "999999", "", 24 * time.Hour},
		{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat), "", time.Minute},
		{"Retry-After", now.Add(-time.Minute).Format(http.TimeFormat), "", 0},
		{"X-RateLimit-Reset", "2026-11-25T12:00:30Z", "", 30 * time.Second},
		{"X-RateLimit-Reset", "1795608010", "", 10 * time.Second},
		{"X-RateLimit-Reset", "45", "", 45 * time.Second},
		{"RateLimit-Reset", "1, 60, 5", "", time.Minute},
		{"", "", `{"error":"Rate limit per minute exceeded, please wait 1.3s"}`, 1300 * time.Millisecond},
		{"", "", `Too many requests. Try again in 2 minutes.`, 2 * time.Minute},
		{"", "", `retry after 250ms`, 250 * time.Millisecond},
		{"", "", `{"error":"wait for it"}`, 0},
	} {
		header := http.Header{}
		if c.header != "" {
			header.Set(c.header, c.value)
		}
		if got := RetryAfter(header, []byte(c.body), now); got != c.want {
			t.Errorf("%s: %q %s: %s, want %s", c.header, c.value, c.body, got, c.want)
		}
	}
}

// Whatever a vendor writes, the wait is from nothing to a day.
func FuzzRetryAfter(f *testing.F) {
	f.Add("1, 2", "please wait 1.3s")
	f.Add("Wed, 25 Nov 2026 12:00:00 GMT", "")
	f.Fuzz(func(t *testing.T, value, body string) {
		if d := RetryAfter(http.Header{"Retry-After": {value}}, []byte(body), time.Now()); d < 0 || d > longestPause {
			t.Errorf("%s", d)
		}
	})
}
