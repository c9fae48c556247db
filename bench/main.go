package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/app"
)

func main() {
	ctx := app.UntilSignal()
	if text := os.Getenv(jobVariable); text != "" {
		os.Exit(child(ctx, text))
	}
	os.Exit(command(ctx, os.Args[1:], os.Stderr))
}

// command is the whole program. It returns the exit code: 1 if a benchmark did
// not come to its end, 2 for a mistake in the flags.
func command(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	name := flags.String("name", "", "the one figure to measure; all of them if empty")
	out := flags.String("out", filepath.Join("build", "bench.json"), "where to write the figures")
	b := &bed{log: stderr, settings: map[string]string{}}
	flags.IntVar(&b.rounds, "rounds", 3, "how often each side is measured")
	flags.IntVar(&b.rows, "rows", 100_000, "rows of a batch")
	flags.IntVar(&b.download, "download", 1_000_000, "rows of the batch that is downloaded")
	flags.DurationVar(&b.quotaTime, "quota", time.Minute, "how long processes share a vendor's quota")
	flags.StringVar(&b.profiles, "profile", "", "folder for CPU profiles of all processes; none if empty")
	flags.Func("set", "a setting of Magpie's processes to measure with, such as CHUNK_ROWS=500; may be repeated", func(text string) error {
		setting, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("want NAME=value")
		}
		b.settings[setting] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if b.rounds < 1 || b.rows < 1000 || b.download < 1000 || flags.NArg() > 0 {
		b.sayf("want no arguments, -rounds of 1 or more, -rows and -download of 1000 or more")
		return 2
	}
	chosen := choose(*name)
	if len(chosen) == 0 {
		b.sayf("there is no figure %q; want one of %v", *name, names())
		return 2
	}
	figures, err := b.measure(ctx, chosen)
	if *name != "" {
		figures = slices.DeleteFunc(figures, func(f figure) bool { return f.Name != *name })
	}
	if err = errors.Join(err, write(*out, figures)); err != nil {
		b.sayf("error: %v", err)
		return 1
	}
	return 0
}

// write keeps the figures, also those of a run that was cut short.
func write(file string, figures []figure) error {
	text, err := json.MarshalIndent(figures, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o750)
	}
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("bench: write the figures: %w", err)
	}
	return nil
}
