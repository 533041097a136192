# `make help` lists the targets. `go test ./...` and `go run ./cmd/fedsite demo` need none of this.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)'
LAB      = test/openstack/lab
LAB_DIR ?= /var/lib/openstack-lab

# Python programs for the tests, made by Debian's Python whatever stands first in PATH.
VENV    ?= .venv
PYTHON  ?= /usr/bin/python3

FUZZTIME  ?= 30s
BENCHTIME ?= 1s
# more arguments for go test, as in: make test TESTFLAGS='-run Rule -v'
TESTFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help build test race fmt vet lint check bench fuzz docs demo venv lab-install lab-up lab-down e2e

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/fedsite, static
	$(BUILD) -o bin/fedsite ./cmd/fedsite

test: ## Run all tests that need nothing but Go; more of them where PostgreSQL, openssl, openstack are found
	CGO_ENABLED=0 $(GO) test $(TESTFLAGS) ./...

race: ## Run the tests under the race detector (needs a C compiler); the longest campaigns are shortened
	CGO_ENABLED=1 $(GO) test -race -short $(TESTFLAGS) ./...

fmt: ## Fail on files that gofmt would change
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then printf 'run gofmt -w on:\n%s\n' "$$files"; exit 1; fi

vet: ## go vet, also of the end-to-end test
	CGO_ENABLED=0 $(GO) vet ./...
	CGO_ENABLED=0 $(GO) vet -tags e2e ./test/...

lint: ## staticcheck, the version pinned in tools/go.mod
	CGO_ENABLED=0 $(GO) tool -modfile=tools/go.mod staticcheck -tags e2e ./...

check: fmt vet lint test ## What CI runs first: fmt, vet, lint, test, and the demo checking itself
	CGO_ENABLED=0 $(GO) run ./cmd/fedsite demo --once

bench: ## Run the benchmarks, BENCHTIME each (1s)
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(TESTFLAGS) ./...

fuzz: ## Run each fuzz target for FUZZTIME (30s)
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$(CGO_ENABLED=0 $(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			CGO_ENABLED=0 $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

docs: ## Write the generated reference in docs/ anew
	CGO_ENABLED=0 $(GO) test ./cmd/fedsite -run TestReference -update

demo: ## A whole emulated site and federation on loopback, until Ctrl-C
	CGO_ENABLED=0 $(GO) run ./cmd/fedsite demo

venv: $(VENV)/.made ## Install the Python programs of test/e2e/requirements.txt into VENV (.venv)
$(VENV)/.made: test/e2e/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --use-pep517 -r $<
	touch $@

lab-install: ## As root, once: install the packages of a real OpenStack (Debian 12); starts nothing
	$(LAB) install

lab-up: ## Start the real OpenStack on loopback and seed it; state in LAB_DIR
	LAB_DIR=$(LAB_DIR) $(LAB) up
	LAB_DIR=$(LAB_DIR) $(LAB) seed

lab-down: ## Stop the real OpenStack; its data stay
	LAB_DIR=$(LAB_DIR) $(LAB) down

e2e: venv ## Test against the real OpenStack, once lab-up has started it (5 minutes)
	CGO_ENABLED=0 LAB_DIR=$(LAB_DIR) FEDSITE_OPENSTACKCLIENT=$(abspath $(VENV))/bin/openstack \
		$(GO) test -tags e2e -count=1 -v -timeout 15m $(TESTFLAGS) ./test/e2e/...
