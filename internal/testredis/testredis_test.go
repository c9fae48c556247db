package testredis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// asChild makes a re-executed test binary start a server, say where, and wait.
const asChild = "TESTREDIS_AS_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	server, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, server.socket)
	select {} // until killed
}

func TestEachTestHasAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	for range 3 {
		Each(t, func(t *testing.T, client *redis.Client) {
			if n := client.DBSize(t.Context()).Val(); n != 0 {
				t.Errorf("the database starts with %d keys, want none", n)
			}
			if err := client.Set(t.Context(), "key", t.Name(), 0).Err(); err != nil {
				t.Fatal(err)
			}
			if got := client.Get(t.Context(), "key").Val(); got != t.Name() {
				t.Errorf("key = %q, want %q", got, t.Name())
			}
		})
	}
}

func TestRealOnesShareAServerNotADatabase(t *testing.T) {
	t.Parallel()
	a, b := Real(t), Real(t)
	if a.Options().Addr != b.Options().Addr {
		t.Errorf("two servers, %s and %s, want one", a.Options().Addr, b.Options().Addr)
	}
	if err := a.Set(t.Context(), "key", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.Get(t.Context(), "key").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the second client sees the first one's key (error %v)", err)
	}
}

func TestClosingTheClientIsAllowed(t *testing.T) {
	t.Parallel()
	if err := Mini(t).Close(); err != nil {
		t.Error(err)
	}
}

// A killed binary cannot clean up, so its server has to notice by itself.
func TestServerEndsWithItsBinary(t *testing.T) {
	t.Parallel()
	Real(t) // skips, or fails, where there is no server
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), asChild+"=1")
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	socket, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the child started no server: %v", err)
	}
	conn, err := net.Dial("unix", strings.TrimSpace(socket))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server still runs 20 seconds after its binary was killed")
	}
	_ = child.Wait() // killed, as intended
}

func TestServerThatEndsEarlyShowsItsLog(t *testing.T) {
	t.Parallel()
	err := awaitReady(io.NopCloser(strings.NewReader("starting\nbad directive\n")))
	if err == nil || !strings.Contains(err.Error(), "bad directive") {
		t.Errorf("error = %v, want one with the server's log", err)
	}
}

func TestWithoutRedisATestSkipsUnlessServicesAreRequired(t *testing.T) {
	for _, c := range []struct{ require, want string }{
		{"", "skip"},
		{"0", "skip"},
		{"1", "fatal"},
	} {
		t.Run("REQUIRE_SERVICES="+c.require, func(t *testing.T) {
			t.Setenv("REQUIRE_SERVICES", c.require)
			ending := &recorder{TB: t}
			missing(ending)
			if ending.said[0] != c.want {
				t.Errorf("ended by %s, want %s", ending.said[0], c.want)
			}
		})
	}
}

// recorder notes how a test would have ended, first word first.
type recorder struct {
	testing.TB

	said []string
}

func (r *recorder) Skip(...any)  { r.said = append(r.said, "skip") }
func (r *recorder) Fatal(...any) { r.said = append(r.said, "fatal") }
