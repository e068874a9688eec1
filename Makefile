# The same commands for people and for machines. Each sets up what it needs (tools/setup.sh), then does its work.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long matrix check bench lab lock clean
.NOTPARALLEL:

CARGO := cargo
CARGO_TEST := $(CARGO) test --manifest-path relay/Cargo.toml --workspace --release --locked --quiet -- --show-output

help:
	@echo "make demo       set up, then a real call between two softphones over six relays on this machine, with a report"
	@echo "make test       set up, then all tests (Rust, then Python)"
	@echo "make test-long  the same with a hundred times as many fuzz inputs"
	@echo "make matrix     set up, then every pair of phones over every way, and a table of what came of each; JOBS=6 runs more at once, ONLY='linphonec and tls' some"
	@echo "make check      set up, then formatting, lint, types, import contracts, licences, lock files; no tests"
	@echo "make bench      set up, then speed and memory, results in build/bench.json; PART='kills speech' runs these parts and keeps the others' figures, PART=all every one"
	@echo "make lab        set up, then the traffic-analysis lab with strict limits, results in build/lab.json and build/lab.html; TEST=c runs one test"
	@echo "make lock       requirements/*.txt from pyproject.toml, what is locked stays where it fits; UPGRADE=1 renews all (needs uv)"
	@echo "make clean      remove what was built; .venv and an installed Rust stay"

demo:
	@tools/setup.sh demo; . build/env; exec .venv/bin/voicebox demo

test:
	@tools/setup.sh test; . build/env; \
	if [ -f relay/Cargo.toml ]; then $(CARGO_TEST); fi; \
	exec .venv/bin/python -m tools.run_tests

test-long:
	@tools/setup.sh test; . build/env; export VOICEBOX_LONG=1; \
	if [ -f relay/Cargo.toml ]; then $(CARGO_TEST); fi; \
	exec .venv/bin/python -m tools.run_tests --timeout 7200

matrix:
	@tools/setup.sh test; . build/env; exec .venv/bin/python -m tests.interop.run_matrix $(if $(JOBS),--jobs $(JOBS)) $(if $(ONLY),--only "$(ONLY)")

check:
	@tools/setup.sh check; . build/env; exec .venv/bin/python tools/check.py

bench:
	@tools/setup.sh bench; . build/env; exec .venv/bin/python -m tools.bench $(if $(PART),--part $(PART) --keep)

lab:
	@tools/setup.sh test; . build/env; exec .venv/bin/python -m tools.adversary $(if $(TEST),--test $(TEST))

lock:
	@tools/lock.sh

clean:
	@rm -rf build/bench.json build/lab build/lab-quick build/lab-site build/lab.json build/lab.html build/engine.stamp relay/target voicebox/_relay*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find voicebox relay/model tools tests -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
