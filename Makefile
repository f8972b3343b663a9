# Every target does its own set-up: `make demo` in a fresh checkout is enough.
VENV    := .venv
BIN     := $(VENV)/bin
# Written last, so that an interrupted set-up is taken up again.
STAMP   := $(VENV)/.agentsched-installed
BENCH_STAMP := $(VENV)/.agentsched-bench-installed
UV_PIN  := uv==0.13.9
# The first of these that is new enough; or say `make PYTHON=/path/to/python3.12`.
PYTHON  ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
             && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help install demo up test test-long chaos soak bench lint check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Install everything into .venv/ (all other targets do it, too)

demo: $(STAMP) ## See it work: 60 requests through the whole system, on this machine
	@$(BIN)/agentsched demo

up: $(STAMP) ## Keep a local system running until Ctrl-C
	@$(BIN)/agentsched up

# Side by side, on one Kafka and one Redis: tests/support/hooks/groups.py
test: $(STAMP) ## Run the tests (a quarter of an hour on two cores)
	$(BIN)/pytest

# First what may run beside others; then what needs the machine, and what promises a time.
test-long: test ## Run all tests, also those that take minutes (an hour)
	$(BIN)/pytest -m "long and not alone"
	$(BIN)/pytest -m "long and alone" -n 0
	TIMED=1 $(BIN)/pytest -m timed -n 0

SEED    ?= 1
MINUTES ?= 5
chaos: $(STAMP) ## Faults at random on the real system: make chaos SEED=7 MINUTES=5
	$(BIN)/python -m tests.chaos --seed $(SEED) --minutes $(MINUTES)

soak: MINUTES = 30
soak: $(STAMP) ## Half an hour of traffic with a fault a minute; nothing may have grown
	$(BIN)/python -m tests.chaos --soak --seed $(SEED) --minutes $(MINUTES)

BENCH   ?=
bench: $(BENCH_STAMP) ## Measure it beside its rivals, a quarter of an hour: make bench BENCH=--quick
	@$(BIN)/python -m benchmarks.suite $(BENCH)

lint: $(STAMP) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint ## What to run before a commit: lint and the unit tests
	$(BIN)/pytest -q tests/unit

clean: ## Remove .venv/ and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(STAMP): pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { \
	  echo "AgentSched needs Python 3.11 or later; python3 here is:" \
	       "$$(python3 --version 2>&1). Install one, or: make PYTHON=/path/to/python3.12"; \
	  exit 1; }
	@test -x $(BIN)/python || { \
	  echo "[1/2] making $(VENV)/ with $$($(PYTHON) --version)"; \
	  if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	  elif command -v uv >/dev/null; then uv venv --quiet --python $(PYTHON) $(VENV); \
	  else echo "$(PYTHON) cannot make virtual environments. This helps:"; \
	       echo "  sudo apt-get install python3-venv"; exit 1; fi; }
	@echo "[2/2] installing the locked dependencies (a minute the first time)"
	@PATH="$(CURDIR)/$(BIN):$$PATH"; \
	  command -v uv >/dev/null || $(BIN)/python -m pip install --quiet "$(UV_PIN)"; \
	  if ! UV_PROJECT_ENVIRONMENT=$(VENV) uv sync --frozen --inexact --python $(BIN)/python; then \
	    echo "uv cannot download what uv.lock names; trying pip, which knows your index"; \
	    uv export --quiet --frozen --no-emit-project --output-file $(VENV)/locked.txt && \
	    $(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/locked.txt && \
	    $(BIN)/python -m pip install --quiet --no-deps --editable .; \
	  fi
	@touch $(STAMP)

# The rivals and what draws the plots: only who measures needs them.
$(BENCH_STAMP): $(STAMP)
	@echo "installing what is measured beside AgentSched (group bench)"
	@PATH="$(CURDIR)/$(BIN):$$PATH"; \
	  if ! UV_PROJECT_ENVIRONMENT=$(VENV) uv sync --frozen --inexact --group bench --python $(BIN)/python; then \
	    echo "uv cannot download what uv.lock names; trying pip, which knows your index"; \
	    uv export --quiet --frozen --no-emit-project --group bench --output-file $(VENV)/bench.txt && \
	    $(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/bench.txt; \
	  fi
	@touch $(BENCH_STAMP)
