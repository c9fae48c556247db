package api

import (
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter bounds the requests of each caller, in this process.
type limiter struct {
	perMinute int
	now       func() time.Time
	mu        sync.Mutex
	callers   map[string]*rate.Limiter
}

// mostCallers is how many callers are remembered before those that have been
// quiet are forgotten.
const mostCallers = 10_000

func newLimiter(perMinute int, now func() time.Time) *limiter {
	return &limiter{perMinute: perMinute, now: now, callers: map[string]*rate.Limiter{}}
}

// take counts a request of the caller. It returns what is left, and after how
// long all of it is back.
func (l *limiter) take(caller string) (allowed bool, remaining int, reset time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	bucket := l.callers[caller]
	if bucket == nil {
		l.forget(now)
		bucket = rate.NewLimiter(rate.Limit(l.perMinute)/60, l.perMinute)
		l.callers[caller] = bucket
	}
	allowed = bucket.AllowN(now, 1)
	tokens := max(0, bucket.TokensAt(now))
	missing := float64(l.perMinute) - tokens
	return allowed, int(tokens), time.Duration(missing / float64(l.perMinute) * float64(time.Minute))
}

func (l *limiter) forget(now time.Time) {
	if len(l.callers) < mostCallers {
		return
	}
	for caller, bucket := range l.callers {
		if bucket.TokensAt(now) >= float64(l.perMinute) {
			delete(l.callers, caller)
		}
	}
}

// limit refuses what is more than a caller may ask, and says on every answer
// how much that is. Who shows no valid key is counted by address.
func (a *api) limit(l *limiter, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := visitOf(r.Context()).caller
		who := c.key
		switch {
		case c.admin:
			who = "administrator"
		case who == "":
			who = "address " + hostOf(r.RemoteAddr)
		}
		allowed, remaining, reset := l.take(who)
		w.Header().Set("RateLimit-Limit", strconv.Itoa(l.perMinute))
		w.Header().Set("RateLimit-Remaining", strconv.Itoa(remaining))
		w.Header().Set("RateLimit-Reset", seconds(reset))
		if !allowed {
			after := seconds(time.Minute / time.Duration(l.perMinute))
			writeProblem(w, r, newProblem(http.StatusTooManyRequests, codeRate,
				"more than "+strconv.Itoa(l.perMinute)+" requests a minute; try again in "+after+" s").with("Retry-After", after))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }
