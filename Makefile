# Every verb works from a clean clone; `make` alone lists them.

SEEDS ?= 2000
ROUNDS ?= 10
JOBS ?= $(shell nproc)
SEED ?=
CHAOS ?=
SWIFT ?= swift
# What runs on every version of PostgreSQL: the adapter, the launcher, and a cluster's failover, rewind and rebuild.
VERSIONED ?= PostgresInstanceTests|PostgresDriverTests|LauncherTests|ClusterTests.VersionTests

RELEASE := .build/release
SOURCES := $(shell find Package.swift Sources Tests -name '*.swift' -not -path '*/Generated/*' 2>/dev/null)

.PHONY: help deps build demo test check simulate chaos bench-quick clean
.DEFAULT_GOAL := help

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | column -t -s @

deps: ## install with apt what building and testing need
	@bash .ci/deps

build: deps ## build all programs for use, into .build/release
	$(SWIFT) build -c release --static-swift-stdlib

demo: build ## kill a primary under a writing client and watch its understudy take over
	$(RELEASE)/understudy local demo

test: deps ## run all tests, with real PostgreSQL servers; those of servers again on PostgreSQL 16, 17 and 18
	@bash .ci/postgresql-versions install
	$(SWIFT) build --build-tests
	@status=0; \
	$(SWIFT) test --skip-build --no-parallel || status=$$?; \
	SWIFT="$(SWIFT)" bash .ci/postgresql-versions test '$(VERSIONED)' || status=$$?; \
	exit $$status

check: deps ## check the format, build strictly, run the tidy tests
	$(SWIFT) format lint --strict $(SOURCES)
	$(SWIFT) build --explicit-target-dependency-import-check error
	$(SWIFT) test --filter TidyTests

simulate: deps ## run simulated histories of failures; SEEDS=2000
	$(SWIFT) build -c release --static-swift-stdlib --product understudy-simulate
	$(RELEASE)/understudy-simulate --seeds $(SEEDS) --jobs $(JOBS)

chaos: build ## break real servers on hosts of their own, as root; ROUNDS=10 SEED=… CHAOS="--durability async"
	$(if $(filter 0,$(shell id -u)),,sudo) $(RELEASE)/understudy-chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(CHAOS)

bench-quick: build ## measure failovers beside PostgreSQL's own promotion; ROUNDS=10
	$(RELEASE)/understudy local bench-quick --rounds $(ROUNDS)

clean: ## remove everything that was built
	rm -rf .build
