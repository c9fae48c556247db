// Command api is a process of a fleet: it takes requests in, over HTTP. It
// reads flags and signals; what it does is package app's business.
//
// Any number of them may run, over one PostgreSQL and one Redis. "api --help" lists the settings.
package main

import (
	"os"

	"github.com/magpie-hq/magpie/app"
)

func main() {
	os.Exit(app.Run(app.UntilSignal(), app.API, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}
