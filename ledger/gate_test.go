package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/ledger"
)

const org = "org_test"

// loaded returns a gate in which the account has the given credits, in
// generation 1 after grant 1.
func loaded(t testing.TB, rdb *redis.Client, available int64) *ledger.Gate {
	t.Helper()
	gate := ledger.New(rdb)
	load(t, gate, snapshot(1, available, 0))
	return gate
}

// snapshot is an account of one lot that never expires, after grant 1.
func snapshot(generation, granted, captured int64) ledger.Snapshot {
	s := ledger.Snapshot{Generation: generation, Grant: 1, Granted: granted, Captured: captured}
	if granted > captured {
		s.Lots = []ledger.Lot{{ID: 1, Class: ledger.Paid, Free: granted - captured}}
	}
	return s
}

func grantOf(number, amount int64) ledger.Grant {
	return ledger.Grant{Org: org, Number: number, Amount: amount, Lot: ledger.Lot{ID: 1, Class: ledger.Paid}}
}

func load(t testing.TB, gate *ledger.Gate, s ledger.Snapshot) {
	t.Helper()
	s.Org = org
	if _, err := gate.Load(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func request(id string, want int64) ledger.HoldRequest {
	return ledger.HoldRequest{
		Org: org, ID: id, Want: want, Least: 1, Price: 1000, Life: time.Minute,
		Scopes: []ledger.Scope{{Name: "batch:b"}},
	}
}

// hold holds credits and returns the units, failing the test on an error.
func hold(t testing.TB, gate *ledger.Gate, r ledger.HoldRequest) ledger.Hold {
	t.Helper()
	held, err := gate.Hold(t.Context(), r)
	if err != nil {
		t.Fatalf("hold %s: %v", r.ID, err)
	}
	return held
}

func settle(t *testing.T, gate *ledger.Gate, id string, charged, generation int64) int64 {
	t.Helper()
	settled, err := gate.Settle(t.Context(), org, id, charged, generation)
	if err != nil {
		t.Fatalf("settle %s: %v", id, err)
	}
	return settled.Captured
}

// wantBalance checks an account and the first two invariants.
func wantBalance(t *testing.T, gate *ledger.Gate, available, held, captured int64) {
	t.Helper()
	b, err := gate.Balance(t.Context(), org)
	if err != nil {
		t.Fatal(err)
	}
	if b.Available != available || b.Held != held || b.Captured != captured {
		t.Errorf("available %d, held %d, captured %d; want %d, %d, %d", b.Available, b.Held, b.Captured, available, held, captured)
	}
	if b.Granted != b.Available+b.Held+b.Captured+b.Expired+b.Revoked || b.Available < 0 || b.Held < 0 {
		t.Errorf("the account does not add up: %+v", b)
	}
}

func TestHoldThenSettle(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 10_000)
		if held := hold(t, gate, request("a", 4)); held.Units != 4 || held.Generation != 1 || held.Available != 6000 {
			t.Errorf("held %+v", held)
		}
		wantBalance(t, gate, 6000, 4000, 0)
		if captured := settle(t, gate, "a", 3000, 1); captured != 3000 {
			t.Errorf("captured %d, want 3000", captured)
		}
		wantBalance(t, gate, 7000, 0, 3000)
	})
}

func TestRepeatsChangeNothing(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 10_000)
		hold(t, gate, request("a", 4))
		if again := hold(t, gate, request("a", 9)); again.Units != 4 {
			t.Errorf("a repeated hold has %d units, want the first answer, 4", again.Units)
		}
		settle(t, gate, "a", 3000, 1)
		if captured := settle(t, gate, "a", 1000, 1); captured != 3000 {
			t.Errorf("a repeated settle captured %d, want the first answer, 3000", captured)
		}
		if _, err := gate.Hold(t.Context(), request("a", 1)); !errors.Is(err, ledger.ErrClosed) {
			t.Errorf("holding under a closed id: %v, want ErrClosed", err)
		}
		wantBalance(t, gate, 7000, 0, 3000)
	})
}

