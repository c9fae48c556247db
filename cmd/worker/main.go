// Command worker is a process of a fleet: it runs the tasks that the API hands out. It
// reads flags and signals; what it does is package app's business.
//
// Any number of them may run, over one PostgreSQL and one Redis. "worker --help" lists the settings.
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
	os.Exit(app.Run(ctx, app.Worker, os.Args[1:], os.Getenv, os.Stderr))
}
