package plan_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/providers/plan"
)

var known = plan.Known{
	"hunter":  {lookup.EmailFinder},
	"prospeo": {lookup.EmailFinder, lookup.CompanyFinder},
	"local":   {lookup.MobileValidation},
}

var standard = plan.Plan{
	lookup.EmailFinder:      {Order: []string{"hunter", "prospeo"}},
	lookup.MobileValidation: {Order: []string{"local"}},
}

const whole = `
costs:
  hunter: {hit: 0.034}
  prospeo: {call: 0.000001, hit: 2, repeats: free}
  local: {call: 0}
waterfalls:
  email-finder:
    budget: {time: 45s, cost: 0.05}
    order:
      - provider: prospeo
        timeout: 10s
        when: {country: [DE, AT, NO], has: [domain]}
      - hunter
  company-finder:
    order: []
`

func parse(text string) (plan.Plan, error) {
	return plan.Parse("waterfalls.yaml", []byte(text), known, standard)
}

func TestPlan(t *testing.T) {
	t.Parallel()
	got, err := parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	want := plan.Plan{
		lookup.EmailFinder: {
			Order:  []string{"prospeo", "hunter"},
			Budget: providers.Budget{Time: 45 * time.Second, Cost: 50_000},
			Terms: map[string]providers.Terms{
				"prospeo": {
					Timeout: 10 * time.Second, PerCall: 1, PerHit: 2 * providers.CostUnit, FreeRepeats: true,
					When: providers.Condition{Countries: []string{"DE", "AT", "NO"}, Has: []string{"domain"}},
				},
				"hunter": {PerHit: 34_000},
			},
		},
		lookup.CompanyFinder:    {Terms: map[string]providers.Terms{}},
		lookup.MobileValidation: {Order: []string{"local"}, Terms: map[string]providers.Terms{"local": {}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// Services that the file does not name keep their order, and get their costs.
func TestCostsAlone(t *testing.T) {
	t.Parallel()
	got, err := parse("costs: {prospeo: {hit: 1}}")
	if err != nil || !reflect.DeepEqual(got[lookup.EmailFinder].Order, standard[lookup.EmailFinder].Order) ||
		got[lookup.EmailFinder].Terms["prospeo"].PerHit != providers.CostUnit {
		t.Errorf("%+v, %v", got, err)
	}
	if standard[lookup.EmailFinder].Terms != nil {
		t.Error("the standard plan was changed")
	}
}

// Every mistake is told at once, each with its line and the remedy.
func TestMistakes(t *testing.T) {
	t.Parallel()
	text := `surplus: 1
costs:
  huntr: {hit: 1}
  hunter: {hit: -1, cal: 2}
  prospeo: {call: 0.0000001, repeats: never}
  prospeo: {}
waterfalls:
  email-finding: {order: []}
  email-finder:
    budget: {time: 2h, cost: 0}
    order:
      - prospeo
      - prospeo
      - local
      - provider: hunter
        timeout: soon
        when: {country: [de, UK], has: [iban], never: 1}
      - timeout: 5s
      - [hunter]
  company-finder: {}
  mobile-validation:
`
	_, err := parse(text)
	if err == nil {
		t.Fatal("no mistake was found")
	}
	want := []string{
		`waterfalls.yaml:1: the file has no "surplus"; want costs, waterfalls`,
		`waterfalls.yaml:3: there is no provider "huntr"; want one of hunter, local, prospeo`,
		`waterfalls.yaml:4: costs of hunter: hit is "-1", want an amount from 0`,
		`waterfalls.yaml:4: costs of hunter has no "cal"; want call, hit, repeats`,
		`waterfalls.yaml:5: costs of prospeo: call is "0.0000001", want an amount`,
		`waterfalls.yaml:5: costs of prospeo: repeats is "never", want free or charged`,
		`waterfalls.yaml:6: costs has "prospeo" twice; keep one`,
		`waterfalls.yaml:8: there is no service "email-finding"; want one of email-finder`,
		`waterfalls.yaml:10: email-finder: budget: time is "2h", want a time such as 500ms or 20s, at most 1h`,
		`waterfalls.yaml:10: email-finder: budget: cost is 0, want more; leave it out`,
		`waterfalls.yaml:13: email-finder: order has prospeo twice; keep one`,
		`waterfalls.yaml:14: local cannot be asked for email-finder; take it out`,
		`waterfalls.yaml:16: email-finder: a provider of order: timeout is "soon", want a time`,
		`waterfalls.yaml:17: email-finder: when: there is no country "de"; want a code of ISO 3166-1`,
		`waterfalls.yaml:17: email-finder: when: there is no country "UK"`,
		`waterfalls.yaml:17: email-finder: when: questions have no "iban"; want one of first_name`,
		`waterfalls.yaml:17: email-finder: when has no "never"; want country, has`,
		`waterfalls.yaml:18: email-finder: a provider of order has no name; want provider: NAME`,
		`waterfalls.yaml:19: there is no provider ""`,
		`waterfalls.yaml:20: company-finder has no order; want the providers to ask`,
		`waterfalls.yaml:21: mobile-validation is not a mapping`,
	}
	lines := strings.Split(err.Error(), "\n")
	for _, w := range want {
		found := false
		for _, line := range lines {
			found = found || strings.HasPrefix(line, w)
		}
		if !found {
			t.Errorf("nobody says: %s", w)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d mistakes, want %d:\n%v", len(lines), len(want), err)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "waterfalls.yaml is empty; want waterfalls",
		"# nothing\n":             "waterfalls.yaml is empty",
		"costs: {":                "waterfalls.yaml is no YAML: line ",
		"- a":                     "waterfalls.yaml:1: the file is not a mapping",
		"costs: {}\n---\na: 1\n":  "waterfalls.yaml:2: another document begins",
		"costs: {}\n---\na: [1\n": "is no YAML",
		"waterfalls: {email-finder: {order: hunter}}":                     "order is not a list; want one such as [a, b]",
		"costs: {hunter: {hit: 1e3}}":                                     `hit is "1e3"`,
		"costs: {hunter: {hit: [1]}}":                                     `hit is ""`,
		"waterfalls: {email-finder: {order: &a [*a]}}":                    "there is no provider",
		"waterfalls: {email-finder: {order: [{provider: hunter, <<: a}]}": "is no YAML",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for name, want := range map[string]string{"none.yaml": "none.yaml cannot be read: no such file", "large.yaml": "has 1048577 bytes"} {
		file := filepath.Join(t.TempDir(), name)
		if name == "large.yaml" {
			if err := os.WriteFile(file, make([]byte, 1<<20+1), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := plan.Read(file, known, standard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Aliases are as good as what they stand for.
func TestAliases(t *testing.T) {
	t.Parallel()
	got, err := parse("costs: {hunter: &same {hit: 3}, prospeo: *same}")
	if err != nil || got[lookup.EmailFinder].Terms["prospeo"].PerHit != 3*providers.CostUnit {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever a file says, it is a plan of known providers or a mistake with a name.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("waterfalls: {email-finder: {order: &a [*a]}}")
	f.Add("a: &a [*a, *a]\n")
	f.Add("costs: {hunter: {hit: 1/3}}")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(text)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if got != nil || !strings.Contains(line, "waterfalls.yaml") && strings.HasPrefix(err.Error(), line) {
					t.Errorf("%v and %q", got, line)
				}
			}
			return
		}
		for service, w := range got {
			for _, name := range w.Order {
				if _, ok := known[name]; !ok || !service.Known() {
					t.Errorf("%s asks %s", service, name)
				}
			}
			for _, terms := range w.Terms {
				if terms.PerCall < 0 || terms.PerHit < 0 || terms.Timeout < 0 {
					t.Errorf("%+v", terms)
				}
			}
		}
	})
}
