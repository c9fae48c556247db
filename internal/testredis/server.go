package testredis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// guard runs a server for as long as its own standard input is open. The test
// binary holds the other end, so the server and its directory go when the
// binary goes: at its end, by a panic, a time limit or kill -9. The shell closes
// its output, so that the server is the only one to hold it, and outlives an
// interrupt from the keyboard to tidy up.
const guard = `trap "" INT; "$@" & exec >&-; read -r _; kill -9 $!; wait $!; rm -rf "$dir"`

// process is a running server.
type process struct {
	socket   string
	cmd      *exec.Cmd
	lifeline io.WriteCloser // guard's input; held here, for a pipe that nothing refers to gets closed
}

// start runs the real Redis, the first time it is called. The process is nil if
// no Redis is installed.
var start = sync.OnceValues(func() (*process, error) { return launch() })

// launch runs a Redis with further options, in a folder that goes with it.
func launch(options ...string) (*process, error) {
	if find() == "" {
		return nil, nil //nolint:nilnil // an installation without Redis is no error here; missing decides
	}
	dir, err := os.MkdirTemp("", "testredis-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the server: %w", err)
	}
	return launchIn(dir, false, options...)
}

// launchIn runs a Redis in a folder that is kept when the server ends, or not.
func launchIn(dir string, keep bool, options ...string) (*process, error) {
	socket := filepath.Join(dir, "redis.sock")
	// No context: the server outlives every single test.
	options = append([]string{
		"-c", guard, "guard", find(), "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no",
		"--databases", strconv.Itoa(databases), "--loglevel", "notice",
	}, options...)
	cmd := exec.CommandContext(context.Background(), "sh", options...) //nolint:gosec // the program is Redis, as found on PATH
	remove := dir
	if keep {
		remove = ""
	}
	cmd.Env = append(os.Environ(), "dir="+remove)
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	log, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", find(), err)
	}
	return &process{socket, cmd, lifeline}, awaitReady(log)
}

// find returns the path of a Redis server, or "" if none is installed.
func find() string {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// awaitReady reads a server's log until it accepts connections. A server that
// ends before that, has its log as the error.
func awaitReady(log io.ReadCloser) error {
	var read strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(strings.ToLower(lines.Text()), "ready to accept connections") {
			return log.Close() // what follows is of no interest, and must not fill the pipe
		}
		read.WriteString("\n" + lines.Text())
	}
	return errors.New("the server ended before it was ready; its log:" + read.String())
}
