package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/magpie-hq/magpie/client"
	"github.com/magpie-hq/magpie/lookup"
)

func Example() {
	// A stand-in for the server, with one answer.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Credits-Remaining", "9999")
		_, _ = io.WriteString(w, `{"outcome":"found","result":{"email":"jane.doe@acme.example"},"credits":1}`)
	}))
	defer server.Close()

	api, err := client.New(server.URL, "mgp_…")
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := api.Lookup(context.Background(), client.LookupRequest{
		Service: lookup.EmailFinder,
		Fields:  map[string]string{"full_name": "Jane Doe", "domain": "acme.example"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s for %s credit: %s, %s left\n", *answer.Outcome, answer.Credits, answer.Result, answer.Remaining)
	// Output: found for 1 credit: {"email":"jane.doe@acme.example"}, 9999 left
}
