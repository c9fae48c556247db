package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/client"
)

// environment is what a command finds where it is started.
type environment struct {
	get func(name string) string // of a variable; "" if it is not set
	dir string                   // in which it is started
	// poll is how often a batch is looked at; 0 for half a second.
	poll time.Duration
}

// session is one run of the program.
type session struct {
	env            environment
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // whether stderr is one
	json           bool // answers as JSON
	admin          bool // the administrator's key is used
	local          bool // the key comes from a folder, not from the environment
}

const defaultURL = "http://127.0.0.1:8080"

// url is where the server is.
func (s *session) url() string {
	if address := s.env.get("MAGPIE_URL"); address != "" {
		return address
	}
	return defaultURL
}

func (s *session) keyVariable() string {
	if s.admin {
		return "MAGPIE_ADMIN_KEY"
	}
	return "MAGPIE_API_KEY"
}

// customer returns a client with the key of an organization.
func (s *session) customer() (*client.Client, error) { return s.connect() }

// operator returns a client with the administrator's key.
func (s *session) operator() (*client.Client, error) {
	s.admin = true
	return s.connect()
}

func (s *session) connect() (*client.Client, error) {
	if _, err := client.New(s.url(), ""); err != nil { // before a key is looked for: which one depends on it
		return nil, wrong("export MAGPIE_URL="+defaultURL, "MAGPIE_URL is not the address of a server; it begins with http:// or https://")
	}
	key := s.env.get(s.keyVariable())
	if key == "" {
		key = s.localKey()
		s.local = key != ""
	}
	if key == "" {
		return nil, wrong("export "+s.keyVariable()+"=… (or run this in the folder in which 'magpie dev' runs)", "%s is not set", s.keyVariable())
	}
	return client.New(s.url(), key)
}

// localKey is the key of a 'magpie dev' that runs in the same folder, "" if
// there is none. It is shown to no other machine.
func (s *session) localKey() string {
	u, err := url.Parse(s.url())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(s.env.dir, ".magpie", "keys.json"))
	if err != nil {
		return ""
	}
	var keys app.Keys
	if err := json.Unmarshal(text, &keys); err != nil {
		s.say("warning", ".magpie/keys.json cannot be read; its keys are not used")
		return ""
	}
	if s.admin {
		return keys.Admin
	}
	return keys.API
}

// pause waits until a batch is worth another look, or ctx ends.
func (s *session) pause(ctx context.Context) error {
	poll := s.env.poll
	if poll == 0 {
		poll = 500 * time.Millisecond
	}
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// one returns the only argument of a command. what names it, try shows it.
func one(args []string, what, try string) (string, error) {
	switch {
	case len(args) == 0 || args[0] == "":
		return "", wrong(try, "%s is missing", what)
	case len(args) > 1:
		return "", wrong(try, "there is an argument too many: %q", args[1])
	}
	return args[0], nil
}

// none refuses arguments of a command that has none.
func none(args []string, try string) error {
	if len(args) > 0 {
		return wrong(try, "there is an argument too many: %q", args[0])
	}
	return nil
}

// reason returns the innermost cause that is worth showing of a file's error:
// its path is said by the caller.
func reason(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}
