package ledger

import "github.com/redis/go-redis/v9"

// SetClock makes the gate's scripts use a clock of Unix milliseconds instead of
// the server's.
func (g *Gate) SetClock(clock func() int64) { g.clock = clock }

// UseShebang runs the scripts with a shebang line, for which a cluster checks that
// every key was declared.
func (g *Gate) UseShebang() {
	g.scripts = map[*redis.Script]*redis.Script{}
	for script, source := range map[*redis.Script]string{
		holdScript: holdSource, extendScript: extendSource, settleScript: settleSource, grantScript: lotsSource + grantSource,
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
