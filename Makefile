# `make help` lists the targets. `go test ./...` and `go run ./cmd/fedsite demo` need none of this.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)'
LAB      = test/openstack/lab
LAB_DIR ?= /var/lib/openstack-lab

# Python programs for the tests, made by Debian's Python whatever stands first in PATH.
VENV      ?= .venv
CASO_VENV ?= .venv-caso
CLOUD_INFO_VENV ?= .venv-cloud-info
FEDCLOUDCLIENT_VENV ?= .venv-fedcloudclient
PYTHON  ?= /usr/bin/python3

FUZZTIME   ?= 30s
BENCHTIME  ?= 1s
BENCHFLAGS ?=
TIMELINES  ?= 100000
# more arguments for go test, as in: make test TESTFLAGS='-run Rule -v'
TESTFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help build test race fmt vet lint check bench benchmarks bench-peers browser fuzz soak docs demo venv caso-venv cloud-info-venv fedcloudclient-venv lab-install lab-up lab-down e2e e2e-full

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/fedsite, static
	$(BUILD) -o bin/fedsite ./cmd/fedsite

test: ## Run all tests that need nothing but Go; more of them where PostgreSQL, openssl, openstack are found
	CGO_ENABLED=0 $(GO) test $(TESTFLAGS) ./...

# Campaigns that run what other tests run, only more often; under the race detector they would take a quarter of an hour.
REPEATING = TestEveryFaultAtEveryRequest|TestCutAtAnyByte|TestOracle.+|TestKills|TestImagesAreKilled|TestRule03AReleaseThatIsInterrupted|TestRecorded|TestCampaign|TestClocksThatJump|TestBrokerTroubles|TestForgettingIsKilled|TestWhatWaitsIsWhatTheRowsSay
# What CI leaves out of the race detector's run beside those, for want of time: scripts, whose commands do one thing after the
# other, and what has no goroutines of ours. RACED are the accounting tests that it runs.
QUIET     =
RACED     =
# The eras of the accounting tests are tables: each has all the goroutines, and three take a quarter of an hour, too.
ONE_ERA   = ./internal/accounting
race: ## Run the tests under the race detector (needs a C compiler), without the longest campaigns
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m -skip '$(REPEATING)$(QUIET)' $(TESTFLAGS) $$($(GO) list ./... | grep -v '$(ONE_ERA:.%=%)$$')
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m -skip '$(REPEATING)' -run '$(RACED)' $(TESTFLAGS) $(ONE_ERA) -era current

fmt: ## Fail on files that gofmt would change
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then printf 'run gofmt -w on:\n%s\n' "$$files"; exit 1; fi

vet: ## go vet, also of what has a build tag
	CGO_ENABLED=0 $(GO) vet ./...
	CGO_ENABLED=0 $(GO) vet -tags e2e,bench,peers,browser ./test/...

lint: ## staticcheck, the version pinned in tools/go.mod
	CGO_ENABLED=0 $(GO) tool -modfile=tools/go.mod staticcheck -tags e2e,bench,peers,browser ./...

check: fmt vet lint test ## What CI runs first: fmt, vet, lint, test, and the demo checking itself
	CGO_ENABLED=0 $(GO) run ./cmd/fedsite demo --once

bench: ## Measure fedsite as a process of its own: 400,000 VMs, 100 shares, and an image of 4 GiB (BENCHFLAGS='-only images', or accounting, or discovery; '-times 0 -shares 0' leaves out what is large)
	CGO_ENABLED=0 $(GO) run -tags bench ./test/bench $(BENCHFLAGS)
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench BenchmarkSend -benchtime 1x -benchmem ./internal/accounting

benchmarks: ## Run the Go benchmarks, BENCHTIME each (1s)
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(TESTFLAGS) ./...

bench-peers: caso-venv cloud-info-venv ## Measure cASO and cloud-info-provider beside fedsite on the same emulated cloud (BENCHFLAGS='-only discovery', or accounting)
	CGO_ENABLED=0 FEDSITE_CASO=$(abspath $(CASO_VENV))/bin/caso-extract FEDSITE_CLOUD_INFO=$(abspath $(CLOUD_INFO_VENV))/bin/cloud-info-provider-service \
		$(GO) run -tags peers ./test/peers/bench $(BENCHFLAGS)

