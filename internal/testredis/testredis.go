package testredis

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// databases is how many databases the real server has, and so how many tests
// of one package can use it at the same time.
const databases = 1024

// Mini returns a client of a fresh in-process Redis. Both end with the test.
func Mini(t testing.TB) *redis.Client {
	t.Helper()
	client, _ := MiniServer(t)
	return client
}

// MiniServer is Mini with the server, whose clock a test can set.
func MiniServer(t testing.TB) (*redis.Client, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	return connect(t, &redis.Options{Network: "tcp", Addr: server.Addr()}), server
}

// Real returns a client of an empty database of a real Redis, which the test
// has to itself until it ends. A second client of the same database is
// redis.NewClient(client.Options()).
//
// Where no Redis is installed the test is skipped, or fails if the environment
// has REQUIRE_SERVICES=1.
func Real(t testing.TB) *redis.Client {
	t.Helper()
	server, err := start()
	switch {
	case err != nil:
		t.Fatalf("testredis: %v", err)
	case server == nil:
		missing(t)
	}
	db := <-free()
	t.Cleanup(func() { free() <- db })
	client := connect(t, &redis.Options{Network: "unix", Addr: server.socket, DB: db})
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatalf("testredis: empty database %d: %v", db, err)
	}
	return client
}

// Own returns the URL of a real Redis that the test has to itself, started with
// further options such as "--maxmemory-policy", "allkeys-lru".
func Own(t testing.TB, options ...string) string {
	t.Helper()
	server, err := launch(options...)
	switch {
	case err != nil:
		t.Fatalf("testredis: %v", err)
	case server == nil:
		missing(t)
	}
	t.Cleanup(func() {
		if err := server.lifeline.Close(); err != nil {
			t.Errorf("testredis: stop the server: %v", err)
		}
	})
	return "unix://" + server.socket
}

// Each runs test twice, in parallel: as the subtest "miniredis" on an
// in-process Redis and as "redis" on a real one.
func Each(t *testing.T, test func(t *testing.T, client *redis.Client)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		test(t, Mini(t))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, Real(t))
	})
}

func connect(t testing.TB, options *redis.Options) *redis.Client {
	t.Helper()
	client := redis.NewClient(options)
	t.Cleanup(func() {
		if err := client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			t.Errorf("testredis: close the client: %v", err)
		}
	})
	return client
}

// missing skips a test that needs a real Redis, or fails it where everything
// has to run.
func missing(t testing.TB) {
	t.Helper()
	const remedy = "there is no redis-server or valkey-server on PATH; install one (Debian: apt-get install redis-server)"
	if os.Getenv("REQUIRE_SERVICES") == "1" {
		t.Fatal("testredis: REQUIRE_SERVICES=1, but " + remedy)
	}
	t.Skip("testredis: " + remedy)
}

// free holds the numbers of the real server's databases that no test uses.
var free = sync.OnceValue(func() chan int {
	numbers := make(chan int, databases)
	for n := range databases {
		numbers <- n
	}
	return numbers
})
