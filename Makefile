# make, or make help, lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X slipway.io/slipway/cmd.version=$(VERSION)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# slipway embeds the network probe for all architectures, and uploads it to hosts.
PROBES := $(foreach arch,amd64 arm64,provision/probe/netprobe/embedded/probe-linux-$(arch).gz)
PROBE_SOURCES := $(filter-out %_test.go,$(wildcard provision/probe/netprobe/agent/*.go provision/probe/netprobe/wire/*.go)) go.mod

provision/probe/netprobe/embedded/probe-linux-%.gz: $(PROBE_SOURCES)
	@mkdir -p bin
	CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o bin/probe-$* ./provision/probe/netprobe/agent
	gzip -9 -n -c bin/probe-$* > $@.new && mv $@.new $@

.PHONY: probe
probe: $(PROBES) ## Build the network probe, for all architectures

.PHONY: build
build: $(PROBES) ## Build the static binary bin/slipway
	GOGC=$${GOGC:-400} CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/slipway ./cmd/slipway

# A probe of an older version of Go would make the release depend on this computer.
JOBS ?= 2
TARGETS ?=
.PHONY: release
release: ## Build the archives of VERSION in dist/, with checksums and SBOMs
	@$(MAKE) --no-print-directory --always-make probe
	go run ./release -version '$(VERSION)' -targets '$(TARGETS)' -jobs $(JOBS)

.PHONY: licenses
licenses: ## Update THIRD_PARTY_LICENSES and NOTICE
	go test ./release -run '^TestLicensesAndNoticesAreUpToDate$$' -update

.PHONY: test
test: ## Run the unit tests with the race detector; no root, no containers
	go test -race ./...

.PHONY: catalogue
catalogue: ## Refresh the catalogue of releases: newest versions, sums, digests (needs the internet)
	go generate ./provision/bundle

.PHONY: lint
lint: ## Check format (gofumpt), go vet, staticcheck, shellcheck
	@unformatted=$$(go tool gofumpt -l .) || exit 1; if [ -n "$$unformatted" ]; then \
		echo "not formatted, run make format:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags e2e ./e2e
	go tool staticcheck ./...
	go tool staticcheck -tags e2e ./e2e
	@command -v shellcheck >/dev/null || { \
		echo "shellcheck is not installed; on Debian: apt-get install shellcheck"; exit 1; }
	.ci/shell-files | xargs shellcheck

.PHONY: format
format: ## Format all Go files with gofumpt
	go tool gofumpt -w .

.PHONY: e2e
e2e: build ## Test on real clusters in machine containers, with faults (root, Debian; see CONTRIBUTING.md)
	e2e/run

.PHONY: e2e-changes
e2e-changes: build ## Apply an edit of each field of the inventory to a real cluster (root, Debian)
	SLIPWAY_E2E_CHANGES=all e2e/run -run '^TestCluster$$/^(machines_come_up|plan_lists|apply_creates|addons_are|each_field|lab_down)'

COUNT ?= 60
SEED ?= 1

.PHONY: e2e-chaos
e2e-chaos: build ## Kill COUNT installs at moments that SEED selects, and repair them (root, Debian; see CONTRIBUTING.md)
	SLIPWAY_CHAOS_ROUNDS=$(COUNT) SLIPWAY_CHAOS_SEED=$(SEED) e2e/run -run '^TestChaos$$' -timeout 12h

.PHONY: e2e-ha
e2e-ha: build ## Lose machines, networks and API servers of three control planes (root, Debian; see CONTRIBUTING.md)
	SLIPWAY_E2E_HA=long e2e/run -run '^Test(HA|ExternalEtcd)$$' -timeout 3h

.PHONY: e2e-backup
e2e-backup: build ## Back up a cluster, destroy all machines, and restore it onto new ones (root, Debian)
	SLIPWAY_E2E_BACKUP=1 e2e/run -run '^TestBackup$$'

UPGRADE_TO ?= v1.37.2

.PHONY: e2e-upgrade
e2e-upgrade: build ## Upgrade a highly available cluster to UPGRADE_TO while a client writes (root, Debian; see CONTRIBUTING.md)
	SLIPWAY_E2E_UPGRADE_VERSION=$(UPGRADE_TO) SLIPWAY_E2E_UPGRADE_BUNDLE=$$(e2e/prepare.sh --kubernetes $(UPGRADE_TO)) e2e/run -run '^TestUpgrade$$'

VERSIONS ?= v1.35.8 v1.36.4 v1.37.2

.PHONY: e2e-versions
e2e-versions: build ## Test a cluster of each version of Kubernetes in VERSIONS (root, Debian; see CONTRIBUTING.md)
	e2e/versions.sh $(VERSIONS)

.PHONY: e2e-arm64
e2e-arm64: build ## Test a cluster on an emulated machine of arm64 (root, Debian; see CONTRIBUTING.md)
	e2e/arm64/run

.PHONY: e2e-calico
e2e-calico: build ## Test Calico with enforced network policies, then Flannel on the same hosts (root, Debian; see CONTRIBUTING.md)
	SLIPWAY_BUNDLE=$$(e2e/prepare.sh --calico) e2e/run -run '^TestCalico$$'

.PHONY: e2e-firewalls
e2e-firewalls: build ## Install a cluster with addons through firewalld and ufw (root, Debian)
	SLIPWAY_E2E_FIREWALLS=long e2e/run -run '^TestFirewalls$$'

.PHONY: e2e-vagrant
e2e-vagrant: build ## Test on virtual machines: Vagrant, libvirt, QEMU (root, Debian; see CONTRIBUTING.md)
	e2e/vagrant/run

.PHONY: vagrant-validate
vagrant-validate: $(PROBES) ## Run "vagrant validate" with each provider and box (Debian: vagrant, vagrant-libvirt)
	e2e/packages.sh $(if $(CI),--install) vagrant vagrant-libvirt
	go test -tags e2e -count=1 -v -run '^TestVagrantfile$$' ./e2e

.PHONY: e2e-power
e2e-power: build ## Test that apply survives power losses, on a virtual machine (root, Debian; see CONTRIBUTING.md)
	e2e/vagrant/run -run '^TestPowerLoss$$'

.PHONY: lab
lab: build ## Create a lab of machine containers, with a bundle built from source (root, Debian)
	e2e/lab.sh

.PHONY: bench-lab
bench-lab: build ## Compare the time of slipway apply with a shell script over OpenSSH (root, Debian)
	e2e/bench/run $(BENCH_FLAGS)

.PHONY: bench-ha
bench-ha: build ## The same comparison for three control planes with keepalived and haproxy (root, Debian)
	e2e/bench/run -ha $(BENCH_FLAGS)

.PHONY: clean
clean: ## Delete build outputs (delete labs with bin/slipway lab down)
	rm -rf bin dist $(PROBES)
