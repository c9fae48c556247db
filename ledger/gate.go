package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// LongestHold is the longest life of a hold, however often it is extended. What
// is left of a lot expires for good when it has passed after the lot's end: only
// then can no hold opened before bring anything back to it or charge it.
const LongestHold = time.Hour

// tombstoneLife is how long the gate remembers that a hold was closed: longer
// than a queue retries. Forgetting it is harmless, SQL has the closing.
const tombstoneLife = 48 * time.Hour

var (
	//go:embed account.lua
	accountSource string
	//go:embed lots.lua
	lotsSource string
	//go:embed holds.lua
	holdsSource string
	//go:embed hold.lua
	holdSource string
	//go:embed extend.lua
	extendSource string
	//go:embed settle.lua
	settleSource string
	//go:embed grant.lua
	grantSource string
	//go:embed refresh.lua
	refreshSource string
	//go:embed refund.lua
	refundSource string
	//go:embed load.lua
	loadSource string
	//go:embed threshold.lua
	thresholdSource string
	//go:embed balance.lua
	balanceSource string

	holdScript      = script(holdsSource + holdSource)
	extendScript    = script(holdsSource + extendSource)
	settleScript    = script(holdsSource + settleSource)
	grantScript     = script(lotsSource + grantSource)
	refreshScript   = script(lotsSource + refreshSource)
	refundScript    = script(lotsSource + refundSource)
	loadScript      = script(lotsSource + loadSource)
	thresholdScript = script(thresholdSource)
	balanceScript   = script(balanceSource)
)

func script(source string) *redis.Script { return redis.NewScript(whole(source)) }

// whole puts what all scripts need before one of them.
func whole(source string) string {
	constants := fmt.Sprintf("local LONGEST, MAXLOTS = %d, %d\n", LongestHold.Milliseconds(), MaxLots)
	return constants + accountSource + source
}

var (
	// ErrMissing means that the gate has not got the account. Load it from SQL
	// and try again.
	ErrMissing = errors.New("ledger: the account is not loaded")
	// ErrUnknown means that SQL has a charge whose hold the gate has lost. Load
	// the account; there is then nothing left to settle.
	ErrUnknown = errors.New("ledger: the gate has lost a hold that was charged")
	// ErrClosed means that the hold was settled before. What its closing in SQL
	// says stands; holding again under the same id is not possible.
	ErrClosed = errors.New("ledger: the hold is closed")
	// ErrGap means that the gate cannot apply a grant: an earlier one has not
	// reached it, or there is no room for another lot. Load the account.
	ErrGap = errors.New("ledger: the grant cannot be applied in its order")
	// ErrCorrupt means that a key of the account holds what no script wrote.
	// Nothing was changed. Load the account, and [Gate.Forget] the hold.
	ErrCorrupt = errors.New("ledger: a key is corrupt")
)

// Gate is the live balances and holds of all accounts in one Redis. It is safe
// for concurrent use by any number of processes.
type Gate struct {
	rdb   redis.UniversalClient
	flow  flow
	epoch atomic.Int64
	// For tests: a clock instead of the server's, other scripts instead of ours.
	clock   func() int64
	scripts map[*redis.Script]*redis.Script
}

// New returns the gate kept in rdb.
func New(rdb redis.UniversalClient) *Gate { return &Gate{rdb: rdb, flow: flow{rdb: rdb}} }

// SetEpoch makes accounts that were loaded in an older epoch count as missing.
// An epoch ends when a Redis is met that was not known: it may have been
// promoted from a replica that lagged. An epoch never goes back.
func (g *Gate) SetEpoch(epoch int64) {
	for {
		now := g.epoch.Load()
		if epoch <= now || g.epoch.CompareAndSwap(now, epoch) {
			return
		}
	}
}

// run runs a script and returns the words of its answer.
func (g *Gate) run(ctx context.Context, s *redis.Script, keys []string, args ...any) ([]string, error) {
	return g.answer(ctx, &call{script: s, keys: keys, args: append(g.common(g.epoch.Load()), args...)})
}

