package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/magpie-hq/magpie/client"
)

// progress shows how far a batch is: on a terminal as a bar that is redrawn,
// elsewhere as a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	drawn    bool          // a bar stands on the terminal's line
	status   client.Status // as last written
	done     int64
	written  time.Time
}

func newProgress(w io.Writer, terminal bool) *progress {
	return &progress{w: w, terminal: terminal}
}

// quiet is how long a batch must go on before another line is written of it.
const quiet = 3 * time.Second

func (p *progress) show(b client.Batch) {
	line := describe(b)
	if p.terminal {
		line = bar(b.Rows.Done, b.Rows.Total) + " " + line
		if room := []rune(line); len(room) >= widthOf(p.w) {
			line = string(room[:widthOf(p.w)-1])
		}
		p.drawn = true
		fmt.Fprintf(p.w, "\r%s\x1b[K", line)
		return
	}
	now := time.Now()
	if b.Status == p.status && (b.Rows.Done == p.done || now.Sub(p.written) < quiet) {
		return
	}
	p.status, p.done, p.written = b.Status, b.Rows.Done, now
	fmt.Fprintln(p.w, clean(b.ID), line)
}

// end leaves the bar's line.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
	}
	p.drawn = false
}

// describe says in one line how a batch is doing.
func describe(b client.Batch) string {
	line := fmt.Sprintf("%s %d/%d found %d charged %s", clean(string(b.Status)), b.Rows.Done, b.Rows.Total, b.Rows.Found, b.Credits.Charged)
	switch {
	case b.Status == client.Paused && b.Credits.Needed > 0:
		line += fmt.Sprintf(" needs %s credits", b.Credits.Needed)
	case b.RowsPerSecond != nil && b.ETASeconds != nil:
		line += fmt.Sprintf(" %.0f/s %s left", *b.RowsPerSecond, time.Duration(*b.ETASeconds*float64(time.Second)).Round(time.Second))
	}
	return line
}

func bar(done, total int64) string {
	const width = 20
	full := 0
	if total > 0 {
		full = int(min(max(done, 0), total) * width / total)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}