func TestHoldInPart(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 2999)
		if held := hold(t, gate, request("a", 100)); held.Units != 2 {
			t.Errorf("%d units of 2.999 credits, want 2", held.Units)
		}
		_, err := gate.Hold(t.Context(), request("b", 1))
		var refused *ledger.InsufficientError
		if !errors.As(err, &refused) || refused.Available != 999 || refused.Held != 2000 || refused.Grant != 1 {
			t.Fatalf("refusal: %v", err)
		}
		// A refusal is not recorded: the same id may hold once credits are there.
		settle(t, gate, "a", 0, 1)
		if held := hold(t, gate, request("b", 1)); held.Units != 1 {
			t.Errorf("%d units after the release, want 1", held.Units)
		}
	})
}

func TestLeastIsRespected(t *testing.T) {
	t.Parallel()
	gate := loaded(t, testredis.Mini(t), 3000)
	r := request("a", 10)
	r.Least = 4
	if _, err := gate.Hold(t.Context(), r); !errors.As(err, new(*ledger.InsufficientError)) {
		t.Errorf("three credits for at least four units: %v, want a refusal", err)
	}
	wantBalance(t, gate, 3000, 0, 0)
}

func TestFreeUnitsNeedNoCredits(t *testing.T) {
	t.Parallel()
	gate := loaded(t, testredis.Mini(t), 0)
	r := request("a", 10)
	r.Price = 0
	if held := hold(t, gate, r); held.Units != 10 {
		t.Errorf("%d units, want 10", held.Units)
	}
}

func TestHoldRefusesNonsense(t *testing.T) {
	t.Parallel()
	gate := loaded(t, testredis.Mini(t), 1000)
	for name, spoil := range map[string]func(*ledger.HoldRequest){
		"no units":        func(r *ledger.HoldRequest) { r.Want, r.Least = 0, 0 },
		"least over want": func(r *ledger.HoldRequest) { r.Least = r.Want + 1 },
		"negative price":  func(r *ledger.HoldRequest) { r.Price = -1 },
		"no life":         func(r *ledger.HoldRequest) { r.Life = 0 },
		"limit of what is only held": func(r *ledger.HoldRequest) {
			r.Scopes = []ledger.Scope{{Name: "batches", Limit: 1, Share: 500, HeldOnly: true}}
		},
	} {
		r := request("a", 1)
		spoil(&r)
		if _, err := gate.Hold(t.Context(), r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	wantBalance(t, gate, 1000, 0, 0)
}

func TestScopes(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 100_000)
		capped := func(id string, want, limit int64) ledger.HoldRequest {
			r := request(id, want)
			r.Scopes = []ledger.Scope{{Name: "batch:b", Limit: limit}, {Name: "key:k"}}
			return r
		}
		if held := hold(t, gate, capped("a", 10, 5000)); held.Units != 5 {
			t.Errorf("%d units under a limit of 5 credits, want 5", held.Units)
		}
		settle(t, gate, "a", 2000, 1)
		if held := hold(t, gate, capped("b", 10, 5000)); held.Units != 3 {
			t.Errorf("%d units with 2 of 5 credits used, want 3", held.Units)
		}
		// The limit is an argument: raising it needs no other step.
		if held := hold(t, gate, capped("c", 10, 6000)); held.Units != 1 {
			t.Errorf("%d units after raising the limit by one, want 1", held.Units)
		}
		for scope, want := range map[string]int64{"batch:b": 6000, "key:k": 6000, "batch:other": 0} {
			used, err := gate.Used(t.Context(), org, scope)
			if err != nil || used != want {
				t.Errorf("%s uses %d, %v; want %d", scope, used, err, want)
			}
		}
	})
}

