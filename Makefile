# The development tasks of Kaban. CI calls only these targets.

VERSION   ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
FUZZTIME  ?= 30s
BENCH     ?= .
COUNT     ?= 1
RUNS      ?= 5
GROWTH    ?= 1000000
COVER_MIN ?= 85
SEED      ?= 0
KILLS     ?= 1000
LOSSES    ?= 300
SYNCS     ?= 200
CUTS      ?= 10000
DRAINS    ?= 100
FLIPS     ?= 1000
PEOPLE    ?= 300
FILES     ?= 200
PAIRS     ?= 6
SEARCHED  ?= 10000000
MOVED     ?= 10000000
STEPS     ?= 100000
ANSWERS   ?= 1000
CRASHES   ?= 100
FAILOVERS ?= 50
NODES     ?= 100
PARTITIONS ?= 20
LOST      ?= 10000
SPLIT     ?= audit/,invite,member,secret,task,account

# The core packages, with a minimum test coverage.
covered := ./ ./wire ./internal/idpool ./internal/dispatch ./internal/server

tool := go tool -modfile=tools/go.mod

# Tests share what is compiled for all programs. By a profile, all of it is compiled anew for one.
export GOFLAGS := -pgo=off $(GOFLAGS)

# The builder of the web page is a separate module.
pagebuild := internal/web/page/build

# The tests against a real OpenID provider are a separate module.
providertest := internal/account/providertest

# The tests against a real ACME server are a separate module.
pebbletest := internal/certs/pebbletest

# The tests against an S3 are a separate module.
s3test := internal/files/s3test

# The race detector, except in SQLite and its C library, which are C translated to Go and take
# most of the time of a store's tests. Their memory is not Go's. The driver keeps the detector:
# it copies what goes in and out. A program that ends does not wait a second for reports of
# threads that still run, only a moment.
translated := modernc.org/sqlite/lib modernc.org/libc modernc.org/memory
racing := CGO_ENABLED=1 GORACE=atexit_sleep_ms=50 GOFLAGS="-pgo=off $(translated:%=-gcflags=%=-race=false)"

# The packages with the longest tests, which begin first. Browsers and stories, which start
# many processes, do not begin together.
longest := ./internal/store/sqlite ./internal/chat ./e2e ./internal/product ./internal/server ./internal/torture ./cmd/kaban

# These run beside test-most, in this order: browsers, further runs, and the tests of modules of
# their own. Each mostly waits.
beside := test-plain test-browser test-portable test-websocket test-tls test-provider test-acme test-s3 test-otel

# The tests of whole programs that -postgres is for.
stories := TestStories|TestTerminal|TestEnding|TestLists

# Keeps the temporary files of tests in memory where possible.
inmemory := -exec "'$(CURDIR)/scripts/in-memory' -test"

.PHONY: help build run test test-most test-beside $(beside) test-postgres over-postgres check cover product torture torture-postgres cluster comeback nodecosts heap downloads search unread migrate signins alerts fuzz bench profile bench-go fmt golden page screenshots clean setup

help: ## print this help (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile | LC_ALL=C sort

build: ## build bin/kaban, static and stamped with its version
	CGO_ENABLED=0 go build -pgo=auto -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/kaban ./cmd/kaban

run: ## run a server from the sources, with its data in ./kaban-data
	go run -pgo=auto ./cmd/kaban serve

# Two runs at a time: that of most tests, with a package for each processor, and one of those
# beside it, with one package. So no processor waits while a test does. What a server runs at the
# lowest priority, such as a backup, would get next to nothing beside them. Here it gets half of
# what the others do, since no niceness is above 19.
test: check ## check, then run all tests with the race detector; those of connections with both pollers, over WebSocket and over TLS
	@nice -n 15 scripts/in-memory $(MAKE) --no-print-directory -j2 test-most test-beside

# A sample of what random tests try: the campaigns try more. A test that hangs is ended late,
# because a busy machine takes several times as long.
test-most test-beside: export RAPID_CHECKS ?= 30

# make check has vetted all packages.
test-most:
	@packages=$$(go list ./...) || exit 1; \
	$(racing) go test $(inmemory) -race -vet=off -shuffle=on -timeout 60m $(longest) $$(printf '%s\n' "$$packages" | grep -v '/e2e/browser$$')

# Each shows its output at its end.
test-beside:
	@failed=; for target in $(beside); do \
		output=$$($(MAKE) --no-print-directory $$target 2>&1) || failed=1; \
		printf '%s\n' "$$output"; \
	done; exit $${failed:-0}

# Without the race detector: these tests drive a browser and a program that has none either.
# make check has compiled what they need.
test-browser:
	CGO_ENABLED=0 go test $(inmemory) -vet=off -shuffle=on -timeout 60m ./e2e/browser

# What the race detector has another variant of.
test-plain:
	CGO_ENABLED=0 go test $(inmemory) -vet=off -shuffle=on -timeout 10m ./internal/nonblock ./internal/conn

