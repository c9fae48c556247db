// Command worker is a process of a fleet: it runs the tasks that the API hands out. It
// reads flags and signals; what it does is package app's business.
//
// Any number of them may run, over one PostgreSQL and one Redis. "worker --help" lists the settings.
package main

import (
	"os"

	"github.com/magpie-hq/magpie/app"
)

func main() {
	os.Exit(app.Run(app.UntilSignal(), app.Worker, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}
