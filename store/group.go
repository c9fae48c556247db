package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Write is a write that may share its transaction with others. Its steps are
// ordered so that rows which all writes meet are locked late, and in one order. Of
// what Rows writes only each write's own is sorted: two transactions that answer
// the same questions may lock each other out, and the one that is ended is tried
// again by its callers ([DB.Retry]).
type Write struct {
	Org, Batch string
	// Rows writes what is the write's own.
	Rows func(ctx context.Context, tx *Tx) error
	// Counts writes the row of Batch.
	Counts func(ctx context.Context, tx *Tx) error
	// Last writes the account row of Org, and then what else belongs to the
	// account. No other write of the organization passes before the commit. In
	// one transaction the writes of a batch run theirs in the order of their Rows.
	Last func(ctx context.Context, tx *Tx) error
}

const (
	groupMost  = 16               // writes of one transaction
	groupLanes = 2                // transactions of a process at a time: one is prepared while one reaches the disk
	groupTime  = 30 * time.Second // bounds a transaction, whoever waits for it
)

// groups gathers writes that come while others are under way.
type groups struct {
	mu      sync.Mutex
	waiting []*member
	running int // lanes in use
}

// member is a write in a group.
type member struct {
	write   Write
	err     error
	decided bool // err is its own, whatever becomes of the group
	done    chan struct{}
}

// WriteGrouped runs w as [DB.Write] does, in one transaction with other writes
// that came while the last transaction was under way: the commit, which reaches
// the disk, is shared. Whatever one of them returns the others do not notice,
// except that theirs may run again: Rows and Last must start afresh each time.
// It waits for the outcome even if ctx ends.
func (d *DB) WriteGrouped(_ context.Context, w Write) error {
	m := &member{write: w, done: make(chan struct{})}
	g := d.groups
	g.mu.Lock()
	g.waiting = append(g.waiting, m)
	lead := g.running < groupLanes
	if lead {
		g.running++
	}
	g.mu.Unlock()
	if lead {
		go d.writeGroups() //nolint:contextcheck // a transaction belongs to nobody alone
	}
	<-m.done
	return m.err
}

// writeGroups writes group after group until nothing waits.
func (d *DB) writeGroups() {
	for {
		members := d.groups.take()
		if members == nil {
			return
		}
		d.writeGroup(members)
		for _, m := range members {
			close(m.done)
		}
	}
}

// take takes what waits, or frees the lane.
func (g *groups) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.running--
		return nil
	}
	n := min(groupMost, len(g.waiting))
	members := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return members
}

// writeGroup writes the members in one transaction. If one fails, it is begun
// again without that one: to guard each by a savepoint would cost all of them a
// statement more, and hardly any ever fails.
func (d *DB) writeGroup(members []*member) {
	ctx, cancel := context.WithTimeout(context.Background(), groupTime)
	defer cancel()
	for {
		var left []*member
		for _, m := range members {
			if !m.decided {
				left = append(left, m)
			}
		}
		if len(left) == 0 {
			return
		}
		err := d.Write(ctx, func(tx *Tx) error { return writeTogether(ctx, tx, left) })
		if errors.Is(err, errMemberFailed) {
			continue
		}
		for _, m := range left {
			if !m.decided {
				m.err = err
			}
		}
		return
	}
}

// errMemberFailed undoes a transaction in which a member was decided.
var errMemberFailed = errors.New("store: a write of the group failed")

func writeTogether(ctx context.Context, tx *Tx, members []*member) error {
	written := slices.Clone(members)
	for _, m := range written {
		if err := guarded(ctx, tx, m.write.Rows); err != nil {
			return m.fail(err)
		}
	}
	slices.SortStableFunc(written, func(a, b *member) int { return strings.Compare(a.write.Batch, b.write.Batch) })
	for _, m := range written {
		if err := guarded(ctx, tx, m.write.Counts); err != nil {
			return m.fail(err)
		}
	}
	slices.SortStableFunc(written, func(a, b *member) int { return strings.Compare(a.write.Org, b.write.Org) })
	for _, m := range written {
		if err := guarded(ctx, tx, m.write.Last); err != nil {
			return m.fail(err)
		}
	}
	return nil
}

// fail decides a member and with it the transaction.
func (m *member) fail(err error) error {
	m.err, m.decided = err, true
	return errMemberFailed
}

// guarded keeps a panic of one member from the others.
func guarded(ctx context.Context, tx *Tx, fn func(ctx context.Context, tx *Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: a grouped write panicked: %T", p)
		}
	}()
	if fn == nil {
		return nil
	}
	return fn(ctx, tx)
}
