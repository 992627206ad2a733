# What there is to make. The targets need Linux, root and Go; those that need more install it (Debian, Ubuntu).
SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -X k8s.io/component-base/version.gitVersion=$(VERSION)
TOOL     := $(GO) tool -modfile=$(CURDIR)/.ci/tools/go.mod
LINT     := $(TOOL) golangci-lint
FUZZTIME ?= 20s
RUN      ?= .
KEEP     ?=

# Of container images. The time is that of the commit, so that the same sources give the same images.
TAG       ?= dev
PLATFORMS ?= linux/amd64,linux/arm64
CREATED   ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# Packages of ./e2e start labs, which share the machine: one after the other. The kubeadm cluster has a target of its own.
E2E   = $(shell $(GO) list ./e2e/... | grep -v '/e2e/kubeadm$$')
UNIT := ./cmd/... ./pkg/... ./provider/...

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: images
images: ## Build the container images into bin/images/, for all of PLATFORMS
	$(GO) run ./e2e/images/cmd/images -tag $(TAG) -version $(VERSION) -platforms $(PLATFORMS) -created $(CREATED)

.PHONY: demo
demo: packages ## Show it at work in a lab; KEEP=1 leaves the lab running
	$(GO) run ./e2e/demo $(if $(KEEP),--keep)

.PHONY: lab
lab: packages ## Run a lab with everything installed, until Ctrl-C
	$(GO) run ./e2e/lab/cmd/lab up --product

.PHONY: test
test: packages ## Run all tests: unit, API and end to end
	$(GO) test -timeout 10m $(UNIT)
	cd e2e/chart && $(GO) test ./...
	$(GO) test -p 1 -timeout 30m $(E2E)

.PHONY: unit
unit: packages ## Run the tests that need no lab
	$(GO) test -timeout 10m $(UNIT) ./e2e/architecture/...
	cd e2e/chart && $(GO) test ./...

.PHONY: race
race: packages ## Run the tests that need no lab under the race detector
	$(GO) test -race -timeout 20m $(UNIT) ./e2e/architecture/...

.PHONY: e2e
e2e: packages ## Run the tests that need a lab; RUN=regexp selects
	$(GO) test -p 1 -timeout 30m -run '$(RUN)' $(E2E)

.PHONY: e2e-kubeadm
e2e-kubeadm: packages ## Run the documents' commands on a kubeadm cluster; prints how long each stage took
	@.ci/packages runc:runc
	$(GO) test -count=1 -timeout 60m -v ./e2e/kubeadm

.PHONY: bench
bench: packages bench-packages ## Measure, a line of JSON each; RUN=regexp selects, RUNS=n, WATCH=10m of l2_false_takeover
	@$(GO) run ./e2e/bench -run '$(RUN)' $(if $(RUNS),-runs $(RUNS)) $(if $(WATCH),-watch $(WATCH))

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME (20s)
	@.ci/fuzz $(FUZZTIME)

.PHONY: lint
lint: ## Check the code, the scripts and the format
	$(GO) vet ./...
	$(LINT) run -c .ci/golangci.yml ./...
	cd e2e/chart && $(GO) vet ./... && $(LINT) run -c ../../.ci/golangci.yml ./...
	@for script in .ci/fuzz .ci/generate .ci/packages .ci/run .ci/verify; do bash -n $$script; done
	@if command -v shellcheck >/dev/null; then shellcheck .ci/fuzz .ci/generate .ci/packages .ci/run .ci/verify; fi

.PHONY: format
format: ## Write the code in its format
	$(LINT) fmt -c .ci/golangci.yml ./...

.PHONY: generate
generate: ## Write everything that is generated from the API types
	.ci/generate

.PHONY: verify
verify: ## Check that what is generated is fresh, and that go.mod is tidy
	.ci/verify

.PHONY: packages
packages:
	@.ci/packages nft:nftables ip:iproute2 conntrack:conntrack iptables:iptables tcpdump:tcpdump arping:arping \
		bird:bird2 vtysh:frr

.PHONY: bench-packages
bench-packages:
	@.ci/packages keepalived:keepalived

.PHONY: clean
clean: ## Remove what was built here, and labs that were left behind
	$(GO) run ./e2e/lab/cmd/lab down --all
	rm -rf bin
