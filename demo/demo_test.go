package demo_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/demo"
	"github.com/magpie-hq/magpie/lookup"
)

// The demo keeps what the README promises of it.
func TestRun(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	err := demo.Run(t.Context(), demo.Options{Dir: t.TempDir(), Out: &out, Progress: &progress, JSON: true})
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, progress.String(), out.String())
	}
	t.Log("\n" + progress.String())
	var r demo.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s; first charge after %s, all after %s", r.Audit, r.FirstCharge, r.Took)
	if len(r.Batches) != 2 || r.FirstCharge == 0 || r.FirstCharge > 10*time.Second || r.Bought == 0 {
		t.Errorf("%d batches, first charge after %s, %s bought", len(r.Batches), r.FirstCharge, r.Bought)
	}
	for _, b := range r.Batches {
		if b.Found == 0 || b.Invalid == 0 || b.Charged == 0 || b.Failed > 0 {
			t.Errorf("%+v", b)
		}
		if file, err := os.ReadFile(b.Results); err != nil || !bytes.Contains(file, []byte("magpie_outcome")) {
			t.Errorf("%s: %v", b.Results, err)
		}
	}
	if r.Batches[1].Service != lookup.EmailFinder || r.Batches[1].NotFound == 0 {
		t.Errorf("%+v", r.Batches[1])
	}
}
