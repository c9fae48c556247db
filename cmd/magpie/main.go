package main

import (
	"context"
	"io"
	"os"

	"github.com/magpie-hq/magpie/app"
)

func main() {
	ctx := app.UntilSignal()
	here := environment{get: os.Getenv, dir: "."}
	os.Exit(run(ctx, os.Args[1:], here, os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. It returns the exit code.
func run(ctx context.Context, args []string, env environment, stdin io.Reader, stdout, stderr io.Writer) int {
	s := &session{env: env, stdin: stdin, stdout: stdout, stderr: stderr, terminal: isTerminal(stderr)}
	if isTerminal(stdout) {
		s.stdout = &cleaner{w: stdout}
	}
	return s.report(dispatch(ctx, s, args))
}
