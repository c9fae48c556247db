package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopTime bounds how long a stopping process waits for requests: uploads and
// downloads under way. Workers' chunks have a time of their own.
const stopTime = 30 * time.Second

// Run is the whole command of a fleet's process: it reads flags and settings,
// runs until ctx ends, and returns the exit code: 0 after an orderly stop, 1
// after a failure, 2 if the operator has to change something first. What a flag
// asks for is written to stdout, logs and mistakes to stderr.
func Run(ctx context.Context, role Role, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(string(role), flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	validate := flags.Bool("validate", false, "check the settings, print them without secrets, and exit")
	flags.Usage = func() {} // said below: asked for, or as a remedy
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage(role, stdout)
		return 0
	case err == nil && flags.NArg() > 0: // "worker validate" would start one
		err = fmt.Errorf("there is an argument too many: %q", flags.Arg(0))
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "error: %v\nhint: %s takes --validate and --help; its settings are environment variables\n", err, role)
		return 2
	}
	cfg, err := FromEnv(role, getenv)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "error: the settings of the %s are not usable:\n%v\nhint: %s --help lists them all\n", role, err, role)
		return 2
	}
	if *validate {
		_, _ = fmt.Fprint(stdout, Describe(role, getenv))
		return 0
	}
	cfg.Log = slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: cfg.LogLevel})).With("role", string(role))
	defer TakeHeadroom()()
	if err := serve(ctx, cfg); err != nil {
		cfg.Log.ErrorContext(ctx, "the process ends", "err", err)
		return 1
	}
	return 0
}

// serve runs a process until ctx ends. SIGHUP makes it read the waterfalls again.
func serve(ctx context.Context, cfg Config) error {
	again := make(chan os.Signal, 1) // from the start on: the signal must not end a process that waits
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	a, err := New(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while it waited for a server
		}
		return err
	}
	err = a.Start() //nolint:contextcheck // it ends with Stop, not with a context
	if err == nil {
		cfg.Log.InfoContext(ctx, "ready", "api", a.URL(), "operations", a.OpsURL())
		a.run(ctx, again)
		cfg.Log.InfoContext(ctx, "stopping")
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if stopErr := a.Stop(stopping); err == nil {
		err = stopErr
	}
	return err
}

// run waits until ctx ends.
func (a *App) run(ctx context.Context, again <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
			a.Reload(ctx)
		}
	}
}

func usage(role Role, w io.Writer) {
	_, _ = fmt.Fprintf(w, "Usage: %s [--validate]\n\nRuns Magpie's %s until it is interrupted. It is set up by the environment:\n\n", role, role)
	for _, s := range Settings() {
		for _, r := range s.Roles {
			if r != role {
				continue
			}
			_, _ = fmt.Fprintf(w, "  %s", s.Name)
			if s.Default != "" {
				_, _ = fmt.Fprintf(w, " (default %s)", s.Default)
			}
			_, _ = fmt.Fprintf(w, "\n      %s\n", s.Help)
		}
	}
	_, _ = fmt.Fprintf(w, "\n--validate checks the settings, prints them without secrets, and exits with 0 or 2.\n")
}
