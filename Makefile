# `make` alone lists what can be done. Go and make are enough for demo, dev and
# test; lint fetches its linter when there is none.

GOLANGCI_LINT_VERSION := v2.15.0

# The race detector needs a C compiler: it is used where there is one. gcc comes
# first because it is Go's own choice, which keeps the build cache shared.
COMPILER := $(firstword $(foreach c,gcc clang cc,$(if $(shell command -v $(c) 2>/dev/null),$(c))))
ifneq ($(COMPILER),)
RACE := -race
export CGO_ENABLED := 1
export CC := $(COMPILER)
endif

FUZZTIME ?= 10s
GOLANGCI_LINT ?= $(shell command -v golangci-lint 2>/dev/null || echo \
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION))

.DEFAULT_GOAL := help
.PHONY: help demo dev build build/magpie test lint bench soak fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build/magpie ## run two batches from file to bill, in one process, in half a minute
	build/magpie demo

dev: build/magpie ## run everything on 127.0.0.1:8080, with its data in ./.magpie
	build/magpie dev

build: ## build every command into build/
	CGO_ENABLED=0 go build -o build/ ./cmd/...

build/magpie: # always asked: go build knows best what is up to date
	@echo "building magpie (the first time takes a minute or two)"
	@CGO_ENABLED=0 go build -o build/magpie ./cmd/magpie

test: ## run the tests, with the race detector where there is a C compiler
	go test $(RACE) ./...

lint: ## check format, go vet and golangci-lint
	@unformatted=$$("$$(go env GOROOT)/bin/gofmt" -l .) && if [ -n "$$unformatted" ]; then \
		echo "not formatted; run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	$(GOLANGCI_LINT) run ./...

bench: ## measure against plain ways of doing the same (NAME=… for one figure)
# Needs redis-server and PostgreSQL's programs; starts and ends its own. What the
# figures in build/bench.json mean is in docs/benchmarks.md.
	@CGO_ENABLED=0 go build -o build/bench ./bench
	build/bench -name "$(NAME)"

soak: ## run the tests once more, one package at a time, the long ones at full length
# Tests that can run longer ask for MAGPIE_SOAK.
	MAGPIE_SOAK=1 go test $(RACE) -count=1 -p 1 -timeout 60m ./...

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n 1 dirname | sort -u); do \
		for target in $$(go test -list '^Fuzz' "$$dir" | grep '^Fuzz'); do \
			echo "== $$dir $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; \
		done; \
	done

clean: ## remove what was built
	rm -rf build
