# Outcrop. `make demo` shows it, `make test` tests it; both do their own set-up.

SHELL   := /bin/bash
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
SANDBOX := internal/sandbox/gvisor/embedded/outcrop-sandbox-linux-$(shell $(GO) env GOARCH 2>/dev/null).zst
VENV    := .venv
export CGO_ENABLED ?= 0

.PHONY: help build demo test bench conformance lint generate nightly clients lock cross release clean
help: ## Show what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: bin/outcrop ## Build bin/outcrop, one static file with the sandbox inside

demo: ## Build, start, deploy examples/hello and stream an answer
	@scripts/preflight linux go pip
	@$(MAKE) --no-print-directory build
	@scripts/demo

test: ## Run every test, with the race detector wherever Outcrop runs in the test
	@scripts/preflight linux go cc pip venv
	@$(MAKE) --no-print-directory build clients
	@scripts/test

bench: build ## Print the figures the project holds itself to
	@scripts/bench

conformance: build clients ## Run MCP's official suite against agents and gateways, and print its totals
	@scripts/conformance

lint: ## Formatting, vet, staticcheck, import direction
	@scripts/lint

generate: ## Write internal/api/model and docs/operations.md from the pinned models
	$(GO) generate ./internal/api/...

nightly: build clients ## What is too long for every change: soaks, fuzzing, all tests as an ordinary user
	@scripts/nightly

clients: $(VENV)/.installed ## Install the pinned clients that tests use

lock: ## Pin anew, with hashes, the clients that tests use
	@scripts/lock

cross: ## Build the client half for macOS and Windows, and everything for linux/arm64
	@scripts/cross

release: ## Build what is released into bin/release: Linux, macOS, Windows, checksums
	@scripts/preflight go
	@scripts/release

clean: ## Remove what was built
	rm -rf bin .cache $(VENV)
	rm -f internal/sandbox/gvisor/embedded/outcrop-sandbox-linux-*

# The sandbox executable is gVisor: minutes of compiling, once.
$(SANDBOX): go.mod go.sum $(wildcard tools/embedsandbox/*.go tools/embedsandbox/*/*.go internal/sandbox/gvisor/hooks/files/*/*) $(shell find cmd/outcrop-sandbox internal/sandbox/gvisor -name '*.go' -not -name '*_test.go' 2>/dev/null)
	@scripts/preflight go
	@$(GO) run ./tools/embedsandbox

.PHONY: bin/outcrop
bin/outcrop: $(SANDBOX)
	@scripts/preflight go
	@echo "building bin/outcrop $(VERSION)"
	@$(GO) build -ldflags '$(LDFLAGS)' -o $@ ./cmd/outcrop

$(VENV)/.installed: conformance/requirements.txt
	@scripts/preflight venv
	@echo "installing the pinned clients"
	@scripts/clients
