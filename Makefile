# sealsum: private sums over attested devices. `make` prints what there is.
SHELL := /bin/sh
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help deps build demo test test-all bench bench-all digits simulate mutants fuzz fuzz-corpus fuzz-table lint install

help: ## this list
	@echo "sealsum: private sums over attested devices"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

deps: ## find the Debian packages and the Rust that are missing, and install them where possible
	@sh packaging/deps.sh

build: deps
	@$(CARGO) build --workspace --bins

demo: build ## a fleet of twelve devices, each with its own software TPM, on this machine
	@$(or $(CARGO_TARGET_DIR),target)/debug/sealsum-demo

test: ## every test, against real software TPMs
	@sh packaging/deps.sh test
	@$(CARGO) test --workspace

test-all: ## the same and the longer suites, against OpenBao and tpm2-tools
	@sh packaging/deps.sh all
	@$(CARGO) test --workspace --features sealsum-tests/all

BENCH = $(or $(CARGO_TARGET_DIR),target)/bench
BENCH_CARGO = --quiet --release --locked --manifest-path tests/bench
MEASURE = @sh packaging/deps.sh bench && \
  $(RELEASED) --quiet && \
  $(CARGO) build $(BENCH_CARGO)/peers/prio/Cargo.toml --target-dir $(BENCH)/prio && \
  $(CARGO) run $(BENCH_CARGO)/Cargo.toml --target-dir $(BENCH)/build --

bench: ## speed against the limits of this machine and against peers: target/bench (quarter of an hour)
	$(MEASURE)

bench-all: ## the same into docs/benchmarks.md, with what is slow: a thousand devices, both suites, every back end
	$(MEASURE) all

TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)
digits: ## learn digits at five levels of privacy: docs/privacy-measured.md (ten minutes)
	@sh packaging/deps.sh python
	@$(CARGO) build --workspace --examples
	@$(TARGET_DIR)/venv/bin/python3 -B tests/privacy/digits.py $(TARGET_DIR)/debug/examples/private_sum measure docs

SEEDS ?= 10000
simulate: build ## SEEDS=N histories of a fleet with faults and liars, from seed FROM=M on
	@$(or $(CARGO_TARGET_DIR),target)/debug/sealsum-simulate run --seeds $(SEEDS) --from $(or $(FROM),0)

mutants: deps ## switch off each check of the protocol in turn and show which test notices (an hour)
	@python3 tests/mutants/run.py

SECONDS ?= 60
FUZZ = @sh packaging/deps.sh fuzz && CARGO="$(CARGO)" sh tests/fuzz/campaign.sh

fuzz: ## SECONDS of libFuzzer for each decoder and both state machines, or for TARGET (docs/fuzzing.md)
	$(FUZZ) $(SECONDS) $(TARGET)

fuzz-corpus: ## what fuzzing learnt, minimised, into tests/fuzz/corpus
	$(FUZZ) minimise $(TARGET)

fuzz-table: ## the last campaign, into docs/fuzzing-campaign.md
	$(FUZZ) table

lint: deps ## formatting, clippy, documentation, licences (with cargo-deny where it is installed)
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo "cargo-deny is not installed: licences are checked by tests/edges.rs alone"; fi

PREFIX ?= /usr
DESTDIR ?=
# The profile to install: `release` is built here; `debug` takes what `make build` built.
BUILD ?= release
BUILT = $(or $(CARGO_TARGET_DIR),target)/$(BUILD)
PROGRAMS = sealsum-agent sealsum-aggregator sealsum-authority
# Programs without a unit.
TOOLS = sealsum-loadgen
RELEASED = $(CARGO) build --release $(PROGRAMS:%=-p %) $(TOOLS:%=-p %)
UNITS = $(DESTDIR)/lib/systemd/system
SYSUSERS = $(DESTDIR)$(PREFIX)/lib/sysusers.d
EXAMPLES = $(DESTDIR)$(PREFIX)/share/doc/sealsum/examples

install: ## programs, systemd units, users and sample configurations, below DESTDIR
	@[ "$(BUILD)" != release ] || $(RELEASED)
	install -d $(DESTDIR)$(PREFIX)/bin $(UNITS) $(SYSUSERS) $(EXAMPLES)
	for program in $(PROGRAMS); do \
	  install -m 0755 $(BUILT)/$$program $(DESTDIR)$(PREFIX)/bin/ && \
	  sed 's#/usr/bin/#$(PREFIX)/bin/#' packaging/systemd/$$program.service > $(UNITS)/$$program.service && \
	  chmod 0644 $(UNITS)/$$program.service && \
	  install -m 0644 packaging/sysusers/$$program.conf $(SYSUSERS)/ || exit 1; \
	done
	install -m 0755 $(TOOLS:%=$(BUILT)/%) $(DESTDIR)$(PREFIX)/bin/
	install -m 0644 packaging/config/*.toml $(EXAMPLES)/
