# Two commands: `make run` and `make test`. Both set up .venv first; nothing else is needed.
PYTHON ?= python3
VENV ?= .venv
MANIFEST ?= pipeline.yaml
# For wheels without CUDA: make run TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

BIN := $(VENV)/bin
SOURCES := pyproject.toml Makefile

.PHONY: run demo test fault-test lint format picture bench clean

run: $(VENV)/.installed demo
	$(BIN)/stylebatch run $(MANIFEST)

demo: $(VENV)/.installed
	@$(BIN)/stylebatch demo demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

# Hundreds of killed processes, full disks, jumping clocks: minutes. `make test` runs a sample.
fault-test: $(VENV)/.installed-dev
	STYLEBATCH_FAULTS=$${STYLEBATCH_FAULTS:-300} $(BIN)/python -m pytest tests/faults

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

picture: $(VENV)/.installed demo
	$(BIN)/python docs/make_picture.py

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.solver --size 128 --pairs 2
	$(BIN)/python -m benchmarks.speed.limit
	$(BIN)/python -m benchmarks.speed.batching
	$(BIN)/python -m benchmarks.speed.overhead
	$(BIN)/python -m benchmarks.speed.plan --jobs 10000 100000
	$(BIN)/python -m benchmarks.pictures.slim

clean:
	rm -rf $(VENV) demo out out-* build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "stylebatch needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: | $(VENV)/bin/python
	@echo "installing torch and torchvision: a few minutes, some GB"
	$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch torchvision
	@touch $@

$(VENV)/.installed: $(SOURCES) $(VENV)/.torch
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.installed-dev: $(SOURCES) $(VENV)/.torch
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed
