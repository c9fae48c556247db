package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/ledger"
)

// Every script runs on a cluster of three nodes: its keys are in one slot, and
// none is used that was not declared. Plain EVAL does not notice a key of another
// slot of the same node, scripts with a shebang do.
func TestCluster(t *testing.T) {
	t.Parallel()
	rdb := testredis.Cluster(t)
	for _, shebang := range []bool{false, true} {
		gate := ledger.New(rdb)
		if shebang {
			gate.UseShebang()
		}
		for i := range 12 { // organizations on every node
			everyScript(t, gate, fmt.Sprintf("org_%t_%d", shebang, i))
		}
		overdue, _, err := gate.Overdue(t.Context(), 100)
		if err != nil || len(overdue) != 0 {
			t.Errorf("overdue %v, %v", overdue, err)
		}
	}
}

// everyScript takes an account through all there is.
func everyScript(t *testing.T, gate *ledger.Gate, org string) {
	t.Helper()
	ends := time.Now().Add(time.Hour).UnixMilli()
	sub := func(id int64) ledger.Lot { return ledger.Lot{ID: id, Class: ledger.Subscription, Expires: ends + id} }
	s := ledger.Snapshot{Org: org, Generation: 1, Scopes: map[string]int64{"key:k": 1000}}
	_, loadErr := gate.Load(t.Context(), s)
	_, grantErr := gate.Grant(t.Context(), ledger.Grant{Org: org, Number: 1, Amount: 5000, Lot: sub(1)})
	r := ledger.HoldRequest{
		Org: org, ID: "a", Want: 3, Least: 1, Price: 1000, Life: time.Minute,
		Scopes: []ledger.Scope{{Name: "batch:b", Limit: 9000, Share: 900}, {Name: "key:k"}},
	}
	held, holdErr := gate.Hold(t.Context(), r)
	_, extendErr := gate.Extend(t.Context(), org, "a", time.Hour)
	_, refreshErr := gate.Refresh(t.Context(), ledger.Grant{Org: org, Number: 2, Amount: 4000, Lot: sub(2)}, []int64{1}, time.Now())
	settled, settleErr := gate.Settle(t.Context(), org, "a", 2000, 1)
	back := sub(2)
	back.Free = 1000
	_, refundErr := gate.Refund(t.Context(), org, 3, []ledger.Lot{back})
	_, thresholdErr := gate.SetThreshold(t.Context(), org, 100)
	unwatched, unwatchedErr := gate.Unwatched(t.Context(), org)
	forgetErr := gate.Forget(t.Context(), org, "b")
	used, usedErr := gate.Used(t.Context(), org, "key:k")
	b, balanceErr := gate.Balance(t.Context(), org)
	if err := errors.Join(loadErr, grantErr, holdErr, extendErr, refreshErr, settleErr, refundErr, thresholdErr, unwatchedErr, forgetErr, usedErr, balanceErr); err != nil {
		t.Fatalf("%s: %v", org, err)
	}
	if held.Units != 3 || settled.Captured != 2000 || unwatched || used != 3000 || b.Available != 5000 || b.Captured != 1000 || b.Expired != 3000 {
		t.Errorf("%s: held %+v, settled %+v, unwatched %t, used %d, %+v", org, held, settled, unwatched, used, b)
	}
}

// spoilt are values that no script wrote.
var spoilt = []string{
	"", "x", "2", "2 0 1", "1 0 1 1 5000", strings.Repeat("9", 400),
	"2 0 1 1 5000 0 0 0 5000 0 0 0 0 0",                                                              // no lots
	"2 0 1 1 5000 0 0 0 5000 0 0 0 0 0;1:2:0:4000:0",                                                 // lots of less
	"2 0 1 1 9999 0 0 0 5000 0 0 0 0 0;1:2:0:5000:0",                                                 // does not add up
	"2 0 1 1 5000 0 0 0 5000 0 0 0 0 0;1:2:0:5000:0;",                                                // half a lot
	"2 0 1 1 5000 0 0 0 6000 -1000 0 0 0 0;1:2:0:6000:-1000",                                         // below nothing
	"2 0 1 1 99999999999999999999 0 0 0 99999999999999999999 0 0 0 0 0;1:2:0:99999999999999999999:0", // beyond a double
	"2 0 1 1 5000 0 0 0 5000 0 0 99999999999999999999 0 0;1:2:0:5000:0",                              // a clock beyond a double
	"o 1 2 1000", "o 1 2 1000 0|9:2000|", "c", "c -1", "c 1 2",
}