browser: ## Look at the web pages in Debian's Chromium (packages chromium, fonts-dejavu-core)
	CGO_ENABLED=0 $(GO) test -tags browser -count=1 $(TESTFLAGS) ./test/browser

fuzz: ## Run each fuzz target for FUZZTIME (30s)
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$(CGO_ENABLED=0 $(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			CGO_ENABLED=0 $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package; \
		done; \
	done

soak: ## The long campaigns: TIMELINES (100,000) random timelines, and a kill at every event of accounting, on both databases, and of images
	CGO_ENABLED=0 $(GO) test ./internal/accounting -era current -run 'TestOracle$$' -timelines $(TIMELINES) -seed 1000000 -timeout 0 -count=1 -v
	CGO_ENABLED=0 FEDSITE_KILLS=all FEDSITE_REQUIRE=postgres,qemu-img $(GO) test -count=1 -timeout 0 -run 'TestKills|TestImagesAreKilled' -v ./cmd/fedsite

docs: ## Write the generated reference in docs/ anew
	CGO_ENABLED=0 $(GO) test ./cmd/fedsite -run TestReference -update
	CGO_ENABLED=0 $(GO) test ./internal/telemetry -run TestReference -update

demo: ## A whole emulated site and federation on loopback, until Ctrl-C
	CGO_ENABLED=0 $(GO) run ./cmd/fedsite demo

environment = $(PYTHON) -m venv $(@D) && $(@D)/bin/pip install --quiet --disable-pip-version-check --use-pep517 -r $< && touch $@
venv: $(VENV)/.made ## Install the Python programs of test/e2e/requirements.txt into VENV (.venv)
$(VENV)/.made: test/e2e/requirements.txt
	$(environment)

caso-venv: $(CASO_VENV)/.made ## Install cASO into CASO_VENV (.venv-caso)
$(CASO_VENV)/.made: test/peers/requirements.txt
	$(environment)

cloud-info-venv: $(CLOUD_INFO_VENV)/.made ## Install cloud-info-provider into CLOUD_INFO_VENV (.venv-cloud-info)
$(CLOUD_INFO_VENV)/.made: test/e2e/requirements-cloud-info.txt
	$(environment)

fedcloudclient-venv: $(FEDCLOUDCLIENT_VENV)/.made ## Install fedcloudclient into FEDCLOUDCLIENT_VENV (.venv-fedcloudclient)
$(FEDCLOUDCLIENT_VENV)/.made: test/e2e/requirements-fedcloudclient.txt
	$(environment)

lab-install: ## As root, once: install the packages of a real OpenStack (Debian 12); starts nothing
	$(LAB) install

lab-up: ## Start the real OpenStack on loopback and seed it; state in LAB_DIR
	LAB_DIR=$(LAB_DIR) $(LAB) up
	LAB_DIR=$(LAB_DIR) $(LAB) seed

lab-down: ## Stop the real OpenStack; its data stay
	LAB_DIR=$(LAB_DIR) $(LAB) down

e2e: venv caso-venv cloud-info-venv fedcloudclient-venv ## Test against the real OpenStack, once lab-up has started it (15 minutes; CI leaves out TestParity)
	CGO_ENABLED=0 LAB_DIR=$(LAB_DIR) FEDSITE_OPENSTACKCLIENT=$(abspath $(VENV))/bin/openstack FEDSITE_CASO=$(abspath $(CASO_VENV))/bin/caso-extract \
		FEDSITE_CLOUD_INFO=$(abspath $(CLOUD_INFO_VENV))/bin/cloud-info-provider-service FEDSITE_FEDCLOUDCLIENT=$(abspath $(FEDCLOUDCLIENT_VENV))/bin/fedcloud \
		$(GO) test -tags e2e -count=1 -v -timeout 25m $(TESTFLAGS) ./test/e2e/...

# The releases one after the other: a lab with all its services has 2 GiB.
e2e-full: ## As root: install, start, test and stop each release of OpenStack that the lab knows
	@set -e; for release in zed current; do \
		export LAB_RELEASE=$$release LAB_DIR=/var/lib/openstack-lab-full-$$release LAB_PORT_OFFSET=15000; \
		$(LAB) install; \
		{ $(LAB) up && $(LAB) seed && $(MAKE) e2e LAB_DIR=$$LAB_DIR; } || { $(LAB) down; exit 1; }; \
		$(LAB) destroy; \
	done