// runOn runs a script on a hold of an account; others of the account may share it.
func (g *Gate) runOn(ctx context.Context, s *redis.Script, org, id string, args ...any) ([]string, error) {
	return g.answer(ctx, &call{
		script: s, keys: []string{accountKey(org), scopesKey(org), deadlinesKey(bucketOf(org))}, args: g.common(g.epoch.Load()),
		ownKey: holdKey(org, id), ownArgs: append([]any{deadlineMember(org, id)}, args...),
	})
}

// common are the arguments of every script: the epoch and the time.
func (g *Gate) common(epoch int64) []any {
	now := ""
	if g.clock != nil {
		now = strconv.FormatInt(g.clock(), 10)
	}
	return []any{epoch, now}
}

func (g *Gate) answer(ctx context.Context, c *call) ([]string, error) {
	if other := g.scripts[c.script]; other != nil {
		c.script = other
	}
	text, err := g.flow.run(ctx, c)
	if err != nil {
		return nil, err
	}
	if key, ok := strings.CutPrefix(text, "corrupt "); ok {
		return nil, fmt.Errorf("%w: the value of %s cannot be read", ErrCorrupt, key)
	}
	if text == "missing" {
		return nil, ErrMissing
	}
	return strings.Split(text, " "), nil
}

// Scope is something whose spending is counted on its own, such as a batch or
// an API key's month, and may be limited.
type Scope struct {
	Name  string // without spaces
	Limit int64  // most millicredits in all; 0 for no limit
	// Share is how much of the account's balance, available and held, the scope
	// may have held at once, in thousandths; 0 for no limit. One unit may always
	// be held, however small the balance.
	Share int64
	// HeldOnly says that nothing is charged to the scope: only what is held of it
	// counts, against its Share.
	HeldOnly bool
}

// HoldRequest asks for credits for up to Want units of work.
type HoldRequest struct {
	Org, ID     string
	Want, Least int64 // units; 1 ≤ Least ≤ Want
	Price       int64 // millicredits a unit
	Scopes      []Scope
	Life        time.Duration // after which a sweeper may close it; at most LongestHold
	// Opened is when credits were first held for this work, if this hold takes
	// the place of one that a load released: lots that have expired since may
	// then be used. Zero for now.
	Opened time.Time
}

func (r HoldRequest) check() error {
	if r.Least < 1 || r.Want < r.Least || r.Price < 0 || r.Life <= 0 || r.Life > LongestHold {
		return fmt.Errorf("want %d, least %d, price %d, life %s are out of range; want 1 ≤ least ≤ want, a price from 0, a life up to %s",
			r.Want, r.Least, r.Price, r.Life, LongestHold)
	}
	for _, s := range r.Scopes {
		if s.Name == "" || strings.HasPrefix(s.Name, "#") || strings.ContainsAny(s.Name, " \n|") || s.Limit < 0 || s.Share < 0 || s.HeldOnly && s.Limit > 0 {
			return errors.New("a scope is wrong; want a name without spaces, a limit and a share from 0, and no limit where only what is held counts")
		}
	}
	return nil
}

// Hold is credits set aside.
type Hold struct {
	Units      int64     // at most so many may be charged under it
	Generation int64     // of the account; a charge must be of the same
	Available  int64     // of the account after it, millicredits
	Price      int64     // of a unit, millicredits: the first call's, if this was a repeat
	Slices     []Slice   // the lots it is from, in burn order: a charge takes from the first
	Opened     time.Time // by the gate's clock
	Fell       Level     // that the account fell to by this call; Plenty if it did not fall
	// Scopes are the names of those that a charge of the hold is charged to: the
	// first call's, if this was a repeat.
	Scopes []string
}

// InsufficientError means that a hold was refused: too few credits, or a
// scope's limit is reached. Nothing was changed or recorded.
type InsufficientError struct {
	Available, Held int64 // of the account, millicredits
	Grant           int64 // number of the last grant the gate has seen
	Reason          Reason
	Scope           string // whose limit or share it was; "" for credits
	ScopeUsed       int64  // of it: held and captured for a limit, held for a share
}

