package providers_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
)

// TestTickets asks vendors of which the second works on jobs, in every state
// that a job can be in.
func TestTickets(t *testing.T) {
	t.Parallel()
	young, old := time.Now().Add(-time.Second), time.Now().Add(-time.Hour)
	pending := providers.Answer{Outcome: providers.Pending, Ticket: "job", After: 4 * time.Second}
	hit := providers.Answer{Outcome: providers.Hit, Result: map[string]any{"email": "ada@acme.test", "status": "valid"}}
	down := providers.Answer{Outcome: providers.Transient, NotAsked: true}
	cases := []struct {
		name   string
		held   providers.Trail
		slow   providers.Answer // of the asynchronous vendor
		third  providers.Answer
		asked  []string
		ticket string
		found  bool
	}{
		{"ordered", nil, pending, hit, []string{"first", "slow"}, "job", false},
		{"still working", providers.Trail{"slow": {Ticket: "job", At: young}}, pending, hit, []string{"slow"}, "job", false},
		{"for too long", providers.Trail{"slow": {Ticket: "job", At: old}}, pending, hit, []string{"slow", "first", "third"}, "", true},
		{"for too long, nobody else", providers.Trail{"slow": {Ticket: "job", At: old}}, pending, miss, []string{"slow", "first", "third"}, "job", false},
		{"done", providers.Trail{"slow": {Ticket: "job", At: young}}, hit, hit, []string{"slow"}, "", true},
		{"done with nothing", providers.Trail{"slow": {Ticket: "job", At: young}}, miss, hit, []string{"slow", "first", "third"}, "", true},
		{"not reached", providers.Trail{"slow": {Ticket: "job", At: young}}, down, hit, []string{"slow"}, "job", false},
		{"ended without credits", providers.Trail{"slow": {Ticket: "job", At: young}}, providers.Answer{Outcome: providers.Quota}, providers.Answer{Outcome: providers.Transient},
			[]string{"slow", "first", "third"}, "", false},
		{"parked", providers.Trail{"slow": {Ticket: "job", At: young}}, providers.Answer{Outcome: providers.Quota, NotAsked: true}, hit, []string{"slow"}, "job", false},
		{"another's ticket", providers.Trail{"gone": {Ticket: "job", At: young}}, miss, hit, []string{"first", "slow", "third"}, "", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			stub := func(name string, a providers.Answer) providers.Provider {
				return &scripted{name: name, ask: func(context.Context) providers.Answer { asked = append(asked, name); return a }}
			}
			w := &providers.Waterfall{Asynchronous: true, Providers: []providers.Provider{stub("first", miss), stub("slow", c.slow), stub("third", c.third)}}
			v := w.Ask(providers.WithTrail(t.Context(), c.held), finder("acme.test"))
			if !slices.Equal(asked, c.asked) || v.Trail["slow"].Ticket != c.ticket || (v.Outcome == lookup.Found) != c.found {
				t.Errorf("asked %v, ticket %v, %s", asked, v.Trail, v.Outcome)
			}
			if held, ok := c.held["slow"]; ok && c.ticket != "" && !v.Trail["slow"].At.Equal(held.At) {
				t.Errorf("the job is of %s, was %s", v.Trail["slow"].At, held.At)
			}
			if c.name == "ordered" && v.Later != 4*time.Second {
				t.Errorf("later is %s", v.Later)
			}
		})
	}
}

// miss is the answer of a vendor that has nothing.
var miss = providers.Answer{Outcome: providers.Miss}

// scripted is a provider of the email finder that says what it is told to.
type scripted struct {
	name string
	ask  func(ctx context.Context) providers.Answer
}

func (s *scripted) Name() string               { return s.name }
func (s *scripted) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }
func (s *scripted) Ask(ctx context.Context, _ lookup.Query) providers.Answer {
	return s.ask(ctx)
}

func finder(domain string) lookup.Query {
	return lookup.Query{Service: lookup.EmailFinder, Fields: lookup.Fields{"full_name": "ada byron", "domain": domain}}
}
