# Needs make (GNU 3.81 or newer) and Python 3.11 or newer, nothing else. All paths are relative: spaces do no harm.
.DEFAULT_GOAL := help
.PHONY: help up test test-long test-real chaos ordering conformance check fmt bench docs clean

BIN := .venv/bin
SETUP := sh tools/setup.sh

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

up: ## start everything with the example; options: make up ARGS='--port-offset 10000'
	@$(SETUP) && exec $(BIN)/python -m scaup.cli up -f examples/hello $(ARGS)

test: check ## check, then all tests that need nothing but Python
	@$(BIN)/python -m pytest -m 'not real and not long' -n 4 --maxschedchunk 2 $(ARGS)  # they wait more than they work

test-long: ## the tests that take longest: run before an issue is resolved
	@$(SETUP) && exec $(BIN)/python -m pytest -m long -n 3 --maxschedchunk 1 $(ARGS)

test-real: ## tests against tools that are not Python packages (Go, Node.js, Prometheus); `sh tools/real-tools.sh` gets them
	@$(SETUP)
	@$(BIN)/python -m tests.support.realkube  # the first time Go builds them, in about three minutes
	@$(BIN)/python -m tests.support.kn  # Knative's command line tool, likewise
	@$(BIN)/python -m tests.support.interop  # the SDKs of other languages, likewise
	@$(BIN)/python -m tests.support.goclients  # programs on client-go and controller-runtime, likewise
	@$(BIN)/python -m pytest -m real -n 2 --dist loadfile $(ARGS)  # a cluster, and tools, for each file

chaos: ## ten minutes of faults and hostile sinks, 500,000 deliveries, nothing missing; options: make chaos ARGS='--seed 3'
	@$(SETUP) && exec $(BIN)/python -m tests.chaos --seconds 600 --min-deliveries 500000 $(ARGS)

ordering: ## 100,000 events with eight keys while dispatchers are killed: none out of order; options: make ordering ARGS='--seed 3'
	@$(SETUP) && exec $(BIN)/python -m tests.ordering $(ARGS)

conformance: ## show every row of the specifications on Scaup; options: make conformance ARGS='--only CP --html report.html'
	@$(SETUP) && exec $(BIN)/python -m scaup.cli conformance run $(ARGS)

check: ## lint, format, types, import rules
	@$(SETUP)
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports

fmt: ## format the code and mend what can be mended
	@$(SETUP)
	@$(BIN)/python -m ruff format .
	@$(BIN)/python -m ruff check --fix .

bench: ## measure, and print the table; options: make bench ARGS=…
	@$(SETUP) && exec $(BIN)/python -m bench.run $(ARGS)

docs: ## check the documentation against the code
	@$(SETUP)
	@$(BIN)/python -m pytest tests/docs $(ARGS) || test $$? -eq 5

clean: ## remove caches and builds; .venv and the data in .scaup stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@find . -name .venv -prune -o -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
