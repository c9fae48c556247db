package providers

import "time"

// path judges when a call arrived at the vendor, whose windows count arrivals.
// All that is known is that it was after the start and before the answer, and
// that the vendor had at least the shortest time to answer that was seen of late:
// what a call took beyond that, it may have been late by.
//
// To take every slow answer for a late arrival would leave much of the quota of
// a vendor unused that needs now 1 s and now 2 s. So lateness is paid from an
// account: every call brings a little, and where the account is empty, as with
// such a vendor, a call is not taken to be later than that little. A vendor with
// steady answers leaves it full, for the moment when the machine hesitates.
type path struct {
	span     time.Duration // the shortest window
	account  time.Duration
	shortest [2]time.Duration // in this period, and in the one before
	period   time.Duration    // when this one began
	known    int              // calls seen
}

const (
	shortestFor = 10 * time.Second
	knownFrom   = 8
)

// allowance is what every call brings.
func (p *path) allowance() time.Duration { return p.span * 6 / 1000 }

// arrival returns when a call that started at a moment and took so long is
// taken to have arrived.
func (p *path) arrival(started, took time.Duration) time.Duration {
	if p.span == 0 {
		return started
	}
	shortest := p.shortestWith(started, took)
	return started + p.pay(min(took-shortest, p.span/5))
}

// unanswered returns when a call of which nothing is known yet is taken to have
// arrived.
func (p *path) unanswered(started time.Duration) time.Duration { return started + p.pay(p.span/10) }

// pay takes lateness from the account, or what a call brings if that is empty.
func (p *path) pay(late time.Duration) time.Duration {
	p.account = min(p.account+p.allowance(), 2*p.span)
	if late > p.account {
		late = min(late, p.allowance())
	}
	p.account -= late
	return late
}

// shortestWith is the shortest time to an answer of late; none for the first few,
// all of which may have been late.
func (p *path) shortestWith(started, took time.Duration) time.Duration {
	if p.known == 0 {
		p.period, p.shortest[0], p.account = started, took, 2*p.span
	}
	p.known++
	if started-p.period > shortestFor {
		p.period, p.shortest = started, [2]time.Duration{took, p.shortest[0]}
	}
	p.shortest[0] = min(p.shortest[0], took)
	if p.known <= knownFrom {
		return 0
	}
	if p.shortest[1] > 0 {
		return min(p.shortest[0], p.shortest[1])
	}
	return p.shortest[0]
}
