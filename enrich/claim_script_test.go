package enrich

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/magpie-hq/magpie/internal/testredis"
)

// claimed runs claim.lua.
func claimed(t *testing.T, rdb redis.UniversalClient, asker string, life time.Duration, questions ...string) []int64 {
	t.Helper()
	args := []any{asker, life.Milliseconds()}
	for _, question := range questions {
		args = append(args, question)
	}
	answers, err := claimScript.Run(t.Context(), rdb, []string{"asking"}, args...).Int64Slice()
	if err != nil {
		t.Fatal(err)
	}
	for i := range answers {
		answers[i] = min(answers[i], 1) // for how long is another test's
	}
	return answers
}

// released runs release.lua.
func released(t *testing.T, rdb redis.UniversalClient, asker string, life time.Duration, pairs ...any) int {
	t.Helper()
	n, err := releaseScript.Run(t.Context(), rdb, []string{"asking"}, append([]any{asker, life.Milliseconds()}, pairs...)...).Int()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClaimScripts(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		const long = time.Hour
		want := func(what string, got []int64, want ...int64) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		want("first", claimed(t, rdb, "a", long, "q1", "q2"), 0, 0)
		want("again", claimed(t, rdb, "a", long, "q1", "q2"), 0, 0)
		want("another", claimed(t, rdb, "b", long, "q1", "q2", "q3"), 1, 1, 0)
		want("renewed while another waits", claimed(t, rdb, "a", long, "q1"), 0)
		if n := released(t, rdb, "b", long, "0", "q1", "1", "q2"); n != 0 {
			t.Errorf("%d claims of another were released", n)
		}
		if n := released(t, rdb, "a", long, "0", "q1", "1", "q2"); n != 2 {
			t.Errorf("%d claims were released, want 2", n)
		}
		if n := released(t, rdb, "a", long, "0", "q1", "1", "q2"); n != 0 {
			t.Errorf("released twice: %d", n)
		}
		want("after the release", claimed(t, rdb, "b", long, "q1", "q2"), 0, -1)
		released(t, rdb, "b", long, "1", "q1")
		want("nobody waited", claimed(t, rdb, "c", long, "q1"), 0)
	})
}

// Claims end by Redis's clock, also where keys do not: in the process.
func TestClaimsEnd(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		const short, long = time.Millisecond, time.Hour
		claimed(t, rdb, "other", long, "keeps the hash alive")
		claimed(t, rdb, "dead", short, "q1")
		deadline := time.Now().Add(10 * time.Second)
		for claimed(t, rdb, "next", long, "q1")[0] != 0 {
			if time.Now().After(deadline) {
				t.Fatal("the claim of one that died stays")
			}
		}
		claimed(t, rdb, "waits", long, "q1")
		released(t, rdb, "next", short, "1", "q1")
		for claimed(t, rdb, "new", long, "q1")[0] != 0 {
			if time.Now().After(deadline) {
				t.Fatal("what was not found is told for ever")
			}
		}
	})
}

// What is in the hash and no script wrote counts as nothing.
func TestClaimsSurviveNonsense(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		for _, nonsense := range []string{"", "x", "1 2", "99999999999999 missed!", "9e9 1 a"} {
			if err := rdb.HSet(t.Context(), "asking", "q", nonsense).Err(); err != nil {
				t.Fatal(err)
			}
			if got := claimed(t, rdb, "a", time.Hour, "q"); got[0] != 0 {
				t.Errorf("%q: %v", nonsense, got)
			}
		}
	})
}

// A chunk's questions go in one call each way, on either Redis.
func TestClaimsOfAWholeChunk(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, rdb *redis.Client) {
		questions, pairs := make([]string, claimsACall), make([]any, 0, 2*claimsACall)
		for i := range questions {
			questions[i] = "q" + strconv.Itoa(i)
			pairs = append(pairs, "1", questions[i])
		}
		for _, round := range []struct {
			asker string
			want  int64
		}{{"a", 0}, {"a", 0}, {"b", 1}} {
			got := claimed(t, rdb, round.asker, time.Hour, questions...)
			if len(got) != claimsACall || slices.Min(got) != round.want || slices.Max(got) != round.want {
				t.Errorf("%s: %d answers from %d to %d, want all %d", round.asker, len(got), slices.Min(got), slices.Max(got), round.want)
			}
		}
		if n := released(t, rdb, "a", time.Hour, pairs...); n != claimsACall {
			t.Errorf("%d claims were released, want all", n)
		}
		if got := claimed(t, rdb, "b", time.Hour, questions...); slices.Max(got) != -1 {
			t.Errorf("b waited and is told %d, want that nothing was found", slices.Max(got))
		}
	})
}
