package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed hold.lua
	holdSource string
	//go:embed settle.lua
	settleSource string
	//go:embed grant.lua
	grantSource string
	//go:embed load.lua
	loadSource string

	holdScript   = redis.NewScript(holdSource)
	settleScript = redis.NewScript(settleSource)
	grantScript  = redis.NewScript(grantSource)
	loadScript   = redis.NewScript(loadSource)
)

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
	// ErrGap means that an earlier grant has not reached the gate. Load the account.
	ErrGap = errors.New("ledger: an earlier grant is missing")
)

// InsufficientError means that a hold was refused: too few credits, or a
// scope's limit is reached. Nothing was changed or recorded.
type InsufficientError struct {
	Available, Held int64 // of the account, millicredits
	Grant           int64 // number of the last grant the gate has seen
}

func (e *InsufficientError) Error() string {
	return fmt.Sprintf("ledger: too few credits: %d millicredits available, %d held", e.Available, e.Held)
}

// tombstoneLife is how long the gate remembers that a hold was closed: longer
// than a queue retries. Forgetting it is harmless, SQL has the closing.
const tombstoneLife = 48 * time.Hour

// Gate is the live balances and holds of all accounts in one Redis. It is safe
// for concurrent use by any number of processes.
type Gate struct {
	rdb redis.UniversalClient
}

// New returns the gate kept in rdb.
func New(rdb redis.UniversalClient) *Gate { return &Gate{rdb: rdb} }

// Scope is something whose spending is counted on its own, such as a batch or
// an API key's month, and may be limited.
type Scope struct {
	Name  string
	Limit int64 // most millicredits in all; 0 for no limit
}

// HoldRequest asks for credits for up to Want units of work.
type HoldRequest struct {
	Org, ID     string
	Want, Least int64 // units; 1 ≤ Least ≤ Want
	Price       int64 // millicredits a unit
	Scopes      []Scope
	Life        time.Duration // after which a sweeper may close it
}

// Hold is credits set aside.
type Hold struct {
	Units      int64 // at most so many may be charged under it
	Generation int64 // of the account; a charge must be of the same
	Available  int64 // of the account after it, millicredits
	Price      int64 // of a unit, millicredits: the first call's, if this was a repeat
}

// Hold sets credits aside. Repeating it returns the first answer. Errors:
// [ErrMissing], [ErrClosed], [*InsufficientError], or what Redis said.
func (g *Gate) Hold(ctx context.Context, r HoldRequest) (Hold, error) {
	if r.Least < 1 || r.Want < r.Least || r.Price < 0 || r.Life <= 0 {
		return Hold{}, fmt.Errorf("ledger: hold %s: want %d, least %d, price %d, life %s are out of range", r.ID, r.Want, r.Least, r.Price, r.Life)
	}
	args := []any{deadlineMember(r.Org, r.ID), r.Want, r.Least, r.Price, r.Life.Milliseconds()}
	for _, s := range r.Scopes {
		limit := ""
		if s.Limit > 0 {
			limit = strconv.FormatInt(s.Limit, 10)
		}
		args = append(args, s.Name, limit)
	}
	reply, err := holdScript.Run(ctx, g.rdb, holdKeys(r.Org, r.ID), args...).StringSlice()
	if err != nil {
		return Hold{}, fmt.Errorf("ledger: hold %s: %w", r.ID, err)
	}
	n, err := numbers(reply, 7)
	if err != nil {
		return Hold{}, fmt.Errorf("ledger: hold %s: %w", r.ID, err)
	}
	switch reply[0] {
	case "held":
		return Hold{Units: n[0], Generation: n[1], Available: n[2], Price: n[5]}, nil
	case "closed":
		return Hold{}, ErrClosed
	case "missing":
		return Hold{}, ErrMissing
	default:
		return Hold{}, &InsufficientError{Available: n[2], Held: n[3], Grant: n[4]}
	}
}

// Settle closes a hold by what its closing in SQL says: charged millicredits
// (0 for a void) under a generation. It returns what was captured, now or by
// an earlier call. A hold the gate does not have, with nothing charged for it,
// is settled. Errors: [ErrMissing], [ErrUnknown], or what Redis said.
func (g *Gate) Settle(ctx context.Context, org, id string, charged, generation int64) (captured int64, err error) {
	reply, err := settleScript.Run(ctx, g.rdb, holdKeys(org, id),
		deadlineMember(org, id), charged, generation, tombstoneLife.Milliseconds()).StringSlice()
	if err != nil {
		return 0, fmt.Errorf("ledger: settle %s: %w", id, err)
	}
	n, err := numbers(reply, 4)
	if err != nil {
		return 0, fmt.Errorf("ledger: settle %s: %w", id, err)
	}
	switch reply[0] {
	case "missing":
		return 0, ErrMissing
	case "unknown":
		return 0, ErrUnknown
	default:
		return n[0], nil
	}
}

