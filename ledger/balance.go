package ledger

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Balance is an account as the gate has it. Amounts are millicredits.
type Balance struct {
	Epoch, Generation, Grant, Open                       int64
	Granted, Available, Held, Captured, Expired, Revoked int64
	Clock                                                int64 // Unix milliseconds
	Threshold                                            int64
	Level                                                Level
	Lots                                                 []Lot // in burn order
}

// Balance reads an account. Errors: [ErrMissing], [ErrCorrupt], or what Redis said.
func (g *Gate) Balance(ctx context.Context, org string) (Balance, error) {
	words, err := g.run(ctx, balanceScript, []string{accountKey(org)})
	if err == nil {
		var b Balance
		if b, err = parseAccount(strings.Join(words, " ")); err == nil {
			return b, nil
		}
	}
	return Balance{}, named(err, "balance of", org)
}

// parseAccount reads an account as account.lua writes it.
func parseAccount(text string) (Balance, error) {
	head, tail, _ := strings.Cut(text, ";")
	n, err := numbers(strings.FieldsFunc(head, func(r rune) bool { return r == ' ' || r == '|' }), 12)
	if err != nil {
		return Balance{}, err
	}
	b := Balance{
		Epoch: n[0], Generation: n[1], Grant: n[2], Granted: n[3], Expired: n[4], Revoked: n[5],
		Threshold: n[6], Level: Level(n[7]), Captured: n[9], Open: n[10], Clock: n[11],
	}
	if tail == "" {
		return b, nil
	}
	for text := range strings.SplitSeq(tail, ";") {
		n, err := numbers(strings.Split("lot:"+text, ":"), 5)
		if err != nil {
			return Balance{}, err
		}
		l := Lot{ID: n[0], Class: Class(n[1]), Expires: n[2], Free: n[3], Held: n[4]}
		b.Lots = append(b.Lots, l)
		b.Held += l.Held
		if l.Expires == 0 || l.Expires > b.Clock {
			b.Available += l.Free
		}
	}
	return b, nil
}

// Overdue names a hold whose life is over.
type Overdue struct {
	Org, ID string
	Since   int64 // Unix milliseconds
}

// Overdue lists holds whose life is over at the server's time now, at most limit
// a bucket. Close each in SQL before settling it. Deadlines that no script wrote
// are removed, see [Gate.Unwatched].
func (g *Gate) Overdue(ctx context.Context, limit int64) (overdue []Overdue, now int64, err error) {
	if now, err = g.now(ctx); err != nil {
		return nil, 0, named(err, "overdue", "holds")
	}
	answers := make([]*redis.ZSliceCmd, buckets)
	_, err = g.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for b := range answers {
			answers[b] = p.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
				Key: deadlinesKey(b), ByScore: true, Start: "-inf", Stop: strconv.FormatInt(now, 10), Count: limit,
			})
		}
		return nil
	})
	for b, answer := range answers {
		if redis.HasErrorPrefix(answer.Err(), "WRONGTYPE") {
			err = g.rdb.Del(ctx, deadlinesKey(b)).Err()
		}
	}
	if err != nil {
		return nil, 0, named(err, "overdue", "holds")
	}
	for _, answer := range answers {
		for _, z := range answer.Val() {
			if org, id, ok := parseDeadlineMember(z.Member.(string)); ok { //nolint:forcetypeassert // go-redis makes it a string
				overdue = append(overdue, Overdue{Org: org, ID: id, Since: int64(z.Score)})
			}
		}
	}
	return overdue, now, nil
}

func (g *Gate) now(ctx context.Context) (int64, error) {
	if g.clock != nil {
		return g.clock(), nil
	}
	now, err := g.rdb.Time(ctx).Result()
	return now.UnixMilli(), err
}

// Unwatched reports whether the account has more open holds than there are
// deadlines: one of them would never be found overdue. Load the account.
func (g *Gate) Unwatched(ctx context.Context, org string) (bool, error) {
	var account *redis.StringCmd
	var deadlines *redis.StringSliceCmd
	_, err := g.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		account = p.Get(ctx, accountKey(org))
		deadlines = p.ZRange(ctx, deadlinesKey(bucketOf(org)), 0, -1)
		return nil
	})
	if err != nil {
		return false, named(err, "deadlines of", org)
	}
	b, err := parseAccount(account.Val())
	if err != nil {
		return false, named(ErrCorrupt, "deadlines of", org)
	}
	watched := int64(0)
	for _, member := range deadlines.Val() {
		if of, _, _ := parseDeadlineMember(member); of == org {
			watched++
		}
	}
	return b.Open > watched, nil
}
