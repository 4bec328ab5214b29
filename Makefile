# kubevalue: `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO      ?= go
LINT    := $(GO) tool -modfile=.ci/tools.mod golangci-lint
BIN     := bin/kubevalue
# The web framework's decoder of MessagePack, which nobody here speaks, would be 9 MB of the program and 10 of what it has in memory.
TAGS    := nomsgpack
FUZZTIME ?= 30s
ROUNDS   ?= 1000

.PHONY: help run test e2e lint bench fuzz soak build generate engine kubetest debian

help: ## List the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## Build bin/kubevalue
	$(GO) build -tags $(TAGS) -o $(BIN) ./cmd/kubevalue

engine: build ## Fetch libchdb with npm into the user's cache directory, if it is not there
	@$(BIN) engine install

run: engine ## Start the service on the embedded engine with a sample organisation
	$(BIN) demo

test: engine ## Run the unit tests, on the real embedded engine
	$(GO) test -timeout 60m ./...

generate: engine debian ## Renew golden files, generated documentation and the pictures of the pages
	$(GO) generate ./...

lint: ## Run golangci-lint and check that generated files and go.mod are current
	$(LINT) run ./...
	$(GO) mod tidy -diff

debian: ## Install what the end-to-end tests need from Debian, where it is missing
	@.ci/debian etcd-server prometheus prometheus-alertmanager chromium

kubetest: ## Build a real Kubernetes control plane into the user's cache directory (minutes, once)
	cd collectors/kube/kubetest && $(GO) run . build

e2e: engine debian kubetest ## Run the end-to-end tests on a real control plane, Alertmanager, Prometheus, SMTP and Chromium
	$(GO) test -tags e2e -run "^TestE2E" -count=1 -timeout 60m -parallel 8 ./cmd/kubevalue ./slo/... ./dashboards ./collectors/kube

bench: engine kubetest ## Print the measures, each ratio measured side by side in one run
	TMPDIR=$${TMPDIR:-/tmp} $(GO) test -tags bench -run '^TestBench' -count=1 -timeout 60m -v ./cmd/kubevalue ./journey/metrictest ./collectors/kube | grep -E '^(bench |ok|FAIL|---)'

fuzz: ## Fuzz every decoder for FUZZTIME each
	@.ci/fuzz $(FUZZTIME)

soak: engine ## Kill the service and the engine ROUNDS times and count every event
	KUBEVALUE_SOAK_ROUNDS=$(ROUNDS) $(GO) test -run 'Kill' -count=1 -timeout 6h -v ./pipeline
