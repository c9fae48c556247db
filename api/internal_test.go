package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/store"
)

// wantRefusal fails unless err is a refusal that names what is at fault.
func wantRefusal(t *testing.T, err error) {
	t.Helper()
	var p *problem
	if !errors.As(err, &p) || p.Status != 400 || len(p.Errors) == 0 || p.Errors[0].Param == "" && !strings.Contains(p.Detail, "unknown") {
		t.Errorf("refused with %#v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"service":"email-finder","rows":[{"a":1}],"mapping":{"a":"b"}}`, `{"rows":[`, `[]`, `null`, ``, `{"":1}`, `{"Service":1}`, "{\"\xff\":1}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in submitRequest
		err := decode(raw, &in)
		if err != nil {
			wantRefusal(t, err)
			return
		}
		var names map[string]json.RawMessage
		if err := json.Unmarshal(raw, &names); err != nil || names["service"] == nil || names["rows"] == nil {
			t.Errorf("accepted %q, err %v", raw, err)
		}
	})
}

func FuzzReadQuestion(f *testing.F) {
	for _, seed := range []string{`{"full_name":"Ada King","domain":"a.example"}`, `{"row_id":7,"accept_catch_all":null}`, `{"full_name":[]}`, `{"x":1}`, `{}`, `nul`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := readQuestion(lookup.EmailFinder, raw)
		var input *lookup.InputError
		switch {
		case err == nil && (len(q.query.Fields) == 0 || !json.Valid(q.input)):
			t.Errorf("%q became %+v", raw, q)
		case err != nil && !errors.As(err, &input):
			wantRefusal(t, err)
		}
	})
}

func FuzzMembers(f *testing.F) {
	for _, seed := range []string{`{"b":1,"a":"x","b":2}`, `[]`, `"x"`, `{`, ``, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, values := members(raw)
		for _, key := range keys {
			if _, ok := values[key]; !ok {
				t.Errorf("%q has the key %q and no value", raw, key)
			}
			_ = text(values[key])
		}
		for key := range values {
			if !slices.Contains(keys, key) {
				t.Errorf("%q has a value for %q and no key", raw, key)
			}
		}
	})
}

func TestLimiterForgetsTheQuiet(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newLimiter(60, func() time.Time { return now })
	for i := range mostCallers {
		l.take(strconv.Itoa(i))
	}
	now = now.Add(500 * time.Millisecond) // nobody has everything back
	l.take("one more")
	if len(l.callers) != mostCallers+1 {
		t.Errorf("%d callers, want all to be remembered", len(l.callers))
	}
	now = now.Add(time.Second) // all have
	l.take("and another")
	if len(l.callers) != 1 {
		t.Errorf("%d callers, want the newest only", len(l.callers))
	}
}

// An upload that takes longer than a claim may be silent is not taken over.
func TestClaimIsRenewedWhileTheRequestIsAtWork(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "magpie.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := store.OpenSQLite(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		a := &api{Deps: Deps{DB: db, Now: time.Now, Log: slog.New(slog.DiscardHandler)}}
		takeOver := func() (store.Claim, bool) {
			claim, claimed, err := db.ClaimKey(t.Context(), store.Claim{Org: "org", Key: "key", Route: "r", Object: "bat_1"}, time.Now(), time.Now().Add(-staleAfter), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			return claim, claimed
		}
		claim, claimed := takeOver()
		if !claimed {
			t.Fatal("a new key cannot be claimed")
		}
		stop := a.renew(t.Context(), claim)
		time.Sleep(10 * time.Minute)
		if _, claimed := takeOver(); claimed {
			t.Error("taken over while at work")
		}
		claim = stop()
		time.Sleep(staleAfter + time.Second)
		if _, claimed := takeOver(); !claimed {
			t.Error("not taken over when silent")
		}
		// It wakes up: what is another's now is neither renewed nor given back.
		stop = a.renew(t.Context(), claim)
		time.Sleep(staleAfter / 2)
		if err := db.ReleaseKey(t.Context(), stop()); err != nil {
			t.Error(err)
		}
		if _, claimed := takeOver(); claimed {
			t.Error("a request that was taken over gave its successor's claim back")
		}
		time.Sleep(staleAfter/2 + time.Second)
		if _, claimed := takeOver(); !claimed {
			t.Error("a request that was taken over renewed its successor's claim")
		}
	})
}

func TestProblemOf(t *testing.T) {
	t.Parallel()
	for _, entry := range table {
		want := entry.problem()
		got := problemOf(fmt.Errorf("somewhere: %w", entry.is))
		if got.Code != want.Code || got.Status != want.Status || got.Detail == "" || got.Title == "" {
			t.Errorf("%v became %+v", entry.is, got)
		}
	}
	// A commit cut short may have happened: its key must not be given back.
	if got := problemOf(fmt.Errorf("%w: %w", store.ErrUnknownOutcome, context.Canceled)); got.Code != codeInternal {
		t.Errorf("an unknown outcome became %+v", got)
	}
	if got := problemOf(errors.New("a secret reason")); got.Code != codeInternal || strings.Contains(got.Detail, "secret") {
		t.Errorf("an unforeseen error became %+v", got)
	}
}
