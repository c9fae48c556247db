package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/api"
	"github.com/magpie-hq/magpie/books"
	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/enrich"
	"github.com/magpie-hq/magpie/internal/testredis"
	"github.com/magpie-hq/magpie/ledger"
	"github.com/magpie-hq/magpie/lookup"
	"github.com/magpie-hq/magpie/providers"
	"github.com/magpie-hq/magpie/store"
)

const realAdminKey = "mgpa_administrator"

// startsInline runs a batch as soon as it is accepted.
type startsInline struct{ engine *enrich.Engine }

func (i startsInline) Start(ctx context.Context, b store.Batch) {
	for chunk := range b.Chunks {
		_, _ = i.engine.RunRound(ctx, store.Round{Batch: b.ID, Chunk: chunk})
	}
}

func (startsInline) Wake(context.Context, string) {}

// findsAll finds everybody.
type findsAll struct{}

func (findsAll) Name() string               { return "stub" }
func (findsAll) Services() []lookup.Service { return []lookup.Service{lookup.EmailFinder} }
func (findsAll) Ask(_ context.Context, q lookup.Query) providers.Answer {
	return providers.Answer{Outcome: providers.Hit, Result: map[string]any{"email": "found@" + q.Get("domain"), "status": "valid"}}
}

// realServer is a whole API.
type realServer struct {
	*httptest.Server

	t *testing.T
}

