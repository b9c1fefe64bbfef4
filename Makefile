# The commands of the house. `make demo` and `make test` work as the very first command after a
# clone: they make the virtual environment themselves, and again when the dependencies change.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

BIN := .venv/bin
RUNTIME := .venv/runtime.stamp
DEV := .venv/dev.stamp
DEPENDENCIES := pyproject.toml constraints.txt

# What may be said on the command line: make demo ARGS="--scenario bad-fix", make test ARGS=tests/bot
ARGS ?=
PYTHON ?=
# One more than there are cores: much of what is tested is waiting for other processes.
JOBS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 1)))

.PHONY: help demo up test check eval bench soak clean

help: ## list these commands
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(RUNTIME) ## break a real service and watch it being diagnosed, mended and reviewed
	@$(BIN)/halon demo $(ARGS)

up: $(RUNTIME) ## start Halon on this machine with the services of halon.toml
	@$(BIN)/halon up $(ARGS)

test: $(DEV) ## run the tests (at home, tests of a missing service are skipped)
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(DEV) ## check style, types and who imports whom; all of it, then fail if anything did
	@status=0; \
	$(BIN)/ruff check --quiet || status=1; \
	$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --diff --quiet || true; status=1; }; \
	$(BIN)/mypy || status=1; \
	(cd demo/checkout && ../../$(BIN)/mypy --config-file ../../pyproject.toml .) || status=1; \
	$(BIN)/lint-imports --no-logo || status=1; \
	exit $$status

eval: $(DEV) ## measure how often the diagnosis is right, on fresh seeds
	@$(BIN)/python -m bench.evaluation $(ARGS)

bench: $(DEV) ## measure the figures to hold, each beside its anchor
	@$(BIN)/python -m bench $(ARGS)

soak: $(DEV) ## kill every step and effect of the whole system, one after the other
	@$(BIN)/python -m pytest -q -m soak $(ARGS)

clean: ## remove the virtual environment and what the tools keep
	@rm -rf .venv build halon.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(RUNTIME): $(DEPENDENCIES)
	@PYTHON='$(PYTHON)' .ci/venv runtime $@

# After the runtime, so that `make -j demo test` never has two pips in one environment.
$(DEV): $(RUNTIME)
	@PYTHON='$(PYTHON)' .ci/venv dev $@
