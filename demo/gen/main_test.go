package main

import (
	"bytes"
	"os"
	"testing"
)

func TestTheFileIsUpToDate(t *testing.T) {
	t.Parallel()
	want, err := phones()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../phones.csv")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("demo/phones.csv is not what gen writes; run: go generate ./demo")
	}
}