// Reason is why a hold was refused.
type Reason string

// Reasons.
const (
	NoCredits  Reason = "credits" // too few available
	AtLimit    Reason = "limit"   // a scope's limit
	AboveShare Reason = "share"   // a scope has held its share of the balance
)

func (e *InsufficientError) Error() string {
	if e.Reason == AtLimit || e.Reason == AboveShare {
		return fmt.Sprintf("ledger: the %s of %s is reached: %d millicredits used", e.Reason, e.Scope, e.ScopeUsed)
	}
	return fmt.Sprintf("ledger: too few credits: %d millicredits available, %d held", e.Available, e.Held)
}

// Hold sets credits aside. Repeating it returns the first answer. Errors:
// [ErrMissing], [ErrClosed], [*InsufficientError], [ErrCorrupt], or what Redis said.
func (g *Gate) Hold(ctx context.Context, r HoldRequest) (Hold, error) {
	if err := r.check(); err != nil {
		return Hold{}, fmt.Errorf("ledger: hold %s: %w", r.ID, err)
	}
	opened := int64(0)
	if !r.Opened.IsZero() {
		opened = r.Opened.UnixMilli()
	}
	args := append([]any{r.Want, r.Least, r.Price, r.Life.Milliseconds(), opened}, counters(r.Scopes)...)
	words, err := g.runOn(ctx, holdScript, r.Org, r.ID, args...)
	if err == nil {
		var h Hold
		if h, err = parseHold(words); err == nil {
			return h, nil
		}
	}
	return Hold{}, named(err, "hold", r.ID)
}

// counters writes scopes as the scripts count them: what is held of one that has
// a share is counted as well, under its name after a #.
func counters(scopes []Scope) []any {
	var names, limits []any
	var all strings.Builder
	add := func(name string, limit int64) {
		text := ""
		if limit > 0 {
			text = strconv.FormatInt(limit, 10)
		}
		names, limits = append(names, name), append(limits, text)
		if all.Len() > 0 {
			all.WriteByte(' ')
		}
		all.WriteString(name)
	}
	for _, s := range scopes {
		if !s.HeldOnly {
			add(s.Name, s.Limit)
		}
		if s.Share > 0 {
			add("#"+s.Name, s.Share)
		}
	}
	return append(append([]any{all.String(), len(names)}, names...), limits...)
}

func parseHold(words []string) (Hold, error) {
	switch words[0] {
	case "closed":
		return Hold{}, ErrClosed
	case "refused":
		n, err := numbers(words, 3, 5)
		if err != nil || len(words) != 7 {
			return Hold{}, errAnswer
		}
		e := &InsufficientError{Available: n[0], Held: n[1], Grant: n[2], Reason: Reason(words[4]), ScopeUsed: n[3]}
		if e.Reason != NoCredits {
			e.Scope = strings.TrimPrefix(words[6], "#")
		}
		return Hold{}, e
	}
	n, err := numbers(words, 6)
	if err != nil || len(words) < 8 {
		return Hold{}, errAnswer
	}
	h := Hold{Units: n[0], Generation: n[1], Available: n[2], Price: n[3], Opened: time.UnixMilli(n[4]).UTC(), Fell: Level(n[5])}
	if words[7] != "-" {
		h.Slices, err = parseSlices(words[7])
	}
	for _, name := range words[8:] {
		if !strings.HasPrefix(name, "#") {
			h.Scopes = append(h.Scopes, name)
		}
	}
	return h, err
}

func parseSlices(text string) ([]Slice, error) {
	var slices []Slice
	for part := range strings.SplitSeq(text, ";") {
		lot, amount, _ := strings.Cut(part, ":")
		n, err := numbers([]string{"", lot, amount}, 2)
		if err != nil {
			return nil, err
		}
		slices = append(slices, Slice{n[0], n[1]})
	}
	return slices, nil
}

