package enrich

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

// job is some questions of one organization under one hold. It is the one room
// that both doors, a round of a chunk and a single lookup, lead to.
type job struct {
	hold    string
	asker   string // for claims: the same in each round, so that one which died is followed at once
	org     string
	service lookup.Service
	price   lookup.Credits
	scopes  []ledger.Scope
	rows    []asked
	overdue bool // rows that cannot be answered now are failed
	// patience is how long a row that cannot be answered now is asked again
	// before it is left open. Zero for a chunk, whose next round does that.
	patience time.Duration
	trails   []followed // set by ask
	// write stores the answers in the transaction that closes the hold. It may
	// be run again, in another transaction.
	write func(ctx context.Context, tx *store.Tx, answers []store.RowAnswer) error
	// count counts them in their batch, later in that transaction; nil for a
	// single lookup.
	count func(ctx context.Context, tx *store.Tx, answers []store.RowAnswer, charged lookup.Credits) error
	batch string // "" for a single lookup
}

// asked is one row of a job.
type asked struct {
	row      int64 // what the answer calls it
	query    lookup.Query
	question lookup.Question // set by find
	trail    providers.Trail // set by reuse: what was said before
}

// answer is what was found out about one row.
type answer struct {
	store.RowAnswer
	question lookup.Question
}

// units is how many units the answer costs if it is charged.
func (a answer) units() int64 {
	if a.Outcome == lookup.Found && !a.Reused {
		return 1
	}
	return 0
}

// report says how a job went.
type report struct {
	refused *ledger.InsufficientError // no credits for the rows that were left
	closed  bool                      // the closing that stands may be another's: SQL knows
	stored  int                       // rows answered, with the hold closed by this run
	left    int                       // rows still open
	later   time.Duration             // after which asking them makes sense; 0: at once
}

// ending is how the round went, as a label of a metric.
func (r report) ending() string {
	switch {
	case r.closed:
		return roundStale
	case r.refused != nil:
		return roundRefused
	case r.left > 0:
		return roundOpen
	}
	return roundClosed
}

// run takes a job through reuse, hold, waterfall, commit and settle. proceed
// says, before each row, whether another may still be asked.
func (e *Engine) run(ctx context.Context, j job, proceed func() bool) (r report, err error) {
	known, err := e.find(ctx, &j, proceed)
	if err != nil {
		return report{}, err
	}
	answers, rest := known.answers, known.rest
	defer func() { known.claim.release(ctx, answers) }()
	var held ledger.Hold
	if len(rest) > 0 {
		held, err = e.books.Hold(ctx, ledger.HoldRequest{
			Org: j.org, ID: j.hold, Want: int64(len(rest)), Least: 1,
			Price: int64(j.price), Scopes: j.scopes, Life: e.cfg.HoldLife,
		})
		switch {
		case errors.Is(err, ledger.ErrClosed):
			return report{closed: true}, nil
		case errors.As(err, &r.refused):
			e.metrics.refused.Inc()
		case err != nil:
			return report{}, err
		default:
			e.metrics.granted.Inc()
			rest = rest[:min(int(held.Units), len(rest))]
			var fresh []answer
			fresh, r.later = e.ask(ctx, &j, rest, proceed)
			answers = append(answers, fresh...)
		}
	}
	r.left = len(j.rows)
	if r.refused != nil && len(answers) == 0 {
		return r, nil
	}
	if known.wait > 0 {
		r.later = soonest(r.later, known.wait)
	}
	r.stored, r.closed, err = e.commit(ctx, j, held, answers)
	r.left -= r.stored
	return r, err
}

// known is what was found out without asking.
type known struct {
	claim   *claim
	answers []answer
	rest    []asked       // to be asked
	wait    time.Duration // if others are asking what is left: when to look again
}

// find claims the questions and then looks what is known of them, in this order:
// what others asked before the claim is stored by now. While others ask, it
// waits for as long as the job has patience.
func (e *Engine) find(ctx context.Context, j *job, proceed func() bool) (known, error) {
	for i, row := range j.rows {
		j.rows[i].question = row.query.Question()
	}
	begun := e.now()
	for {
		c := e.claim(ctx, *j)
		answers, rest, err := e.reuse(ctx, *j)
		if err != nil {
			c.release(ctx, nil)
			return known{}, err
		}
		mine, missed, wait := c.split(rest)
		waited := e.now().Sub(begun)
		if wait == 0 || !proceed() || waited+wait > j.patience {
			for _, row := range missed {
				answers = append(answers, answer{question: row.question, RowAnswer: store.RowAnswer{Row: row.row, Outcome: lookup.NotFound}})
			}
			j.patience = max(0, j.patience-waited)
			e.metrics.waiting.Add(float64(len(rest) - len(mine) - len(missed)))
			return known{c, answers, mine, wait}, nil
		}
		c.release(ctx, nil)
		pause(ctx, wait)
	}
}