func TestMissingAccountIsNeitherEmptyNorUnlimited(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := ledger.New(rdb)
		_, holdErr := gate.Hold(t.Context(), request("a", 1))
		_, settleErr := gate.Settle(t.Context(), org, "a", 0, 1)
		_, balanceErr := gate.Balance(t.Context(), org)
		_, grantErr := gate.Grant(t.Context(), grantOf(1, 1000))
		for call, err := range map[string]error{"hold": holdErr, "settle": settleErr, "balance": balanceErr, "grant": grantErr} {
			if !errors.Is(err, ledger.ErrMissing) {
				t.Errorf("%s: %v, want ErrMissing", call, err)
			}
		}
	})
}

func TestGrantsApplyOnceAndInOrder(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 1000)
		for range 2 {
			if _, err := gate.Grant(t.Context(), grantOf(2, 500)); err != nil {
				t.Fatal(err)
			}
		}
		wantBalance(t, gate, 1500, 0, 0)
		if _, err := gate.Grant(t.Context(), grantOf(4, 500)); !errors.Is(err, ledger.ErrGap) {
			t.Errorf("grant 4 after 2: %v, want ErrGap", err)
		}
		wantBalance(t, gate, 1500, 0, 0)
	})
}

func TestLoadFencesOffOlderHolds(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 10_000)
		hold(t, gate, request("a", 4))
		// SQL had counted a charge of 3 credits when it was loaded again.
		load(t, gate, snapshot(2, 10_000, 3000))
		wantBalance(t, gate, 7000, 0, 3000)
		if captured := settle(t, gate, "a", 3000, 1); captured != 0 {
			t.Errorf("captured %d a second time, want 0", captured)
		}
		wantBalance(t, gate, 7000, 0, 3000)
		// An older load must not undo a newer one.
		load(t, gate, snapshot(1, 10_000, 0))
		wantBalance(t, gate, 7000, 0, 3000)
	})
}

func TestHoldAgainAfterLoad(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 10_000)
		hold(t, gate, request("a", 4))
		load(t, gate, snapshot(2, 10_000, 0))
		if held := hold(t, gate, request("a", 2)); held.Units != 2 || held.Generation != 2 {
			t.Errorf("held %+v, want two units of generation 2", held)
		}
		settle(t, gate, "a", 2000, 2)
		wantBalance(t, gate, 8000, 0, 2000)
	})
}

func TestSettleOfALostHold(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 10_000)
		if _, err := gate.Settle(t.Context(), org, "lost", 3000, 1); !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("a charge whose hold is lost: %v, want ErrUnknown", err)
		}
		if captured := settle(t, gate, "lost", 0, 1); captured != 0 {
			t.Errorf("a void of a hold that is lost captured %d", captured)
		}
		if captured := settle(t, gate, "older", 3000, 0); captured != 0 {
			t.Errorf("a charge that the load counted captured %d", captured)
		}
		wantBalance(t, gate, 10_000, 0, 0)
	})
}

func TestChargeIsCappedByItsHold(t *testing.T) {
	t.Parallel()
	gate := loaded(t, testredis.Mini(t), 10_000)
	hold(t, gate, request("a", 2))
	if captured := settle(t, gate, "a", 9000, 1); captured != 2000 {
		t.Errorf("captured %d from a hold of 2000", captured)
	}
	wantBalance(t, gate, 8000, 0, 2000)
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 10_000)
		short := request("short", 1)
		short.Life = time.Millisecond
		hold(t, gate, request("long", 1))
		hold(t, gate, short)
		deadline := time.Now().Add(5 * time.Second)
		for {
			overdue, now, err := gate.Overdue(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(overdue) == 1 && overdue[0].Org == org && overdue[0].ID == "short" && overdue[0].Since <= now {
				break
			}
			if len(overdue) > 1 || time.Now().After(deadline) {
				t.Fatalf("overdue: %v, want the short hold alone", overdue)
			}
		}
		settle(t, gate, "short", 0, 1)
		if overdue, _, err := gate.Overdue(t.Context(), 10); err != nil || len(overdue) != 0 {
			t.Errorf("after settling: %v, %v", overdue, err)
		}
	})
}