test-portable:
	$(racing) go test -race -p 1 -shuffle=on -timeout 10m -tags portable ./internal/server ./client

test-websocket:
	$(racing) go test -race -p 1 -vet=off -shuffle=on -timeout 10m ./internal/server -websocket

test-tls:
	$(racing) go test -race -p 1 -vet=off -shuffle=on -timeout 10m ./internal/server ./client -tls

test-provider:
	$(racing) go -C $(providertest) test -race -p 1 -vet=off -shuffle=on -timeout 10m ./...

test-acme:
	$(racing) go -C $(pebbletest) test -race -p 1 -vet=off -shuffle=on -timeout 10m ./...

test-s3:
	$(racing) go -C $(s3test) test -race -p 1 -vet=off -shuffle=on -timeout 5m ./...

test-otel: ## try the traces of a build with the tag otel, with a collector
	CGO_ENABLED=0 go vet -tags otel ./internal/trace ./internal/dispatch ./internal/conn ./cmd/kaban
	$(racing) go test -race -p 1 -shuffle=on -timeout 5m -tags otel ./internal/trace

# What the tests of servers and of whole programs promise is the same over PostgreSQL, and at several nodes.
test-postgres: ## run the tests of servers, clients, stories and deaths over PostgreSQL, and all but deaths at three nodes behind one address; 40 minutes
	@scripts/in-memory $(MAKE) --no-print-directory over-postgres

over-postgres:
	$(racing) go test $(inmemory) -race -p 1 -shuffle=on -timeout 20m ./internal/server ./internal/web ./client -postgres
	$(racing) go test $(inmemory) -race -p 1 -shuffle=on -timeout 20m ./internal/server ./internal/web ./client -postgres -nodes 3
	$(racing) go test $(inmemory) -race -shuffle=on -timeout 20m ./e2e -run '$(stories)' -postgres
	$(racing) go test $(inmemory) -race -shuffle=on -timeout 20m ./e2e -run TestStories -postgres -nodes 3
	go test -timeout 20m ./internal/torture -postgres -cluster

# Without cgo, as the program is built, so that the tests find it compiled.
check: export CGO_ENABLED := 0
check: setup ## formatting, go vet, staticcheck, tidy modules, an up-to-date page
	@files=$$($(tool) gofumpt -l .) || exit 1; \
	if [ -n "$$files" ]; then printf 'not formatted, run "make fmt":\n%s\n' "$$files" >&2; exit 1; fi
	go vet ./...
	$(tool) staticcheck ./...
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C $(pagebuild) mod tidy -diff
	go -C $(providertest) mod tidy -diff
	go -C $(pebbletest) mod tidy -diff
	go -C $(s3test) mod tidy -diff
	go -C $(providertest) vet ./...
	go -C $(pebbletest) vet ./...
	go -C $(s3test) vet ./...
	go -C $(pagebuild) vet ./...
	go -C $(pagebuild) run . -check

cover: ## test coverage of the core packages; fails below COVER_MIN=85 percent
	@scripts/cover $(COVER_MIN) $(covered)

product: ## try every scenario of who may do what over every front end, not only a sample
	$(racing) go test -race ./internal/product -v -count 1 -timeout 60m -everything

campaigns := go test ./internal/torture -v -count 1 -torture.seed $(SEED) -torture.kills $(KILLS) -torture.losses $(LOSSES) -torture.syncs $(SYNCS) -torture.cuts $(CUTS) -torture.drains $(DRAINS) -torture.flips $(FLIPS) -torture.people $(PEOPLE) -torture.files $(FILES) -torture.split $(SPLIT)

torture: ## run the long campaigns: KILLS, LOSSES, SYNCS, CUTS, DRAINS, FLIPS, PEOPLE, FILES; SEED=0 picks a new seed
	$(campaigns) -timeout 120m
	go test ./internal/dispatch -v -count 1 -timeout 20m -run TestEverySeqOnceAndInOrder -rapid.checks 4000 -rapid.steps 40 $(if $(filter-out 0,$(SEED)),-rapid.seed $(SEED))
	go test ./internal/chat -v -count 1 -timeout 20m -run 'TestEverybodyReadsWhatTheTableGives|TestPagesOfRooms' -rapid.checks 400 $(if $(filter-out 0,$(SEED)),-rapid.seed $(SEED))
	go test ./internal/store/sqlite -v -count 1 -timeout 40m -run 'TestConformance|TestChangesAreFolded|Flipped' -rapid.checks 400 -folds 60 -flip.more 20 $(if $(filter-out 0,$(SEED)),-rapid.seed $(SEED))

torture-postgres: ## run the long campaigns over PostgreSQL that it has: KILLS, CUTS, DRAINS, PEOPLE, FILES; SEED=0 picks a new seed
	$(campaigns) -postgres -timeout 300m

