package providers

import (
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// resetHeaders name a moment or a time to wait for, in the order in which they
// are believed.
var resetHeaders = []string{"Retry-After", "RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset"}

// inProse finds a delay in an error's text: "please wait 1.3s".
var inProse = regexp.MustCompile(`(?i)\b(?:wait|retry (?:after|in)|try again in)\D{0,12}?(\d+(?:\.\d+)?) ?(ms|milliseconds?|s|sec|seconds?|m|min|minutes?)\b`)

// RetryAfter reads how long a vendor wants to be left alone, however it says so:
// seconds, an HTTP date, a UTC timestamp, Unix seconds, the longest of a list of
// windows, Prospeo's own headers, or only prose. It returns 0 where nothing is
// said, and never more than a day.
func RetryAfter(header http.Header, body []byte, now time.Time) time.Duration {
	for _, name := range resetHeaders {
		if after := longest(header.Get(name), now); after > 0 {
			return after
		}
	}
	if found := inProse.FindSubmatch(body[:min(len(body), 4096)]); found != nil {
		n, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			return 0
		}
		switch unit := strings.ToLower(string(found[2])); {
		case strings.HasPrefix(unit, "ms"), strings.HasPrefix(unit, "milli"):
			n /= 1000
		case strings.HasPrefix(unit, "m"):
			n *= 60
		}
		return bounded64(n)
	}
	return 0
}

// longest is the longest wait of a header's value, which may be a list, or a
// date with a comma in it.
func longest(value string, now time.Time) (after time.Duration) {
	if at, err := http.ParseTime(strings.TrimSpace(value)); err == nil {
		return clampWait(at.Sub(now))
	}
	for word := range strings.SplitSeq(value, ",") {
		after = max(after, wait(strings.TrimSpace(word), now))
	}
	return after
}

// wait reads one time to wait.
func wait(word string, now time.Time) time.Duration {
	if at, err := time.Parse(time.RFC3339, word); err == nil {
		return clampWait(at.Sub(now))
	}
	n, err := strconv.ParseFloat(word, 64)
	switch {
	case err != nil || math.IsNaN(n):
		return 0
	case n > 1e9: // no wait: a moment in Unix seconds
		return bounded64(n - float64(now.UnixMilli())/1000)
	}
	return bounded64(n)
}

func bounded64(seconds float64) time.Duration {
	return clampWait(time.Duration(min(max(0, seconds), longestPause.Seconds()) * float64(time.Second)))
}

func clampWait(d time.Duration) time.Duration { return min(max(0, d), longestPause) }
