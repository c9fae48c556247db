package app_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// fate is what becomes of something that a server answers.
type fate int

const (
	arrives  fate = iota
	vanishes      // and nobody is told
	breaks        // and the connection with it
)

// proxy stands before a Redis, so that answers get lost and another server can
// take its place.
type proxy struct {
	net.Listener

	answers atomic.Pointer[func() fate] // asked for each piece that the server says
	rewrite *strings.Replacer           // of what it is asked; nil to leave it

	mu     sync.Mutex
	target *redis.Options // how to reach the server
	pairs  map[net.Conn]net.Conn
}

// newProxy starts a proxy before a server, until the test ends.
func newProxy(t *testing.T, target *redis.Options, rewrite *strings.Replacer) *proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener, target: target, rewrite: rewrite, pairs: map[net.Conn]net.Conn{}}
	p.meanwhile(func() fate { return arrives })
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			from, err := p.Accept()
			if err != nil {
				return
			}
			p.join(from, &serving)
		}
	})
	t.Cleanup(func() {
		_ = p.Close() // it has no other end
		p.cut()
		serving.Wait()
	})
	return p
}

func (p *proxy) url() string { return "redis://" + p.Addr().String() }

// client is a client that goes through the proxy, as the fleet does.
func (p *proxy) client(t *testing.T) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: p.Addr().String()})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// meanwhile lets a fate befall what the server says.
func (p *proxy) meanwhile(answers func() fate) { p.answers.Store(&answers) }

// promote sends everybody to another server.
func (p *proxy) promote(target *redis.Options) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.cut()
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for from, to := range p.pairs {
		_, _ = from.Close(), to.Close() // they may be closed already
	}
	clear(p.pairs)
}

// join passes on what both sides say.
func (p *proxy) join(from net.Conn, serving *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to, err := net.Dial(p.target.Network, p.target.Addr)
	if err != nil {
		_ = from.Close() // the server is down: so are we
		return
	}
	p.pairs[from] = to
	end := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, _ = from.Close(), to.Close()
		delete(p.pairs, from)
	}
	serving.Go(func() {
		defer end()
		p.ask(from, to)
	})
	serving.Go(func() {
		defer end()
		p.answer(to, from)
	})
}

// ask passes on what a client says. A name that is torn between two pieces is
// not rewritten.
func (p *proxy) ask(from io.Reader, to io.Writer) {
	if p.rewrite == nil {
		_, _ = io.Copy(to, from) // either end may close at any time
		return
	}
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if _, err := p.rewrite.WriteString(to, string(piece[:n])); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// answer passes on what a server says, if that is its fate.
func (p *proxy) answer(from io.Reader, to io.Writer) {
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		switch (*p.answers.Load())() {
		case vanishes:
			continue
		case breaks:
			return
		case arrives:
		}
		if _, err := io.Copy(to, bytes.NewReader(piece[:n])); err != nil {
			return
		}
	}
}
