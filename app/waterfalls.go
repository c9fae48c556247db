package app

import (
	"context"
	"strings"

	"github.com/magpie-hq/magpie/providers/plan"
)

// setWaterfalls reads the file with the waterfalls.
func setWaterfalls(c *Config, name string) error {
	p, err := plan.Read(name, knownProviders(), standardPlan())
	if err != nil {
		return err
	}
	c.WaterfallsFile, c.Waterfalls = name, p
	return nil
}

// Reload reads the file with the waterfalls again. Lookups under way go on in
// the waterfalls they began with. With a mistake in the file everything stays as
// it is, and the log has each mistake.
func (a *App) Reload(ctx context.Context) {
	if a.cfg.WaterfallsFile == "" {
		a.cfg.Log.WarnContext(ctx, "nothing to read again: WATERFALLS names no file, and the other settings are read at the start only")
		return
	}
	p, err := plan.Read(a.cfg.WaterfallsFile, knownProviders(), standardPlan())
	if err != nil {
		for mistake := range strings.SplitSeq(err.Error(), "\n") {
			a.cfg.Log.ErrorContext(ctx, "the waterfalls stay as they are: a mistake in the file", "mistake", mistake)
		}
		return
	}
	a.waterfalls.Set(a.build(ctx, p))
	a.cfg.Log.InfoContext(ctx, "waterfalls read again", "file", a.cfg.WaterfallsFile)
}
