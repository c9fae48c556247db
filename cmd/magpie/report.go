package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

// The exit codes.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitPaused // for credits or at a cap
)

// failure is an error with a remedy.
type failure struct {
	code int
	err  error
	hint string // what to do; "" if the error says it
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// errQuiet means used wrongly, and that the help shown says all there is to say.
var errQuiet = &failure{code: exitUsage}

// wrong is a usage error. try is a command that shows how it is done.
func wrong(try, format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...), "try: " + try}
}

// failed is an error that is not the caller's mistake.
func failed(hint string, err error) error { return &failure{exitFailed, err, hint} }

// report writes an error, if there is one, and returns the exit code.
func (s *session) report(err error) int {
	if err == nil {
		return exitDone
	}
	f := s.explain(err)
	if f.err == nil {
		return f.code
	}
	for line := range strings.SplitSeq(f.err.Error(), "\n") { // of several mistakes at once
		s.say("error", line)
	}
	if refusal, ok := errors.AsType[*client.Error](err); ok {
		for _, field := range refusal.Errors[min(1, len(refusal.Errors)):] { // the first is in the detail
			s.say("error", field.Param+": "+field.Detail)
		}
	}
	if f.hint != "" {
		s.say("hint", f.hint)
	}
	return f.code
}

// explain finds out what can be done about an error.
func (s *session) explain(err error) *failure {
	var known *failure
	var refusal *client.Error
	var network *url.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled):
		return &failure{code: exitFailed, err: errors.New("stopped before it was done")}
	case errors.As(err, &refusal):
		return &failure{exitFailed, err, s.remedy(refusal)}
	case errors.As(err, &network):
		return &failure{exitFailed, fmt.Errorf("there is no answer from %s: %w", s.url(), network.Err),
			"start a server with 'magpie dev', or set MAGPIE_URL to the address of yours"}
	}
	return &failure{code: exitFailed, err: err}
}

// remedy is the hint for a refusal, where its detail is not enough.
func (s *session) remedy(e *client.Error) string {
	switch e.Code {
	case client.CodeMissingAuth:
		return "set " + s.keyVariable() + ", or run this in the folder in which 'magpie dev' runs"
	case client.CodeInvalidKey:
		if s.local {
			return "the keys in .magpie are not this server's; give its address in MAGPIE_URL or its key in " + s.keyVariable()
		}
		if s.admin {
			return "check MAGPIE_ADMIN_KEY; it is the setting ADMIN_KEY of the api, and the one that 'magpie dev' prints"
		}
		return "check " + s.keyVariable() + "; an operator makes keys with: magpie admin key create ORG --name NAME"
	case client.CodePermissions:
		return "admin commands use MAGPIE_ADMIN_KEY, all others MAGPIE_API_KEY; check that they are not swapped"
	case client.CodeInsufficient:
		if len(e.Errors) > 0 && e.Errors[0].Code == client.CodeCap {
			return keyCapHint
		}
		return buyHint(e.BuyURL, e.CreditsRequired)
	case client.CodeMediaType:
		return "say what the file is: --format csv, ndjson or json"
	case client.CodeNotFound:
		if s.admin {
			return "try: magpie admin org list"
		}
		return "try: magpie batches"
	}
	if e.RequestID != "" && e.Status == http.StatusInternalServerError {
		return "tell the operator the request's id: " + e.RequestID
	}
	return ""
}

// keyCapHint says how a key's cap is raised.
const keyCapHint = "an operator raises the key's monthly cap with: magpie admin key cap ORG KEY CREDITS"

// buyHint says how credits are bought.
func buyHint(buyURL string, needed *lookup.Credits) string {
	if buyURL != "" {
		return "buy credits at " + buyURL
	}
	amount := "CREDITS"
	if needed != nil {
		amount = needed.String()
	}
	return "an operator grants credits with: magpie admin grant ORG " + amount + " --source purchase (magpie admin org list shows ORG)"
}

// say writes a line for people to stderr. kind is error, warning or hint.
func (s *session) say(kind, text string) {
	fmt.Fprintf(s.stderr, "%s: %s\n", kind, clean(text))
}

// answer writes v as JSON, or else what text writes.
func (s *session) answer(v any, text func()) error {
	if !s.json {
		text()
		return nil
	}
	out := json.NewEncoder(s.stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