// Grant adds the account's grant of the given number, which SQL has recorded.
// Repeating it changes nothing. Errors: [ErrMissing], [ErrGap], or what Redis said.
func (g *Gate) Grant(ctx context.Context, org string, number, amount int64) error {
	status, err := grantScript.Run(ctx, g.rdb, []string{accountKey(org)}, number, amount).Text()
	if err != nil {
		return fmt.Errorf("ledger: grant %d of %s: %w", number, org, err)
	}
	switch status {
	case "missing":
		return ErrMissing
	case "gap":
		return ErrGap
	}
	return nil
}

// Snapshot is an account as SQL has it. Amounts are millicredits.
type Snapshot struct {
	Org                                            string
	Generation, Grant                              int64
	Granted, Captured, Expired, Revoked, Available int64
	Scopes                                         map[string]int64 // charged to each scope that may still be charged
}

// Load puts the account into the gate, unless the gate has this generation or
// a later one. All holds of older generations cease to count.
func (g *Gate) Load(ctx context.Context, s Snapshot) error {
	args := []any{s.Generation, s.Grant, s.Granted, s.Captured, s.Expired, s.Revoked, s.Available}
	for name, charged := range s.Scopes {
		args = append(args, name, charged)
	}
	if err := loadScript.Run(ctx, g.rdb, []string{accountKey(s.Org), scopesKey(s.Org)}, args...).Err(); err != nil {
		return fmt.Errorf("ledger: load %s: %w", s.Org, err)
	}
	return nil
}

// Balance is an account as the gate has it. Amounts are millicredits.
type Balance struct {
	Generation, Grant, Open                              int64
	Granted, Available, Held, Captured, Expired, Revoked int64
}

// Balance reads an account. Errors: [ErrMissing], or what Redis said.
func (g *Gate) Balance(ctx context.Context, org string) (Balance, error) {
	reply, err := g.rdb.HMGet(ctx, accountKey(org), "generation", "grant", "open",
		"granted", "available", "held", "captured", "expired", "revoked").Result()
	if err != nil {
		return Balance{}, fmt.Errorf("ledger: balance of %s: %w", org, err)
	}
	if reply[0] == nil {
		return Balance{}, ErrMissing
	}
	text := []string{""}
	for _, v := range reply {
		s, _ := v.(string)
		text = append(text, s)
	}
	n, err := numbers(text, 10)
	if err != nil {
		return Balance{}, fmt.Errorf("ledger: balance of %s: %w", org, err)
	}
	return Balance{
		Generation: n[0], Grant: n[1], Open: n[2],
		Granted: n[3], Available: n[4], Held: n[5], Captured: n[6], Expired: n[7], Revoked: n[8],
	}, nil
}

// Overdue names a hold whose life is over.
type Overdue struct{ Org, ID string }

// Overdue lists holds whose life is over, at most limit a bucket. Close each in
// SQL before settling it.
func (g *Gate) Overdue(ctx context.Context, limit int64) ([]Overdue, error) {
	now, err := g.rdb.Time(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("ledger: overdue holds: %w", err)
	}
	until := strconv.FormatInt(now.UnixMilli(), 10)
	answers := make([]*redis.StringSliceCmd, buckets)
	_, err = g.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for b := range answers {
			answers[b] = p.ZRangeArgs(ctx, redis.ZRangeArgs{
				Key: deadlinesKey(b), ByScore: true, Start: "-inf", Stop: until, Count: limit,
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: overdue holds: %w", err)
	}
	var overdue []Overdue
	for _, answer := range answers {
		for _, member := range answer.Val() {
			if org, id, ok := parseDeadlineMember(member); ok {
				overdue = append(overdue, Overdue{Org: org, ID: id})
			}
		}
	}
	return overdue, nil
}

func holdKeys(org, id string) []string {
	return []string{accountKey(org), holdKey(org, id), scopesKey(org), deadlinesKey(bucketOf(org))}
}

// numbers reads a script's reply of want elements, whose first is the status.
func numbers(reply []string, want int) ([]int64, error) {
	if len(reply) != want {
		return nil, fmt.Errorf("%d elements in the reply, want %d", len(reply), want)
	}
	n := make([]int64, want-1)
	for i, s := range reply[1:] {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("element %d of the reply is no number", i+1)
		}
		n[i] = v
	}
	return n, nil
}

// Used returns what a scope uses: millicredits held and captured. It is 0 for a
// scope, or an account, that the gate does not have.
func (g *Gate) Used(ctx context.Context, org, scope string) (int64, error) {
	used, err := g.rdb.HGet(ctx, scopesKey(org), scope).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ledger: scope of %s: %w", org, err)
	}
	return used, nil
}
