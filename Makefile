# Everything happens in .venv, which `make setup` makes; nothing else of the machine is used or changed.
# `make setup PYTHON=/path/to/python3.12` picks the interpreter, `make test ARGS="-k graph -x"` passes options on.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint types layers format bench lock ci clean

READY := .venv/.setup
RUN := .venv/bin/python -m
UV := .venv/bin/python -m uv pip
PYTHON ?= python3
# Others are tried only where none was named.
CANDIDATES := $(if $(filter file,$(origin PYTHON)),python3.13 python3.12 python3.11)
ARGS ?=

# An environment that was made elsewhere and moved, or whose interpreter is gone, is not ready.
$(shell [ "$$(cat $(READY) 2>/dev/null)" = '$(CURDIR)' ] && .venv/bin/python -c '' 2>/dev/null || rm -f $(READY))

help: ## list the targets (this is what plain `make` does)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## make .venv with everything in it; instant when nothing changed

demo: $(READY) ## capture a backtest, delete its folder, replay it from lineage alone, compare
	@$(RUN) demo.run $(ARGS)

test: $(READY) ## run the tests
	@$(RUN) pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(READY) ## check style, docstrings and format (ruff)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

types: $(READY) ## check types, strictly (mypy)
	@$(RUN) mypy

layers: $(READY) ## check that imports only point down the layers (import-linter)
	@.venv/bin/python .venv/bin/lint-imports

format: $(READY) ## mend what ruff can mend
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

bench: $(READY) ## measure what the plugin costs, how fast fingerprints are, what a silent receiver costs, and replays
	@$(RUN) benchmarks.overhead
	@$(RUN) benchmarks.fingerprint
	@$(RUN) benchmarks.silent_receiver
	@$(RUN) benchmarks.replay

lock: $(READY) ## write requirements.txt anew from pyproject.toml, keeping the pins that still fit
	@$(UV) compile -q --universal --python-version 3.11 pyproject.toml --extra aws --extra example --group dev \
		--no-header -o requirements.txt

ci: ## what a build server runs: everything above that checks
	@.ci/run

clean: ## remove caches, builds and the demo's files; .venv stays
	@rm -rf .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

# The stamp goes first and comes back last, so a set-up that was interrupted starts again from an empty .venv.
# uv does not read pip's configuration; where a package index is set only there, pip installs the same pins.
$(READY): requirements.txt pyproject.toml
	@if [ ! -f $@ ]; then \
		found=; \
		for python in '$(PYTHON)' $(CANDIDATES); do \
			if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
				found=$$python; break; \
			fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo 'make setup: no Python 3.11 or newer with venv among: $(PYTHON) $(CANDIDATES).' >&2; \
			echo 'Install one (on Debian: apt-get install python3-venv), or name it: make setup PYTHON=/path/to/python3' >&2; \
			exit 1; \
		fi; \
		echo "making .venv with $$("$$found" --version)"; \
		"$$found" -m venv --clear .venv; \
	fi
	@rm -f $@
	@echo 'installing the packages that requirements.txt pins'
	@$(RUN) pip install -q --disable-pip-version-check uv -c requirements.txt
	@$(UV) sync -q --python .venv/bin/python requirements.txt \
		|| { echo 'uv could not; trying pip, which reads its own configuration' >&2; \
			$(RUN) pip install -q --disable-pip-version-check --no-deps -r requirements.txt; }
	@$(UV) install -q --python .venv/bin/python --no-deps --editable . \
		|| $(RUN) pip install -q --disable-pip-version-check --no-deps --editable .
	@printf '%s' '$(CURDIR)' > $@
