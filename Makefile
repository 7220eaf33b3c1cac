# gatewarden: everything that a developer or CI runs. "make" lists the targets.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
BIN     := bin/gatewarden
RUN_DIR := .cache/run

# What the image is made of, and its archives. The folder of an architecture has the binary and
# nothing else, which makes it the build context of the Dockerfile.
IMAGE_DIR   := .cache/image
IMAGE_ARCHS := amd64 arm64

# What tells what is in a binary: it has a module file of its own, too. Trimmed, so that its own
# hash, which it writes down, does not depend on where it was built.
CYCLONEDX := GOFLAGS=-trimpath $(GO) tool -modfile=test/image/go.mod cyclonedx-gomod

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
# Empty, so that "make image" does not load the image into docker or podman.
LOAD     ?= 1

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
	@assets=$$($(CONTROLPLANE)); KUBEBUILDER_ASSETS=$$assets $(GO) test -count=1 -timeout 20m ./...

# What makes and checks what is shipped has module files of its own, so that its dependencies are
# not gatewarden's.
TOOLS := test/image test/monitoring test/chart

.PHONY: tools-test
tools-test: ## Test what has a module file of its own: the image, the monitoring and the Helm chart
	@for dir in $(TOOLS); do (cd $$dir && $(GO) vet ./... && $(GO) test -count=1 ./...); done

.PHONY: ci
ci: fmt-check vet lint tidy-check test tools-test conformance-all ## Run what CI runs
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
	@for dir in test/istio $(TOOLS); do (cd $$dir && $(GO) mod tidy -diff); done

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

# How many pairs of changes that conflict race against each other.
PAIRS ?= 10000

.PHONY: races
races: ## Race PAIRS (default 10000) pairs of changes that conflict, and go through the whole model
	@assets=$$($(CONTROLPLANE)); KUBEBUILDER_ASSETS=$$assets PAIRS=$(PAIRS) $(GO) test -count=1 -timeout 3h -v ./test/ledger
	MODEL=all $(GO) test -count=1 -timeout 1h ./pkg/ledger

# What "make bench" measures: see test/bench/main.go. It writes the results and the README's table.
BENCH ?= -write

.PHONY: bench
bench: ## Measure everything in some minutes; writes test/bench/results and the README's table
	@assets=$$($(CONTROLPLANE)); CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(RUN_DIR)/bench ./test/bench && \
	KUBEBUILDER_ASSETS=$$assets ./$(RUN_DIR)/bench $(BENCH)

.PHONY: soak
soak: ## Break what gatewarden depends on for minutes each, which make test does for seconds (45 minutes)
	@assets=$$($(CONTROLPLANE)); KUBEBUILDER_ASSETS=$$assets $(GO) test -count=1 -v -timeout 90m ./test/failure -args -lasting 5m

.PHONY: fuzz
fuzz: ## Fuzz every fuzz target for FUZZTIME (default 10s)
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' pkg test | while IFS=: read -r file target; do \
		echo "fuzz: $$(dirname $$file) $${target#func }"; \
		$(GO) test "./$$(dirname $$file)" -run '^$$' -fuzz "^$${target#func }\$$" -fuzztime $(FUZZTIME) </dev/null; \
	done

.PHONY: controlplane
controlplane: ## Build etcd and kube-apiserver for the tests
	@$(CONTROLPLANE)

# Everything in the image has the time of the commit.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.PHONY: image-binaries
image-binaries:
	@for arch in $(IMAGE_ARCHS); do \
		mkdir -p $(IMAGE_DIR)/linux-$$arch; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(IMAGE_DIR)/linux-$$arch/gatewarden ./cmd/gatewarden; \
	done

