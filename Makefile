# Everything a developer does with this tree. `make` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# Real timetables for tests that can use them; those tests say what they miss.
ifneq ($(wildcard $(CURDIR)/../shared/data),)
export YUPIAO_TESTDATA ?= $(abspath $(CURDIR)/../shared/data)
endif

FUZZTIME ?= 60s
BENCH ?= .

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-13s %s\n", $$1, $$2}'

run: ## a living railway in the browser: http://127.0.0.1:8080
	go run ./cmd/yupiao demo

cluster: ## a whole fleet as processes: 3 NATS servers, booking backend, 3 query nodes, balancer on http://127.0.0.1:8080
	go run ./cmd/yupiao cluster

build: ## the programs, in bin/
	go build -trimpath -o bin/ ./cmd/...

test: ## all tests, with the race detector
	go test -race $(TESTFLAGS) ./...

lint: ## gofmt, vet, golangci-lint
	go vet ./...
	go tool -modfile=.tools/go.mod golangci-lint run

vuln: ## known vulnerabilities in what the programs call
	go tool -modfile=.tools/go.mod govulncheck ./...

generate: ## Go code of the feed's schema
	go run ./api/generate

golden: ## write the expected answers anew
	go test ./pkg/httpapi -run Golden -update

fuzz: ## each fuzz target for FUZZTIME (60s)
	@set -e; for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

bench: ## all benchmarks, BENCH=regexp to choose; raw output in bench/results/local.txt
	@mkdir -p bench/results
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count 6 -timeout 60m ./... | tee bench/results/local.txt

bench-once: ## each benchmark once, so that none rots
	go test -run '^$$' -bench . -benchtime 1x ./...

bench-country: ## a node that holds a whole country; raw output in bench/results/DATE-country.txt
	@mkdir -p bench/results
	{ go version; git rev-parse --short HEAD; } > bench/results/$$(date +%F)-country.txt
	set -o pipefail; go run ./bench/country $(COUNTRYFLAGS) | tee -a bench/results/$$(date +%F)-country.txt

bench-peers: ## the same answer by nginx, Varnish, Redis and others beside ours; PEERS="--rounds 1 --seconds 1" to try
	@mkdir -p bench/results
	set -o pipefail; go run ./bench/peers $(PEERS) | tee bench/results/$$(date +%F)-peers.txt

.PHONY: help run cluster build test lint vuln generate golden fuzz bench bench-once bench-country bench-peers
