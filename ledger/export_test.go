package ledger

import (
	"context"
	"runtime"
	"sync"

	"github.com/redis/go-redis/v9"
)

// SetClock makes the gate's scripts use a clock of Unix milliseconds instead of
// the server's.
func (g *Gate) SetClock(clock func() int64) { g.clock = clock }

// Together runs calls of the gate in one flight, in their order.
func (g *Gate) Together(calls ...func()) {
	f := &g.flow
	f.mu.Lock()
	for f.flying > 0 { // the last flight may still look for who waits
		f.mu.Unlock()
		runtime.Gosched()
		f.mu.Lock()
	}
	f.flying = flights // whoever comes waits
	f.mu.Unlock()
	waiting := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.waiting)
	}
	var all sync.WaitGroup
	for n, call := range calls {
		all.Go(call)
		for waiting() <= n {
			runtime.Gosched()
		}
	}
	f.fly(context.Background())
	f.mu.Lock()
	f.flying = 0
	f.mu.Unlock()
	all.Wait()
}

// UseShebang runs the scripts with a shebang line, for which a cluster checks that
// every key was declared.
func (g *Gate) UseShebang() {
	g.scripts = map[*redis.Script]*redis.Script{}
	for script, source := range map[*redis.Script]string{
		holdScript: holdsSource + holdSource, extendScript: holdsSource + extendSource, settleScript: holdsSource + settleSource, grantScript: lotsSource + grantSource,
		refreshScript: lotsSource + refreshSource, refundScript: lotsSource + refundSource, loadScript: lotsSource + loadSource, thresholdScript: thresholdSource,
		balanceScript: balanceSource,
	} {
		g.scripts[script] = redis.NewScript("#!lua\n" + whole(source))
	}
}

// Keys of an account, for tests that look at or spoil them.
var (
	AccountKey   = accountKey
	HoldKey      = holdKey
	ScopesKey    = scopesKey
	DeadlinesKey = func(org string) string { return deadlinesKey(bucketOf(org)) }
)
