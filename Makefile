# make run    sets up .venv and runs the main job on the embedded defaults
# make test   sets up and passes the tests
# make notebook  runs docs/tutorial.py and keeps what it shows, and draws the other pictures of README and docs/
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
export DO_NOT_TRACK := true

.PHONY: run test long test-long lint types bench notebook ui clean

run: .venv/run.stamp
	@$(BIN)/linreg run configs/crops.toml

test: .venv/dev.stamp
	@$(PYTEST) -m "not gpu and not long"

# what make test leaves out; test-long does both, with all pictures, on other generated inputs each time
long: .venv/dev.stamp
	@$(PYTEST) -m "long and not gpu"

test-long: .venv/dev.stamp
	@$(PYTEST) -m "not gpu" --hypothesis-profile explore --pictures

lint: .venv/dev.stamp
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/dev.stamp
	@$(BIN)/mypy

bench: .venv/dev.stamp
	@$(PIP) -e '.[dev,bench]'
	@$(BIN)/python -m bench && $(BIN)/python -m bench --chart

notebook: .venv/dev.stamp
	@$(BIN)/python -m docs.build

ui: .venv/run.stamp
	@$(BIN)/linreg ui

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache

# The environment is made in place and marked done last, so that one cut off in the middle is made anew.
.venv/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11: install Python 3.11 or newer, or say make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "error: $(PYTHON) has no venv: install it (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/run.stamp: pyproject.toml constraints.txt | .venv/made.stamp
	@echo "installing into .venv (two minutes or so, the first time) ..." >&2
	@$(PIP) -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	@echo "installing what the tests need ..." >&2
	@$(PIP) -e '.[dev]'
	@touch $@
