package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// command is something that magpie can do.
type command struct {
	name    string
	summary string
	help    string // written by hand; ends in an example that works
	// prepare declares the flags and returns what runs once they are parsed.
	prepare func(s *session, flags *flag.FlagSet) action
}

// action does the work, with the arguments that are not flags.
type action func(ctx context.Context, args []string) error

// commands are in the order of the help text.
func commands() []command {
	return []command{
		submitCommand, watchCommand, resultsCommand, batchesCommand,
		pauseCommand, resumeCommand, cancelCommand, capCommand,
		lookupCommand, creditsCommand,
		adminOrgCommand, adminKeyCommand, adminGrantCommand, adminAuditCommand, adminProvidersCommand,
		demoCommand, devCommand, simulateCommand, versionCommand,
	}
}

// dispatch finds the command and runs it.
func dispatch(ctx context.Context, s *session, args []string) error {
	if len(args) > 0 && isJSON(args[0]) { // before the command it does as well
		args = append(args[1:], args[0])
	}
	if len(args) == 0 {
		fmt.Fprint(s.stderr, overview())
		return errQuiet
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return help(s, args[1:])
	case "--version", "-version":
		args[0] = "version"
	}
	if len(args) == 2 && args[0] == "admin" && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[1]) {
		return help(s, args[:1])
	}
	c, rest, err := find(args)
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&s.json, "json", false, "")
	act := c.prepare(s, flags)
	positional, err := parse(flags, rest)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(s.stdout, c.help)
		return nil
	}
	if err != nil {
		return wrong("magpie help "+c.name, "%s: %w", c.name, err)
	}
	return act(ctx, positional)
}

func isJSON(arg string) bool { return arg == "--json" || arg == "-json" }

// find reads the command's name, which has one word or two.
func find(args []string) (c command, rest []string, err error) {
	var names []string
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == c.name {
			return c, args[len(words):], nil
		}
		names = append(names, c.name)
	}
	if args[0] == "admin" {
		return command{}, nil, findAdmin(args[1:])
	}
	return command{}, nil, wrong(suggest(args[0], names, "magpie "), "there is no command %q", args[0])
}

func findAdmin(args []string) error {
	var known []string
	for _, c := range commands() {
		if name, admin := strings.CutPrefix(c.name, "admin "); admin {
			known = append(known, name)
		}
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return wrong("magpie help admin", "admin needs to know what: %s", strings.Join(known, ", "))
	}
	return wrong(suggest(args[0], known, "magpie admin "), "there is no command %q", "admin "+args[0])
}

// suggest returns a command to try for a misspelt word, which stands after
// before.
func suggest(word string, known []string, before string) string {
	if near := nearest(word, known); near != "" {
		return before + near
	}
	return strings.TrimSpace("magpie help " + strings.TrimPrefix(before, "magpie "))
}

var negativeNumber = regexp.MustCompile(`^-[0-9.]`)

// parse reads flags before, between and after the other arguments, until "--".
func parse(flags *flag.FlagSet, args []string) (positional []string, err error) {
	for len(args) > 0 {
		if negativeNumber.MatchString(args[0]) { // an amount, not a flag
			positional, args = append(positional, args[0]), args[1:]
			continue
		}
		if err := flags.Parse(args); err != nil {
			return nil, readable(err, flags)
		}
		rest := flags.Args()
		if parsed := len(args) - len(rest); parsed > 0 && args[parsed-1] == "--" {
			return append(positional, rest...), nil
		}
		if len(rest) == 0 {
			break
		}
		positional, args = append(positional, rest[0]), rest[1:]
	}
	return positional, nil
}

// readable puts the flag package's errors into our words.
func readable(err error, flags *flag.FlagSet) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	text := err.Error()
	if name, unknown := strings.CutPrefix(text, "flag provided but not defined: -"); unknown {
		name = strings.TrimPrefix(name, "-")
		var known []string
		flags.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
		if near := nearest(name, known); near != "" {
			return fmt.Errorf("there is no flag --%s; did you mean --%s?", name, near)
		}
		return fmt.Errorf("there is no flag --%s", name)
	}
	if name, missing := strings.CutPrefix(text, "flag needs an argument: -"); missing {
		return fmt.Errorf("the flag --%s needs a value after it", strings.TrimPrefix(name, "-"))
	}
	return errors.New(strings.NewReplacer(" for flag -", " for --", " for -", " for --").Replace(text))
}

// nearest returns the known word that is spelt most alike, or "" if none is.
func nearest(word string, known []string) string {
	best, distance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := edits(word, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// edits counts the letters to insert, drop or replace between two words
// (Levenshtein's distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}
