# make demo   the main job on the example photograph (installs what it needs into .venv first)
# make test   all tests
# make check  style, types, layers, index
# make bench  all measured comparisons, written to docs/benchmarks.md (half an hour, a quiet machine)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check bench clean

demo: .venv/.installed
	$(BIN)/retq demo

# Two at a time, each in one thread: that suits two cores, and more of them are not needed.
test: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_public_surface.py
	$(BIN)/retq index check

bench: .venv/.installed-dev
	$(BIN)/python benchmarks/run.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "retq-hub needs Python 3.11 or newer; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv (some GB, a few minutes the first time) ..."
	$(BIN)/python -m pip install --progress-bar off --quiet --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --progress-bar off --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf .venv build dist retq-demo
