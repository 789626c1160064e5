# Everything a developer does with this tree. `make` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# Real timetables for tests that can use them; those tests say what they miss.
ifneq ($(wildcard $(CURDIR)/../shared/data),)
export YUPIAO_TESTDATA ?= $(abspath $(CURDIR)/../shared/data)
endif

FUZZTIME ?= 60s
SEED ?= 1
SEEDS ?= 1000000
BENCH ?= .
FOR ?= 1h

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-13s %s\n", $$1, $$2}'

run: ## a living railway in the browser: http://127.0.0.1:8080
	go run ./cmd/yupiao demo

cluster: ## a whole fleet as processes: 3 NATS servers, booking backend, 3 query nodes, balancer on http://127.0.0.1:8080
	go run ./cmd/yupiao cluster

build: ## the programs, in bin/: static, the same bytes wherever they are built from the same commit with the same Go
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/ ./cmd/...

reproducible: ## that it is so: HEAD built in two places; COLD=1 compiles everything twice
	@set -e; at=$$(mktemp -d); trap 'rm -rf $$at' EXIT; for clone in a b/elsewhere; do \
	  git clone -q . $$at/$$clone; $(if $(COLD),GOCACHE=$$at/$$clone/.cache) $(MAKE) -s -C $$at/$$clone build; \
	  (cd $$at/$$clone/bin && sha256sum *) > $$at/$${clone%/*}.sums; done; \
	cat $$at/a.sums; cmp $$at/a.sums $$at/b.sums

licences: ## list what is linked into the programs, under which licences: cmd/licences.txt
	go run -C .tools ./supply -root .. licences

sbom: build ## what each program is made of (CycloneDX), and the licence texts that go with it: bin/*.cdx.json, bin/licence-texts.txt
	go run -C .tools ./supply -root .. sbom

test: ## all tests, with the race detector
	go test -race -timeout 30m $(TESTFLAGS) ./...

lint: ## gofmt, vet, golangci-lint
	go vet ./...
	go tool -modfile=.tools/go.mod golangci-lint run

vuln: ## known vulnerabilities in what the programs call
	go tool -modfile=.tools/go.mod govulncheck ./...

generate: ## Go code of the feed's schema
	go run ./api/generate

golden: ## write the expected answers anew
	go test ./pkg/httpapi -run Golden -update

fuzz: ## each fuzz target for FUZZTIME (60s), by as many workers as there are processors; bench/results/fuzz.csv adds up how long each had
	.ci/fuzz $(FUZZTIME)

simulate: ## SEEDS (1000000) schedules of faults from SEED on, as many at a time as there are processors; some 60 a second on each
	go test -c -o bin/sim.test ./pkg/sim
	@set -o pipefail; n=$$(nproc); each=$$(( ($(SEEDS) + n - 1) / n )); for i in $$(seq 0 $$((n - 1))); do \
	  GOGC=1600 bin/sim.test -test.run TestSchedules -test.timeout 0 -sim.seed $$(( $(SEED) + i * each )) -sim.seeds $$each & pids="$$pids $$!"; done; \
	for p in $$pids; do wait $$p || failed=1; done; [ -z "$$failed" ]

planted: ## faults planted in the code of feed, replica and booking, each of which a simulation has to find, or the rule's own test
	go test ./pkg/sim -run TestPlantedFaults -sim.planted 100 -v -timeout 0 | grep -v '^=== '

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

overload: ## five times what a node can do, and a hundred thousand requests at a sale's opening; raw output in bench/results/DATE-overload.txt; OVERLOAD="-for 10s" to try
	@mkdir -p bench/results bin
	go build -o bin/ ./cmd/yupiaod ./bench/overload
	set -o pipefail; bin/overload -yupiaod bin/yupiaod $(OVERLOAD) | tee bench/results/$$(date +%F)-overload.txt

faults: ## real faults on a real fleet, one after the other, every answer judged; raw output in bench/results/DATE-faults.txt; FAULTSFLAGS="-only disk" for some. As root it can do more
	@mkdir -p bench/results
	{ go version; git rev-parse --short HEAD; } > bench/results/$$(date +%F)-faults.txt
	set -o pipefail; go run ./bench/faults $(FAULTSFLAGS) 2>&1 | tee -a bench/results/$$(date +%F)-faults.txt

soak: ## a country that sells for FOR (1h) with a fault every minute, and a report in bench/results; SOAKFLAGS="--scale 1"; make simulate is the other half of the proof
	go run ./bench/soak --for $(FOR) --out bench/results/$$(date +%F)-soak $(SOAKFLAGS)

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\#.*/\1/p' $(firstword $(MAKEFILE_LIST)))