.PHONY: manifests
manifests: build ## Write what deploy/ has of the code: the default configuration, its webhooks, the chart's copies
	./$(BIN) config > deploy/base/config.yaml
	./$(BIN) webhooks > deploy/base/webhooks.yaml
	cp deploy/base/{config,webhooks,rbac,flowcontrol}.yaml deploy/chart/files/
	cp deploy/overlays/self-managed/rbac.yaml deploy/chart/files/self-managed.yaml
	cp deploy/components/backstop/policy.yaml deploy/chart/files/backstop.yaml
	cp deploy/components/backstop/rbac.yaml deploy/chart/files/backstop-rbac.yaml
	cp deploy/components/monitoring/{servicemonitor.yaml,prometheusrule.yaml,dashboard.json} deploy/chart/files/

.PHONY: image
image: image-binaries ## Build the image for amd64 and arm64, with SBOMs, and load it into docker or podman if there is one
	@for arch in $(IMAGE_ARCHS); do \
		$(CYCLONEDX) bin -json -noserial -notimestamp -std -version '$(VERSION)' \
			-output $(IMAGE_DIR)/gatewarden-linux-$$arch.cdx.json $(IMAGE_DIR)/linux-$$arch/gatewarden 2>/dev/null; \
	done
	@cd test/image && $(GO) run . -out '$(CURDIR)/$(IMAGE_DIR)' -tag '$(IMAGE)' -version '$(VERSION)' -commit '$(COMMIT)'
	@archive=$(IMAGE_DIR)/gatewarden-linux-$$($(GO) env GOARCH).tar; \
	if [[ -z "$(LOAD)" ]]; then :; \
	elif docker info >/dev/null 2>&1; then docker load -i $$archive; \
	elif command -v podman >/dev/null; then podman load -i $$archive; \
	else echo "no docker runs here: docker load -i $$archive loads it elsewhere"; fi

.PHONY: image-docker
image-docker: IMAGE_ARCHS = $(shell $(GO) env GOARCH)
image-docker: image-binaries ## Build the image of this machine's architecture by the Dockerfile, with docker, podman or buildah
	@context=$(IMAGE_DIR)/linux-$(IMAGE_ARCHS); \
	labels=(--label org.opencontainers.image.version='$(VERSION)' --label org.opencontainers.image.revision='$(COMMIT)'); \
	if docker info >/dev/null 2>&1; then docker build -f Dockerfile "$${labels[@]}" -t $(IMAGE) $$context; \
	elif command -v podman >/dev/null; then podman build -f Dockerfile "$${labels[@]}" -t $(IMAGE) $$context; \
	elif command -v buildah >/dev/null; then buildah bud --isolation chroot -f Dockerfile "$${labels[@]}" -t $(IMAGE) $$context; \
	else echo 'no docker, podman or buildah found: install one of them, or use "make image"' >&2; exit 1; fi

.PHONY: image-verify
image-verify: ## Build the image of the last commit in two fresh clones and compare every byte
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	for clone in one another/folder; do git clone -q . "$$dir/$$clone"; done; \
	for clone in one another/folder; do \
		$(MAKE) --no-print-directory -C "$$dir/$$clone" image IMAGE=gatewarden:verify LOAD= >/dev/null; \
	done; \
	cd "$$dir/one/$(IMAGE_DIR)"; sha256sum gatewarden-* > "$$dir/sums"; cd "$$dir/another/folder/$(IMAGE_DIR)"; sha256sum -c "$$dir/sums"; cat "$$dir/sums"

.PHONY: certs
certs: ## Write a self-signed development certificate to certs/dev
	@mkdir -p certs/dev
	cd certs/dev && umask 077 && $(GO) run "$$($(GO) env GOROOT)/src/crypto/tls/generate_cert.go" \
		--ecdsa-curve P256 --host localhost,127.0.0.1,::1 --duration 720h --ca
	@mv certs/dev/cert.pem certs/dev/tls.crt && mv certs/dev/key.pem certs/dev/tls.key

.PHONY: clean
clean: ## Remove what was built, except the control plane
	rm -rf bin $(RUN_DIR) $(IMAGE_DIR) certs/dev