// reuse answers the rows whose question the organization was charged for inside
// the window, and gives the others what was said to them before.
func (e *Engine) reuse(ctx context.Context, j job) (answers []answer, rest []asked, err error) {
	questions := make([]lookup.Question, len(j.rows))
	for i, row := range j.rows {
		questions[i] = row.question
	}
	now := e.now()
	known, err := e.db.Recall(ctx, j.org, questions, store.Since{Answers: now.Add(-e.cfg.ReuseWindow), Trails: now.Add(-trailLife)})
	if err != nil {
		return nil, nil, err
	}
	for _, row := range j.rows {
		a, ok := known.Answers[row.question]
		if !ok {
			row.trail = trailOf(known.Trails[row.question])
			rest = append(rest, row)
			continue
		}
		answers = append(answers, answer{question: row.question, RowAnswer: store.RowAnswer{
			Row: row.row, Outcome: lookup.Found, Result: a.Result, Provider: a.Provider, Reused: true,
		}})
	}
	return answers, rest, nil
}

// ask puts the rows to the waterfall, several at a time, until all are answered
// or proceed says stop. Calls under way are let to end.
func (e *Engine) ask(ctx context.Context, j *job, rows []asked, proceed func() bool) (answers []answer, later time.Duration) {
	// A stopping worker cancels ctx, but what was asked may already cost us.
	calls := context.WithoutCancel(ctx)
	verdicts := make([]*providers.Verdict, len(rows)) // nil: not asked
	var next atomic.Int64
	var askers sync.WaitGroup
	for range min(e.cfg.InFlight, len(rows)) {
		askers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(rows)) && proceed(); i = next.Add(1) - 1 {
				v := e.askPatiently(calls, *j, rows[i], proceed)
				verdicts[i] = &v
			}
		})
	}
	askers.Wait()
	j.trails = follow(rows, verdicts)
	answers = make([]answer, 0, len(rows))
	for i, v := range verdicts {
		switch {
		case v == nil:
		case v.Later > 0 && !j.overdue:
			later = soonest(later, v.Later)
		default:
			answers = append(answers, answer{question: rows[i].question, RowAnswer: decide(rows[i].row, *v)})
		}
	}
	return answers, later
}

func soonest(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// decide turns a verdict into an answer. A row that no provider could answer in
// time is failed.
func decide(row int64, v providers.Verdict) store.RowAnswer {
	if v.Later > 0 {
		return store.RowAnswer{Row: row, Outcome: lookup.Failed, Error: &lookup.RowError{
			Code: "provider_unavailable", Detail: "no provider could answer before the deadline; nothing was charged",
		}}
	}
	return store.RowAnswer{Row: row, Outcome: v.Outcome, Result: v.Result, Provider: v.Provider, Error: v.Error}
}

// askPatiently asks one question again while the job has patience and no
// provider could answer.
func (e *Engine) askPatiently(ctx context.Context, j job, row asked, proceed func() bool) providers.Verdict {
	deadline := e.now().Add(j.patience)
	trail := row.trail
	for {
		v := e.askOne(providers.WithTrail(ctx, trail), j, row.query)
		wait := max(v.Later, 50*time.Millisecond)
		if v.Later == 0 || !proceed() || e.now().Add(wait).After(deadline) {
			return v
		}
		trail = v.Trail
		pause(ctx, wait)
	}
}

// askOne asks one question. A panic fails the row, not the chunk.
func (e *Engine) askOne(ctx context.Context, j job, q lookup.Query) (v providers.Verdict) {
	defer func() {
		if p := recover(); p != nil {
			reference := store.NewID("err", e.now())
			e.log.ErrorContext(ctx, "a lookup panicked", "reference", reference, "service", j.service,
				"panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			v = providers.Verdict{Outcome: lookup.Failed, Error: &lookup.RowError{
				Code: "internal_error", Detail: "this lookup broke on our side; nothing was charged. Reference: " + reference,
			}}
		}
	}()
	w, ok := e.waterfalls.For(j.service)
	if !ok {
		return providers.Verdict{Later: time.Minute}
	}
	return w.Ask(ctx, q)
}
