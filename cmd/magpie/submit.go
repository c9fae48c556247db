package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

const submitExample = "magpie submit people.csv --service email-finder --watch"

var submitCommand = command{
	name:    "submit",
	summary: "submits a file as a batch",
	help: `Usage: magpie submit FILE --service SERVICE [flags]

Submits a file as a batch. FILE is CSV with a header line, NDJSON or a JSON list
of objects; "-" reads it from stdin. Columns are found by their names ("First
Name", "firstname", "prénom"…). A batch dearer than the balance is accepted, and
pauses when credits run out.

Flags:
  --service SERVICE        ` + serviceNames("\n                           ") + `
  --watch                  follow the batch until it ends or pauses
  --name NAME              what to call the batch (default: the file's name)
  --mapping FIELD=COLUMN   the file's column for a field, where its name does not
                           say so; may be given several times
  --max-credits CREDITS    pause the batch when so much has been charged for it
  --accept-catch-all       also pay for addresses at domains that accept all
  --format FORMAT          csv, ndjson or json (default: by the file's ending;
                           csv for stdin)
  --idempotency-key KEY    submitting again under the same key makes no second
                           batch
  --json                   answer with the batch as JSON

Example:
  ` + submitExample + `
`,
	prepare: func(s *session, flags *flag.FlagSet) action {
		r := submission{mapping: map[string]string{}}
		flags.StringVar(&r.service, "service", "", "")
		flags.BoolVar(&r.watch, "watch", false, "")
		flags.StringVar(&r.name, "name", "", "")
		flags.Func("mapping", "", r.addMapping)
		flags.StringVar(&r.most, "max-credits", noCap, "")
		flags.BoolVar(&r.catchAll, "accept-catch-all", false, "")
		flags.StringVar(&r.format, "format", "", "")
		flags.StringVar(&r.key, "idempotency-key", "", "")
		return func(ctx context.Context, args []string) error { return s.submit(ctx, r, args) }
	},
}

// submission is what was asked for on the command line.
type submission struct {
	service, name, format, key, most string
	mapping                          map[string]string
	watch, catchAll                  bool
}

func (r submission) addMapping(text string) error {
	field, column, ok := strings.Cut(text, "=")
	if !ok || field == "" || column == "" {
		return errors.New("want FIELD=COLUMN, such as first_name=Vorname")
	}
	r.mapping[field] = column
	return nil
}

// mediaTypes are the formats of --format.
var mediaTypes = map[string]string{"": "", "csv": "text/csv", "ndjson": "application/x-ndjson", "json": "application/json"}

func (s *session) submit(ctx context.Context, r submission, args []string) error {
	file, err := one(args, "the file to submit", submitExample)
	if err != nil {
		return err
	}
	service, err := parseService(r.service, func(known lookup.Service) string {
		return "magpie submit " + quoted(file) + " --service " + string(known)
	})
	if err != nil {
		return err
	}
	media, ok := mediaTypes[r.format]
	if !ok {
		return wrong(submitExample+" --format csv", "--format is %q, want csv, ndjson or json", r.format)
	}
	if err := checkMapping(service, r.mapping); err != nil {
		return err
	}
	most, err := parseCap(r.most, "--max-credits", submitExample+" --max-credits 500")
	if err != nil {
		return err
	}
	api, err := s.customer()
	if err != nil {
		return err
	}
	q := client.SubmitRequest{
		Service: service, Reader: s.stdin, ContentType: media, Name: r.name,
		Mapping: r.mapping, AcceptCatchAll: r.catchAll, MaxCredits: most, IdempotencyKey: r.key,
	}
	if file == "-" {
		if media == "" {
			q.ContentType = mediaTypes["csv"]
		}
	} else {
		opened, err := open(file)
		if err != nil {
			return err
		}
		defer func() { _ = opened.Close() }() // only read
		q.Reader, q.Filename = opened, file
		if q.Name == "" {
			q.Name = strings.ToValidUTF8(filepath.Base(file), "?")
		}
	}
	return s.submitted(ctx, api, q, r.watch)
}

// submitted submits and says what became of it.
func (s *session) submitted(ctx context.Context, api *client.Client, q client.SubmitRequest, watch bool) error {
	b, err := api.Submit(ctx, q)
	if err != nil {
		return err
	}
	if watch {
		return s.watch(ctx, api, b.ID, false)
	}
	return s.answer(b, func() {
		s.table([][]string{{
			b.ID, string(b.Status), fmt.Sprintf("%d rows", b.Rows.Total), fmt.Sprintf("at most %s credits", b.Credits.Max),
		}})
		s.say("hint", "follow it with: magpie watch "+b.ID)
	})
}

// open opens a file to submit.
func open(file string) (io.ReadSeekCloser, error) {
	opened, err := os.Open(file) //nolint:gosec // the caller says which file to send
	if err == nil {
		var info os.FileInfo
		if info, err = opened.Stat(); err == nil && info.IsDir() {
			err = errors.Join(errors.New("it is a folder, want a file"), opened.Close())
		}
	}
	if err != nil {
		return nil, wrong(submitExample, "the file %q cannot be read: %w", file, reason(err))
	}
	return opened, nil
}

// parseService reads the service's name. try is a command with a service.
func parseService(name string, try func(lookup.Service) string) (lookup.Service, error) {
	if name == "" {
		return "", wrong(try(lookup.EmailFinder), "the service is missing; want one of %s", serviceNames(" "))
	}
	service, err := lookup.ParseService(name)
	if err != nil {
		example := lookup.EmailFinder
		if near := nearest(name, serviceList()); near != "" {
			example = lookup.Service(near)
		}
		return "", wrong(try(example), "%w", err)
	}
	return service, nil
}

func checkMapping(service lookup.Service, mapping map[string]string) error {
	for field, column := range mapping {
		if err := checkField(service, field, submitExample+" --mapping %s="+quoted(column)); err != nil {
			return err
		}
	}
	return nil
}

// checkField refuses a field that the service does not know. try is a command
// with %s where the field stands.
func checkField(service lookup.Service, field, try string) error {
	known := service.QueryFields()
	if slices.Contains(known, field) {
		return nil
	}
	near := nearest(field, known)
	if near == "" {
		near = known[0]
	}
	return wrong(strings.Replace(try, "%s", near, 1), "%s has no field %q; want %s", service, field, strings.Join(known, ", "))
}

func serviceList() []string {
	var names []string
	for _, service := range lookup.Services {
		names = append(names, string(service))
	}
	return names
}

// serviceNames lists the services, three on a line.
func serviceNames(lineEnd string) string {
	var lines []string
	for three := range slices.Chunk(serviceList(), 3) {
		lines = append(lines, strings.Join(three, ", "))
	}
	return strings.Join(lines, ","+lineEnd)
}

// quoted writes an argument as a shell reads it.
func quoted(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./+@:", r)
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
