package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"
)

// jobVariable makes this program be another process of a benchmark: nothing
// else has to be built. It holds a job.
const jobVariable = "MAGPIE_BENCH_JOB"

// job is what another process of the benchmark does.
type job struct {
	Role     string            `json:"role"`
	Settings map[string]string `json:"settings,omitempty"` // of Magpie's own processes
	Database string            `json:"database,omitempty"`
	Redis    string            `json:"redis,omitempty"`
	Vendor   string            `json:"vendor,omitempty"`  // URL of the simulated vendors
	Latency  time.Duration     `json:"latency,omitempty"` // of the simulated vendors
	Rows     int               `json:"rows,omitempty"`
	InFlight int               `json:"in_flight,omitempty"`
	Profile  string            `json:"profile,omitempty"` // folder
	// The quota of the simulated vendors; 0: none.
	PerSecond  int           `json:"per_second,omitempty"`
	Concurrent int           `json:"concurrent,omitempty"`
	For        time.Duration `json:"for,omitempty"` // how long a leaser asks
}

// said is what a process says about itself on its standard error, in lines of
// JSON, as Magpie's own processes do.
type said struct {
	Msg       string  `json:"msg"`
	API       string  `json:"api"` // of the process that is ready
	PerSecond float64 `json:"per_second"`
}

const (
	ready    = "ready"
	measured = "measured"
)

func say(s said) {
	text, err := json.Marshal(s)
	if err != nil { // a rate that is no number
		text = []byte(err.Error())
	}
	fmt.Fprintln(os.Stderr, string(text)) // a parent that is gone ends us anyway
}

// child is a process of the benchmark. It ends when its standard input does, so
// that none is left behind.
func child(ctx context.Context, text string) int {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		err = j.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (j job) run(ctx context.Context) (err error) {
	do := roles[j.Role]
	if do == nil {
		return fmt.Errorf("bench: there is no role %q", j.Role)
	}
	if j.Profile != "" {
		f, err := os.Create(filepath.Join(j.Profile, fmt.Sprintf("%s-%d.pprof", j.Role, os.Getpid())))
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			return fmt.Errorf("bench: profile: %w", err)
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	return do(ctx, j)
}

// process is a running child.
type process struct {
	said

	role     string
	cmd      *exec.Cmd
	lifeline io.Closer
	lines    *bufio.Scanner
	log      strings.Builder // what it said before; for errors
}

// spawn starts a child and waits until it says that it is ready.
func (b *bed) spawn(ctx context.Context, j job) (*process, error) {
	j.Profile = b.profiles
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{role: j.Role, cmd: exec.CommandContext(ctx, exe)} //nolint:gosec // this very program
	p.cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	if p.lifeline, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(log)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start the %s: %w", j.Role, err)
	}
	if p.said, err = p.hear(ready); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// hear reads what the process says until it says msg.
func (p *process) hear(msg string) (said, error) {
	for p.lines.Scan() {
		var s said
		if json.Unmarshal(p.lines.Bytes(), &s) == nil && s.Msg == msg {
			return s, nil
		}
		p.log.WriteString("\n" + p.lines.Text())
	}
	return said{}, fmt.Errorf("bench: the %s ended before it was %s:%s", p.role, msg, p.log.String())
}

// ignore reads on, so that a process does not wait for its reader.
func (p *process) ignore() {
	go func() {
		for p.lines.Scan() {
			continue
		}
	}()
}

// stop lets the process end in order, and kills it if it takes too long.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	kill := time.AfterFunc(startTime, func() { _ = p.cmd.Process.Kill() }) // it may have ended
	defer kill.Stop()
	return errors.Join(p.lifeline.Close(), p.cmd.Wait())
}

// measureIn runs a job in a process of its own and returns what it measured.
func (b *bed) measureIn(ctx context.Context, j job) (float64, error) {
	p, err := b.spawn(ctx, j)
	if err != nil {
		return 0, err
	}
	s, err := p.hear(measured)
	return s.PerSecond, errors.Join(err, p.stop())
}