cluster: ## lose the answers to ANSWERS=1000 commits, crash PostgreSQL CRASHES=100 times, let a standby take over FAILOVERS=50 times, kill NODES=100 nodes, and part them PARTITIONS=20 times for 1, 10 and 60 s, while people write; some hours; SEED=0 picks a new seed
	go test ./internal/store/postgres -v -count 1 -timeout 120m -run 'TestManyLosses|TestManyCrashes|TestFailovers' -losses $(ANSWERS) -crashes $(CRASHES) -failovers $(FAILOVERS)
	go test ./internal/torture -v -count 1 -timeout 300m -run TestNodes -cluster -cluster.embedded -torture.seed $(SEED) -cluster.writers 64 -cluster.rooms 50 -cluster.kills $(NODES) -cluster.crashes $(CRASHES) -cluster.failovers $(FAILOVERS) -cluster.partitions $(PARTITIONS) -cluster.lengths 1s,10s,60s -cluster.answers $(ANSWERS)

comeback: ## kill a node with LOST=10000 clients, and see that all are back at another one, with one query for each room and range, and drain one with 100; a minute, with 30,000 open files
	go test ./e2e -v -count 1 -timeout 10m -run 'TestClientsOfAKilledNode|TestClientsOfADrainedNode' -lostclients $(LOST)

nodecosts: ## measure what nodes and PostgreSQL cost, PAIRS=6 times: appends against plain inserts, several committers and nodes, a standby, deliveries and latencies; on an idle machine, twenty minutes
	go test ./internal/store/postgres -run '^$$' -bench 'Append|Nodes|Standby' -benchtime 5x
	go test ./e2e -v -count 1 -timeout 30m -run 'TestCostsOfADatabase|TestCostsOfNodes' -nodecosts $(PAIRS)

heap: ## see that deleted texts leave the memory of a server; takes minutes
	go test ./e2e -v -count 1 -timeout 10m -run TestErasedFromHeap -heap

downloads: ## measure a conversation beside 100 downloads of 10 MB, PAIRS=6 times 20 s; on an idle machine
	go test ./e2e -v -count 1 -timeout 30m -run TestDownloadsBesideAConversation -downloads $(PAIRS)

search: ## measure searches in SEARCHED=10000000 generated messages, and how far the index is behind; on an idle machine, up to an hour, with 2 GB of disk
	go test ./internal/index -run '^$$' -bench Follow -benchtime 3x
	go test ./internal/index -run '^$$' -bench Find -benchtime 200x -timeout 90m -search.messages $(SEARCHED)

migrate: ## move MOVED messages to PostgreSQL and back, with three interruptions each way
	go test ./internal/migrate -v -count 1 -timeout 300m -run TestManyMessages -moved $(MOVED)

unread: ## compare what is unread, and mentions, with models over STEPS=100000 random steps, and race kicks with messages; takes minutes
	go test ./internal/chat -v -count 1 -timeout 60m -run 'TestUnreadIsExact|TestMentionsAreCounted|TestKickAndSendAtOnce' -steps $(STEPS)

signins: ## measure sign-ins: a flood of them, the times of those that fail, and 100,000 lines within the limits; on an idle machine, half an hour
	go test ./e2e -v -count 1 -timeout 60m -run 'TestAThousandSignIns|TestFailedSignInsTakeTheSameTime|TestLinesWithinTheLimits' -signins 1000 -failedsignins 100 -lines 100000

alerts: setup ## see each alert rule fire in a real Prometheus; on an idle machine
	go test ./internal/telemetry -v -count 1 -timeout 5m -run TestAlertsFire -alerts

fuzz: ## run each fuzz target for FUZZTIME=30s
	@scripts/fuzz $(FUZZTIME)

bench: ## measure everything and write docs/performance.md; RUNS=1 for a quick look, GROWTH=10000000
	go run ./bench -runs $(RUNS) -growth $(GROWTH)
	$(MAKE) -s bench-go COUNT=6 > bin/steps.txt
	$(tool) benchstat bin/steps.txt > docs/performance/steps.txt

profile: ## profile a server under load, for the compiler; on an idle machine
	scripts/profile

bench-go: ## run the Go benchmarks; BENCH=regexp COUNT=n
	@go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...

fmt: ## format all Go files
	$(tool) gofumpt -w .

golden: ## regenerate golden files, the OpenAPI document, docs/permissions.md, and the tables of docs/metrics.md and docs/terminal.md; review the diff
	go test ./wire -run Golden -update
	go test ./internal/web -run TheDocument -update
	go test ./internal/tui -run 'Golden|Hostile|Manual' -update
	go test ./internal/slack -run Programs -update
	go test ./internal/markup -run Table -update
	go test ./internal/access -run Document -update
	go test ./internal/telemetry -run Document -update

page: setup ## build the web page from internal/web/page/src; needs npm
	go generate ./internal/web

screenshots: setup ## regenerate the pictures in docs/screenshots
	go test ./internal/tui -run Screenshots -update
	scripts/screenshots-web

clean: ## remove the output of the other targets
	rm -rf bin coverage.out

# Installs missing tools; instant if there are none.
setup:
	@scripts/setup