func newRealServer(t *testing.T) *realServer {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "magpie.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	log := slog.New(slog.DiscardHandler)
	gate := ledger.New(testredis.Mini(t))
	b := books.New(db, gate, log, time.Now)
	waterfalls := providers.Waterfalls{lookup.EmailFinder: {Providers: []providers.Provider{findsAll{}}}}
	engine := enrich.New(enrich.Config{}, db, b, waterfalls, nil, log, time.Now)
	handler, err := api.New(api.Config{AdminKeyHash: store.HashSecret(realAdminKey), SpoolDir: t.TempDir(), BuyURL: "https://magpie.example/buy"}, api.Deps{
		DB: db, Books: b, Gate: gate, Engine: engine, Dispatcher: startsInline{engine}, Log: log, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &realServer{t: t, Server: httptest.NewServer(handler)}
	t.Cleanup(s.Close)
	return s
}

func (s *realServer) client(key string) *client.Client {
	s.t.Helper()
	atOnce := client.WithSleep(func(context.Context, time.Duration) error { return nil })
	c, err := client.New(s.URL, key, atOnce, client.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// customer makes an organization with credits and returns a client with its key.
func (s *realServer) customer(credits lookup.Credits) *client.Client {
	s.t.Helper()
	admin := s.client(realAdminKey)
	org, err := admin.CreateOrg(s.t.Context(), "Acme")
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := admin.CreateKey(s.t.Context(), org.ID, "test")
	if err != nil {
		s.t.Fatal(err)
	}
	if credits > 0 {
		if _, err := admin.Grant(s.t.Context(), org.ID, client.GrantRequest{Source: client.Purchase, Credits: credits}); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.client(key.Secret)
}

const realPeople = "name;firma\nAda King;a.example\nAlan Turing;b.example\n;c.example\n"

var realMapping = map[string]string{"domain": "firma"}

func realSubmission() client.SubmitRequest {
	return client.SubmitRequest{Service: lookup.EmailFinder, Name: "Q4", Reader: strings.NewReader(realPeople), Filename: "my \"best\" people.csv", Mapping: realMapping}
}

func TestRealAPIBatches(t *testing.T) {
	t.Parallel()
	c := newRealServer(t).customer(10 * lookup.Credit)
	b, err := c.Submit(t.Context(), realSubmission())
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != "Q4" || b.Rows.Total != 3 || b.Status.Ended() || b.StartedAt != nil {
		t.Errorf("submitted %+v", b)
	}
	b, err = c.Batch(t.Context(), b.ID)
	if err != nil || !b.Status.Ended() || b.Rows.Found != 2 || b.Rows.Invalid != 1 || b.Rows.Done != 3 || b.Credits.Charged != 2*lookup.Credit || b.FinishedAt == nil {
		t.Errorf("got %+v, err %v", b, err)
	}
	rows := realResults(t, c, b.ID, client.ResultsOptions{Outcome: lookup.Found})
	if len(rows) != 2 || *rows[1].Row != 1 || *rows[1].Outcome != lookup.Found || rows[1].Credits != lookup.Credit {
		t.Errorf("results %+v", rows)
	}
	sheet, err := c.Results(t.Context(), b.ID, client.ResultsOptions{Format: client.CSV})
	if err != nil {
		t.Fatal(err)
	}
	defer sheet.Close()
	if text, err := io.ReadAll(sheet); err != nil || !strings.HasPrefix(string(text), "name,firma,magpie_outcome,") {
		t.Errorf("CSV %q, err %v", text, err)
	}
	page, err := c.Batches(t.Context(), client.BatchesOptions{ListOptions: client.ListOptions{Limit: 1}, Status: client.Completed, Service: lookup.EmailFinder})
	if err != nil || len(page.Data) != 1 || page.Data[0].ID != b.ID || page.NextCursor != "" {
		t.Errorf("listed %+v, err %v", page, err)
	}
}

func realResults(t *testing.T, c *client.Client, id string, o client.ResultsOptions) (rows []lookup.Row) {
	t.Helper()
	download, err := c.Results(t.Context(), id, o)
	if err != nil {
		t.Fatal(err)
	}
	defer download.Close()
	lines := bufio.NewScanner(download)
	for lines.Scan() {
		var row lookup.Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	return rows
}

func TestRealAPIPauseResumeCancel(t *testing.T) {
	t.Parallel()
	c := newRealServer(t).customer(lookup.Credit) // one row too few
	b, err := c.Submit(t.Context(), realSubmission())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		do     func(context.Context, string) (client.Batch, error)
		status client.Status
	}{{c.Pause, "paused"}, {c.Pause, "paused"}, {c.Resume, "running"}, {c.Cancel, "cancelled"}, {c.Cancel, "cancelled"}} {
		if b, err := step.do(t.Context(), b.ID); err != nil || b.Status != step.status {
			t.Errorf("got %q, err %v, want %q", b.Status, err, step.status)
		}
	}
	var refused *client.Error
	if _, err := c.Resume(t.Context(), b.ID); !errors.As(err, &refused) || refused.Code != "conflict" {
		t.Errorf("resuming a cancelled batch: %v", err)
	}
}

func TestRealAPICaps(t *testing.T) {
	t.Parallel()
	server := newRealServer(t)
	c := server.customer(100 * lookup.Credit)
	submission := realSubmission()
	submission.MaxCredits = lookup.Credit // one row too few
	b, err := c.Submit(t.Context(), submission)
	if err != nil || *b.MaxCredits != lookup.Credit || b.Credits.Max != lookup.Credit {
		t.Fatalf("submitted %+v, err %v", b, err)
	}
	name, most, none := "dearer", 2500*lookup.Credit/1000, lookup.Credits(0)
	if b, err = c.ChangeBatch(t.Context(), b.ID, client.BatchChange{Name: &name, MaxCredits: &most}); err != nil || b.Name != name || *b.MaxCredits != most {
		t.Errorf("raised: %+v, err %v", b, err)
	}
	if b, err = c.ChangeBatch(t.Context(), b.ID, client.BatchChange{MaxCredits: &none}); err != nil || b.Name != name || b.MaxCredits != nil {
		t.Errorf("no cap: %+v, err %v", b, err)
	}
	admin := server.client(realAdminKey)
	orgs, err := admin.Orgs(t.Context(), client.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := admin.CreateCappedKey(t.Context(), orgs.Data[0].ID, "capped", 500)
	if err != nil || *key.MonthlyCap != 500 {
		t.Errorf("made %+v, err %v", key, err)
	}
	ask := client.LookupRequest{Service: lookup.EmailFinder, Fields: map[string]string{"full_name": "Ada King", "domain": "new.example"}}
	var refused *client.Error
	if _, err := server.client(key.Secret).Lookup(t.Context(), ask); !errors.As(err, &refused) || refused.Status != 402 || refused.Errors[0].Code != client.CodeCap {
		t.Errorf("over the key's cap: %#v", err)
	}
	if key, err = admin.SetKeyCap(t.Context(), orgs.Data[0].ID, key.ID, 0); err != nil || key.MonthlyCap != nil {
		t.Errorf("no cap: %+v, err %v", key, err)
	}
}

func TestRealAPILookupsAndCredits(t *testing.T) {
	t.Parallel()
	c := newRealServer(t).customer(1500)
	ask := client.LookupRequest{Service: lookup.EmailFinder, RowID: "r1", AcceptCatchAll: true, Fields: map[string]string{"full_name": "Ada King", "domain": "a.example"}}
	row, err := c.Lookup(t.Context(), ask)
	if err != nil || *row.Outcome != lookup.Found || row.RowID != "r1" || row.Credits != lookup.Credit || *row.Remaining != 500 || row.Replayed {
		t.Errorf("found %+v, err %v", row, err)
	}
	account, err := c.Credits(t.Context())
	if err != nil || account.Available != 500 || account.Held != 0 || len(account.Grants) != 1 || account.Grants[0].Remaining != 500 || account.Grants[0].ExpiresAt != nil {
		t.Errorf("credits %+v, err %v", account, err)
	}
	ask.Fields["domain"] = "b.example"
	var refused *client.Error
	if _, err := c.Lookup(t.Context(), ask); !errors.As(err, &refused) || refused.Status != 402 || refused.Code != "insufficient_credits" ||
		*refused.CreditsRequired != 1000 || *refused.CreditsAvailable != 500 || refused.BuyURL == "" || refused.RequestID == "" {
		t.Errorf("too dear: %#v", err)
	}
	ask.Fields["colour"] = "red"
	if _, err := c.Lookup(t.Context(), ask); !errors.As(err, &refused) || len(refused.Errors) != 1 || refused.Errors[0].Param != "colour" || err.Error() != refused.Detail {
		t.Errorf("an unknown field: %#v", err)
	}
}

func TestRealAPIAdministration(t *testing.T) {
	t.Parallel()
	admin := newRealServer(t).client(realAdminKey)
	org, err := admin.CreateOrg(t.Context(), "Acme")
	if err != nil || org.Name != "Acme" || org.CreatedAt.IsZero() {
		t.Fatalf("made %+v, err %v", org, err)
	}
	orgs, err := admin.Orgs(t.Context(), client.ListOptions{Limit: 5})
	if err != nil || len(orgs.Data) != 1 || orgs.Data[0].ID != org.ID {
		t.Errorf("listed %+v, err %v", orgs, err)
	}
	key, err := admin.CreateKey(t.Context(), org.ID, "ci")
	if err != nil || key.Secret == "" {
		t.Errorf("made %+v, err %v", key, err)
	}
	if err := admin.RevokeKey(t.Context(), org.ID, key.ID); err != nil {
		t.Error(err)
	}
	keys, err := admin.Keys(t.Context(), org.ID)
	if err != nil || len(keys.Data) != 1 || keys.Data[0].RevokedAt == nil || keys.Data[0].Secret != "" {
		t.Errorf("listed %+v, err %v", keys, err)
	}
	want := client.GrantRequest{Source: client.Adjustment, Credits: 12_345, Reference: "inv/1"}
	first, err := admin.Grant(t.Context(), org.ID, want)
	again, err2 := admin.Grant(t.Context(), org.ID, want)
	if err != nil || err2 != nil || first.ID != again.ID || first.Granted != 12_345 || first.Reference != "inv/1" {
		t.Errorf("granted %+v and %+v, err %v, %v", first, again, err, err2)
	}
	grants, err := admin.Grants(t.Context(), org.ID)
	if err != nil || len(grants.Data) != 1 || grants.Data[0].ID != first.ID {
		t.Errorf("listed %+v, err %v", grants, err)
	}
	var refused *client.Error
	if err := admin.RevokeKey(t.Context(), org.ID, "key/../x"); !errors.As(err, &refused) || refused.Code != "not_found" {
		t.Errorf("revoking no key: %v", err)
	}
}

// An answer that is lost after the work was done is asked for again, and the
// work is not done twice.
func TestRealAPILostAnswersAreReplayed(t *testing.T) {
	t.Parallel()
	s := newRealServer(t)
	var lost atomic.Bool
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/batches" && r.Method == http.MethodPost && !lost.Swap(true) {
			s.Config.Handler.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		s.Config.Handler.ServeHTTP(w, r)
	}))
	defer flaky.Close()
	s.URL = flaky.URL
	c := s.customer(10 * lookup.Credit)
	b, err := c.Submit(t.Context(), realSubmission())
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.Batches(t.Context(), client.BatchesOptions{})
	if err != nil || !lost.Load() || len(page.Data) != 1 || page.Data[0].ID != b.ID {
		t.Errorf("batches %+v, err %v", page.Data, err)
	}
}
