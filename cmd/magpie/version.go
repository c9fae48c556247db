package main

import (
	"context"
	"flag"
	"fmt"
	"runtime/debug"
)

var versionCommand = command{
	name:    "version",
	summary: "says which version this is",
	help: `Usage: magpie version [--json]

Says which version this is, from which commit, and by which Go it was built.

Example:
  magpie version
`,
	prepare: func(s *session, _ *flag.FlagSet) action {
		return func(_ context.Context, args []string) error {
			if err := none(args, "magpie version"); err != nil {
				return err
			}
			v := readVersion()
			return s.answer(v, func() { fmt.Fprintf(s.stdout, "magpie %s (%s, %s)\n", v.Version, v.Commit, v.Go) })
		}
	},
}

type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func readVersion() version {
	v := version{Version: "unknown", Commit: "unknown commit", Go: "unknown Go"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version, v.Go = info.Main.Version, info.GoVersion
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			v.Commit = setting.Value
		}
	}
	return v
}
