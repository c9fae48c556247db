package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/magpie-hq/magpie/app"
	"github.com/magpie-hq/magpie/store"
)

const customerKey = "mgp_customer_of_the_test_0123456789"

// call sends a request as the customer.
func call(ctx context.Context, t *testing.T, method, url string, body io.Reader, header ...string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", customerKey)
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	transport := &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}
	return (&http.Client{Transport: transport}).Do(request)
}

// answered is how a request ended.
type answered struct {
	status int
	body   string
	err    error
}

// slowUpload is an upload whose file the test writes bit by bit.
type slowUpload struct {
	file *io.PipeWriter
	end  chan answered
}

// beginUpload starts an upload and returns once the process reads it.
func beginUpload(t *testing.T, url string) *slowUpload {
	t.Helper()
	body, file := io.Pipe()
	u := &slowUpload{file: file, end: make(chan answered, 1)}
	reading := make(chan struct{})
	// The server says "continue" when its handler reads the body.
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }})
	go func() {
		response, err := call(ctx, t, http.MethodPost, url+"/v1/batches?service=email-finder", body, "Content-Type: text/csv", "Expect: 100-continue")
		if err != nil {
			u.end <- answered{err: err}
			return
		}
		text, err := io.ReadAll(response.Body)
		u.end <- answered{response.StatusCode, string(text), errors.Join(err, response.Body.Close())}
	}()
	select {
	case <-reading:
	case got := <-u.end:
		t.Fatalf("the upload ended before it began: %+v", got)
	}
	u.write(t, "full name,domain\nAda Byron,acme.example\n")
	return u
}

func (u *slowUpload) write(t *testing.T, rows string) {
	t.Helper()
	if _, err := io.WriteString(u.file, rows); err != nil {
		t.Fatal(err)
	}
}

// wide is a batch of rows that nobody has to be asked for, too large for the
// buffers between a server and a client that does not read.
func wide(t *testing.T, url string) (id string) {
	t.Helper()
	row := "," + strings.Repeat("x", 32<<10) + "\n"
	response, err := call(t.Context(), t, http.MethodPost, url+"/v1/batches?service=mobile-validation",
		strings.NewReader("number,note\n"+strings.Repeat(row, wideRows)), "Content-Type: text/csv")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var b struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(response.Body).Decode(&b); err != nil || response.StatusCode != http.StatusAccepted {
		t.Fatalf("%d, %v", response.StatusCode, err)
	}
	return b.ID
}

const wideRows = 600

// download is an answer that its client has only begun to read.
type download struct {
	body io.ReadCloser
	rows *bufio.Reader
}

func beginDownload(t *testing.T, url, batch string) *download {
	t.Helper()
	response, err := call(t.Context(), t, http.MethodGet, url+"/v1/batches/"+batch+"/results", nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &download{response.Body, bufio.NewReader(response.Body)}
	if _, err := d.rows.ReadBytes('\n'); err != nil {
		t.Fatal(err)
	}
	return d
}

// rest reads on, and returns how many rows there were in all.
func (d *download) rest() (rows int, err error) {
	for rows = 1; ; rows++ {
		if _, err := d.rows.ReadBytes('\n'); err != nil {
			return rows, errors.Join(err, d.body.Close())
		}
	}
}

// stopping begins to stop a process, and returns once it takes no more requests.
func stopping(ctx context.Context, t *testing.T, a *app.App) (stopped chan error) {
	t.Helper()
	addr := strings.TrimPrefix(a.URL(), "http://")
	stopped = make(chan error, 1)
	go func() { stopped <- a.Stop(ctx) }()
	(&fleet{t: t}).await("a process that takes no requests", 10*time.Second, func() bool {
		connection, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = connection.Close() // it was only a look
		}
		return err != nil
	})
	return stopped
}

// stored opens the data folder of a process that has ended.
func stored(t *testing.T, dir string) *store.DB {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "magpie.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func number(t *testing.T, db *store.DB, query string) (n int64) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What is under way when a process is told to stop is brought to its end.
func TestStopLetsRequestsEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, a, _ := embeddedIn(t, dir, slog.LevelInfo)
	d := beginDownload(t, a.URL(), wide(t, a.URL()))
	u := beginUpload(t, a.URL())
	stopped := stopping(t.Context(), t, a)
	select {
	case err := <-stopped:
		t.Fatalf("stopped with requests under way: %v", err)
	default:
	}
	u.write(t, "Grace Hopper,acme.example\n")
	if err := u.file.Close(); err != nil {
		t.Fatal(err)
	}
	got := <-u.end
	if got.err != nil || got.status != http.StatusAccepted || !strings.Contains(got.body, `"total":2`) {
		t.Errorf("the upload ended with %+v, want 202 and two rows", got)
	}
	if rows, err := d.rest(); rows != wideRows || !errors.Is(err, io.EOF) {
		t.Errorf("%d rows of %d arrived, %v", rows, wideRows, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("the stop: %v", err)
	}
	db := stored(t, dir)
	if whole := number(t, db, `SELECT COUNT(*) FROM batches WHERE status <> 'intake' AND service = 'email-finder'`); whole != 1 {
		t.Errorf("%d batches of the upload, want 1", whole)
	}
}

// When the time to stop is over, what is still under way is cut off: the client
// sees that its download is not whole, and the upload leaves nothing.
func TestStopCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, a, _ := embeddedIn(t, dir, slog.LevelInfo)
	d := beginDownload(t, a.URL(), wide(t, a.URL()))
	u := beginUpload(t, a.URL())
	patience, timeIsUp := context.WithCancel(t.Context())
	stopped := stopping(patience, t, a)
	timeIsUp()
	if err := <-stopped; err == nil || !strings.Contains(err.Error(), "cut off") || strings.Contains(err.Error(), "still at work") {
		t.Errorf("the stop: %v, want to hear that requests were cut off, and nothing else", err)
	}
	_ = u.file.CloseWithError(io.ErrClosedPipe) // the transport waits for the reader of what it was sending
	if got := <-u.end; got.err == nil {
		t.Errorf("the upload was answered: %+v", got)
	}
	if rows, err := d.rest(); rows >= wideRows || !errors.Is(err, io.ErrUnexpectedEOF) && !isReset(err) {
		t.Errorf("%d rows of %d arrived, %v; want the download broken off", rows, wideRows, err)
	}
	db := stored(t, dir)
	for query, want := range map[string]int64{
		`SELECT COUNT(*) FROM batches WHERE service = 'email-finder'`:      0,
		`SELECT COUNT(*) FROM closings`:                                    0,
		`SELECT charged FROM accounts`:                                     0,
		`SELECT COUNT(*) FROM batches WHERE service = 'mobile-validation'`: 1,
	} {
		if n := number(t, db, query); n != want {
			t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
}

// isReset reports whether the connection was reset: its end had unread data.
func isReset(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}