// FuzzCorruptKeys puts garbage where an account or a hold is. A script either
// answers as if nothing were there, or fails and names the key; what it does not
// understand it does not touch.
func FuzzCorruptKeys(f *testing.F) {
	for _, value := range spoilt {
		for key := range byte(4) {
			f.Add(value, key, false)
		}
	}
	for key := range byte(4) {
		f.Add("", key, true)
	}
	rdb := testredis.Mini(f)
	f.Fuzz(func(t *testing.T, value string, which byte, list bool) { _ = corrupt(t, rdb, value, which, list) })
}

// The same on a real Redis, whose Lua is another. What is not even a string, or
// does not add up, must be refused.
func TestCorruptKeys(t *testing.T) {
	t.Parallel()
	rdb := testredis.Real(t)
	for which := range byte(4) {
		// Holding again needs no scopes or deadlines; another hold needs no key of this one.
		needs := []int{0, 0, 1, 1}[which]
		if err := corrupt(t, rdb, "", which, true)[needs]; !errors.Is(err, ledger.ErrCorrupt) {
			t.Errorf("key %d is a list: %v, want ErrCorrupt", which, err)
		}
		for _, value := range spoilt {
			errs := corrupt(t, rdb, value, which, false)
			otherFormat := strings.HasPrefix(value, "1 ")
			if which == 0 && !otherFormat && !errors.Is(errs[0], ledger.ErrCorrupt) {
				t.Errorf("the account is %q: %v, want ErrCorrupt", value, errs[0])
			}
			if which == 0 && otherFormat && !errors.Is(errs[0], ledger.ErrMissing) {
				t.Errorf("the account is of another format: %v, want ErrMissing", errs[0])
			}
		}
	}
}

// corrupt spoils a key and returns what holding again, another hold, a grant and
// settling say.
func corrupt(t *testing.T, rdb *redis.Client, value string, which byte, list bool) []error {
	t.Helper()
	ctx := t.Context()
	if err := rdb.FlushDB(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	gate := loaded(t, rdb, 5000)
	capped := request("a", 2)
	capped.Scopes[0].Limit = 9000
	hold(t, gate, capped)
	key := []string{ledger.AccountKey(org), ledger.HoldKey(org, "a"), ledger.ScopesKey(org), ledger.DeadlinesKey(org)}[which%4]
	err := rdb.Del(ctx, key).Err()
	switch {
	case err != nil:
	case list:
		err = rdb.RPush(ctx, key, "x").Err()
	case which%4 == 2:
		err = rdb.HSet(ctx, key, "batch:b", value).Err()
	default:
		err = rdb.Set(ctx, key, value, 0).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	other := capped
	other.ID = "b"
	var errs []error
	for _, script := range []func() error{
		func() error { _, err := gate.Hold(ctx, capped); return err },
		func() error { _, err := gate.Hold(ctx, other); return err },
		func() error { _, err := gate.Grant(ctx, grantOf(2, 1000)); return err },
		func() error { _, err := gate.Extend(ctx, org, "a", time.Hour); return err },
		func() error { _, err := gate.Settle(ctx, org, "a", 1000, 1); return err },
	} {
		before := dump(t, rdb)
		err := script()
		errs = append(errs, err)
		switch {
		case err == nil, errors.Is(err, ledger.ErrMissing), errors.Is(err, ledger.ErrClosed), errors.Is(err, ledger.ErrUnknown), errors.Is(err, ledger.ErrGap):
		case errors.As(err, new(*ledger.InsufficientError)):
		case errors.Is(err, ledger.ErrCorrupt) && strings.Contains(err.Error(), key):
			if after := dump(t, rdb); !slices.Equal(before, after) {
				t.Errorf("%s is %q: a script that failed wrote\n%q, before it was\n%q", key, value, after, before)
			}
		default:
			t.Fatalf("%s is %q: %v; want an error that names the key", key, value, err)
		}
	}
	// A load puts the account right, whatever was there.
	load(t, gate, snapshot(9, 5000, 0))
	wantBalance(t, gate, 5000, 0, 0)
	if err := gate.Forget(ctx, org, "a"); err != nil {
		t.Error(err)
	}
	hold(t, gate, request("a", 1))
	return errs
}

// dump is everything in the database.
func dump(t *testing.T, rdb *redis.Client) []string {
	t.Helper()
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, key := range keys {
		var value any
		switch rdb.Type(t.Context(), key).Val() {
		case "string":
			value = rdb.Get(t.Context(), key).Val()
		case "hash":
			value = rdb.HGetAll(t.Context(), key).Val()
		case "zset":
			value = rdb.ZRangeWithScores(t.Context(), key, 0, -1).Val()
		case "list":
			value = rdb.LRange(t.Context(), key, 0, -1).Val()
		}
		all = append(all, fmt.Sprintf("%s = %v", key, value))
	}
	slices.Sort(all)
	return all
}