// Settled is how a hold was settled.
type Settled struct {
	Captured int64 // millicredits, now or by an earlier call
	Fell     Level // that the account fell to by this call; Plenty if it did not fall
}

// Settle closes a hold by what its closing in SQL says: charged millicredits
// (0 for a void) under a generation. A hold the gate does not have, with nothing
// charged for it, is settled. Errors: [ErrMissing], [ErrUnknown], [ErrCorrupt],
// or what Redis said.
func (g *Gate) Settle(ctx context.Context, org, id string, charged, generation int64) (Settled, error) {
	words, err := g.runOn(ctx, settleScript, org, id, charged, generation, tombstoneLife.Milliseconds())
	if err != nil {
		return Settled{}, named(err, "settle", id)
	}
	switch words[0] {
	case "unknown":
		return Settled{}, ErrUnknown
	case "absent":
		return Settled{}, nil
	}
	n, err := numbers(words, 2)
	if err != nil {
		return Settled{}, named(err, "settle", id)
	}
	return Settled{Captured: n[0], Fell: Level(n[1])}, nil
}

// Extend puts off the deadline of a hold to life from now, though never beyond
// [LongestHold] after it was opened, and returns the deadline. It is the zero
// time, without an error, if the hold's generation has passed: a charge under it
// is fenced off and holds again. Errors: [ErrMissing], [ErrClosed], [ErrCorrupt],
// or what Redis said.
func (g *Gate) Extend(ctx context.Context, org, id string, life time.Duration) (time.Time, error) {
	keys := []string{accountKey(org), holdKey(org, id), deadlinesKey(bucketOf(org))}
	words, err := g.run(ctx, extendScript, keys, deadlineMember(org, id), life.Milliseconds())
	if err != nil {
		return time.Time{}, named(err, "extend", id)
	}
	switch words[0] {
	case "closed":
		return time.Time{}, ErrClosed
	case "absent":
		return time.Time{}, nil
	}
	n, err := numbers(words, 1)
	if err != nil {
		return time.Time{}, named(err, "extend", id)
	}
	return time.UnixMilli(n[0]).UTC(), nil
}

// Forget removes what the gate has of a hold whose key is corrupt, or the whole
// bucket's deadlines if it is they: holds that are left without one are told by
// [Gate.Unwatched]. Load the account first: what the hold held is then free already.
func (g *Gate) Forget(ctx context.Context, org, id string) error {
	deadlines := deadlinesKey(bucketOf(org))
	err := g.rdb.ZRem(ctx, deadlines, deadlineMember(org, id)).Err()
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		err = g.rdb.Del(ctx, deadlines).Err()
	}
	return named(errors.Join(err, g.rdb.Del(ctx, holdKey(org, id)).Err()), "forget", id)
}

// Used returns what a scope uses: millicredits held and captured. It is 0 for a
// scope, or an account, that the gate does not have.
func (g *Gate) Used(ctx context.Context, org, scope string) (int64, error) {
	used, err := g.rdb.HGet(ctx, scopesKey(org), scope).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return used, named(err, "scopes of", org)
}

// named adds the operation to an error that says nothing of it: those that
// callers tell apart by errors.Is stay as they are.
func named(err error, operation, id string) error {
	var refused *InsufficientError
	if err == nil || errors.As(err, &refused) || errors.Is(err, ErrMissing) || errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("ledger: %s %s: %w", operation, id, err)
}

// numbers reads so many numbers from the words of an answer, from the second
// on, or those at the given places beyond.
func numbers(words []string, count int, more ...int) ([]int64, error) {
	places := make([]int, 0, count+len(more))
	for i := range count {
		places = append(places, i+1)
	}
	var n []int64
	for _, place := range append(places, more...) {
		if place >= len(words) {
			return nil, errAnswer
		}
		v, err := strconv.ParseInt(words[place], 10, 64)
		if err != nil {
			return nil, errAnswer
		}
		n = append(n, v)
	}
	return n, nil
}
