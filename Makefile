# gatewarden: everything that a developer or CI runs. "make" lists the targets.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
BIN     := bin/gatewarden
RUN_DIR := .cache/run

# The build context of the image: the binary for Linux and nothing else.
IMAGE_DIR := .cache/image

# What "gatewarden version" tells. A checkout without a tag is named by its commit.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w \
	-X github.com/gatewarden/gatewarden/pkg/cli.version=$(VERSION) \
	-X github.com/gatewarden/gatewarden/pkg/cli.commit=$(COMMIT)

# The linter has a module file of its own, so that its dependencies are not gatewarden's.
GOLANGCI := $(GO) tool -modfile=test/lint/go.mod golangci-lint

# The folder with etcd and kube-apiserver. The first build takes minutes; it is kept.
CONTROLPLANE := ./test/controlplane/build.sh

# Folders with recorded objects that "make ci" replays if they are there.
CONFORMANCE ?= $(wildcard ../shared/deploykf/objects ../shared/conformance/istio)

FUZZTIME ?= 10s
IMAGE    ?= gatewarden:$(VERSION)

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/gatewarden, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/gatewarden

.PHONY: run
run: build ## Serve on 127.0.0.1:9443 with deployKF's objects and no cluster; prints requests to paste
	@mkdir -p $(RUN_DIR)
	./$(BIN) serve --cluster examples/deploykf --self-signed --ca-file $(RUN_DIR)/ca.crt \
		--listen 127.0.0.1:9443 --metrics-listen 127.0.0.1:9090 --print-examples

.PHONY: demo
demo: ## Start a real API server with gatewarden before it and try good and bad objects (KEEP=1 leaves it running)
	@assets=$$($(CONTROLPLANE)); KUBEBUILDER_ASSETS=$$assets $(GO) run ./test/demo

.PHONY: test
test: ## Run all tests, those against a real API server included
	@assets=$$($(CONTROLPLANE)); KUBEBUILDER_ASSETS=$$assets $(GO) test -count=1 ./...

.PHONY: ci
ci: fmt-check vet lint tidy-check test conformance-all ## Run what CI runs
	@$(MAKE) --no-print-directory istio WORLDS=500

.PHONY: lint
lint: ## Run golangci-lint, the walls between packages included
	$(GOLANGCI) run --allow-parallel-runners

.PHONY: fmt
fmt: ## Format the code
	$(GOLANGCI) fmt

.PHONY: fmt-check
fmt-check:
	@unformatted=$$(gofmt -l cmd pkg test); \
	if [[ -n $$unformatted ]]; then echo "not formatted, run \"make fmt\":"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: tidy-check
tidy-check:
	$(GO) mod tidy -diff
	cd test/istio && $(GO) mod tidy -diff

.PHONY: conformance
conformance: ## Replay recorded objects: make conformance DIR=folder
	@[[ -n "$(DIR)" ]] || { echo 'name a folder: make conformance DIR=path/to/objects' >&2; exit 2; }
	$(GO) run ./test/conformance $(DIR)

.PHONY: conformance-all
conformance-all:
	@for dir in $(CONFORMANCE); do echo "conformance: $$dir"; $(GO) run ./test/conformance "$$dir"; done

# What Istio's own code says of random worlds: how many, and of which seed.
WORLDS ?= 1000
SEED   ?= 1

.PHONY: istio
istio: ## Compare verdicts with what Istio's own code makes of WORLDS random worlds of SEED
	cd test/istio && $(GO) vet ./... && $(GO) test ./... && $(GO) run . -n $(WORLDS) -seed $(SEED)

.PHONY: bench
bench: ## Run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/... ./test/bench/...

.PHONY: fuzz
fuzz: ## Fuzz every fuzz target for FUZZTIME (default 10s)
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' pkg test | while IFS=: read -r file target; do \
		echo "fuzz: $$(dirname $$file) $${target#func }"; \
		$(GO) test "./$$(dirname $$file)" -run '^$$' -fuzz "^$${target#func }\$$" -fuzztime $(FUZZTIME) </dev/null; \
	done

.PHONY: controlplane
controlplane: ## Build etcd and kube-apiserver for the tests
	@$(CONTROLPLANE)

.PHONY: image
image: ## Build the container image with docker, podman or buildah
	@mkdir -p $(IMAGE_DIR)
	CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(IMAGE_DIR)/gatewarden ./cmd/gatewarden
	@if docker info >/dev/null 2>&1; then docker build -f Dockerfile -t $(IMAGE) $(IMAGE_DIR); \
	elif command -v podman >/dev/null; then podman build -f Dockerfile -t $(IMAGE) $(IMAGE_DIR); \
	elif command -v buildah >/dev/null; then buildah bud --isolation chroot -f Dockerfile -t $(IMAGE) $(IMAGE_DIR); \
	else echo 'no docker, podman or buildah found: install one of them' >&2; exit 1; fi

.PHONY: certs
certs: ## Write a self-signed development certificate to certs/dev
	@mkdir -p certs/dev
	cd certs/dev && umask 077 && $(GO) run "$$($(GO) env GOROOT)/src/crypto/tls/generate_cert.go" \
		--ecdsa-curve P256 --host localhost,127.0.0.1,::1 --duration 720h --ca
	@mv certs/dev/cert.pem certs/dev/tls.crt && mv certs/dev/key.pem certs/dev/tls.key

.PHONY: clean
clean: ## Remove what was built, except the control plane
	rm -rf bin $(RUN_DIR) $(IMAGE_DIR) certs/dev