func TestLargeAmountsStayExact(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		const most = 1<<53 - 1
		gate := loaded(t, rdb, most)
		r := request("a", 1)
		r.Price = 1e14
		hold(t, gate, r)
		wantBalance(t, gate, most-1e14, 1e14, 0)
		settle(t, gate, "a", 1e14, 1)
		wantBalance(t, gate, most-1e14, 0, 1e14)
	})
}

// A crowd with too few credits spends exactly what there is.
func TestCrowdNeverOverspends(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		const credits, workers, jobs = 300, 16, 60
		gate := loaded(t, rdb, credits*1000)
		var captured atomic.Int64
		var crowd sync.WaitGroup
		for w := range workers {
			crowd.Go(func() {
				for n := range jobs {
					got, err := spendSome(t.Context(), gate, fmt.Sprintf("%d:%d", w, n))
					if err != nil {
						t.Errorf("job %d:%d: %v", w, n, err)
						return
					}
					captured.Add(got)
				}
			})
		}
		crowd.Wait()
		wantBalance(t, gate, credits*1000-captured.Load(), 0, captured.Load())
		if captured.Load() != credits*1000 {
			t.Errorf("spent %d of %d; the crowd wanted more than there was", captured.Load(), credits*1000)
		}
	})
}

// spendSome holds up to seven credits, if there are any, and spends half.
func spendSome(ctx context.Context, gate *ledger.Gate, id string) (captured int64, err error) {
	held, err := gate.Hold(ctx, request(id, 7))
	if _, refused := errors.AsType[*ledger.InsufficientError](err); refused {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	settled, err := gate.Settle(ctx, org, id, (held.Units+1)/2*1000, held.Generation)
	return settled.Captured, err
}

// A Redis without memory refuses new holds, but credits can still be released.
func TestFullRedisReleases(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: strings.TrimPrefix(testredis.Own(t), "unix://")})
	t.Cleanup(func() {
		if err := rdb.Close(); err != nil {
			t.Error(err)
		}
	})
	gate := loaded(t, rdb, 10_000)
	hold(t, gate, request("a", 4))
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Hold(t.Context(), request("b", 1)); err == nil {
		t.Error("a full Redis took a hold")
	}
	if captured := settle(t, gate, "a", 1000, 1); captured != 1000 {
		t.Errorf("captured %d, want 1000", captured)
	}
	wantBalance(t, gate, 9000, 0, 1000)
}

// Of calls that share a script each gets its own answer: a corrupt hold, a refusal
// and a repeat spoil nothing for the others.
func TestCallsThatShareAScript(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		gate := loaded(t, rdb, 5000)
		if err := rdb.RPush(t.Context(), ledger.HoldKey(org, "spoilt"), "x").Err(); err != nil {
			t.Fatal(err)
		}
		ids := []string{"a", "spoilt", "a", "b", "c", "d"}
		held, errs := make([]ledger.Hold, len(ids)), make([]error, len(ids))
		var calls []func()
		for i, id := range ids {
			calls = append(calls, func() { held[i], errs[i] = gate.Hold(t.Context(), request(id, 2)) })
		}
		gate.Together(calls...)
		for i, units := range []int64{2, 0, 2, 2, 1, 0} {
			if held[i].Units != units || (errs[i] == nil) != (units > 0) {
				t.Errorf("hold %d of %s: %d units, %v; want %d", i, ids[i], held[i].Units, errs[i], units)
			}
		}
		if !errors.Is(errs[1], ledger.ErrCorrupt) || !strings.Contains(errs[1].Error(), ledger.HoldKey(org, "spoilt")) {
			t.Errorf("the spoilt hold: %v", errs[1])
		}
		if _, refused := errors.AsType[*ledger.InsufficientError](errs[5]); !refused {
			t.Errorf("a hold without credits: %v", errs[5])
		}
		wantBalance(t, gate, 0, 5000, 0)
	})
}
