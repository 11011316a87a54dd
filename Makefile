# sealsum: private sums over attested devices. `make` prints what there is.
SHELL := /bin/sh
CARGO ?= cargo
PREFIX ?= /usr
DESTDIR ?=

.DEFAULT_GOAL := help
.PHONY: help deps build demo test lint install

help: ## this list
	@echo "sealsum: private sums over attested devices"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

deps: ## find the Debian packages and the Rust that are missing, and install them where possible
	@sh packaging/deps.sh

build: deps
	@$(CARGO) build --workspace --bins

demo: build ## a fleet of twelve devices, each with its own software TPM, on this machine
	@$(CARGO) run --quiet -p sealsum-demo

test: deps ## every test, against real software TPMs
	@$(CARGO) test --workspace

lint: deps ## formatting, clippy, documentation, licences (with cargo-deny where it is installed)
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo "cargo-deny is not installed: licences are checked by tests/edges.rs alone"; fi
