// Command api is a process of a fleet: it takes requests in, over HTTP. It
// reads flags and signals; what it does is package app's business.
//
// Any number of them may run, over one PostgreSQL and one Redis. "api --help" lists the settings.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/magpie-hq/magpie/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(app.Run(ctx, app.API, os.Args[1:], os.Getenv, os.Stderr))
}
