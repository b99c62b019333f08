# Two commands: `make run` and `make test`. Both set up .venv first; nothing else is needed.
# `make help` lists the targets, by what stands behind their `##`.
PYTHON ?= python3
VENV ?= .venv
MANIFEST ?= pipeline.yaml
# For wheels without CUDA: make run TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# What CI passed on, with hashes. Without it, the newest that pyproject.toml allows: make run LOCKS=
LOCKS ?= locks
# The pair that `make lock` locks: by hand, since a newer one is gigabytes for everybody, has other
# bits and has to be tried.
TORCH := torch==2.14.1 torchvision==0.29.1
# The tests that take a minute or two.
QUICK := -m "not slow and not long"
# A process for each core, but each takes up to 3 GB; the tests of one file stay together.
TOGETHER := -n auto --maxprocesses 4 --dist loadfile

BIN := $(VENV)/bin
SOURCES := pyproject.toml Makefile tools/install.py $(if $(LOCKS),$(wildcard $(LOCKS)/*.txt))
INSTALL = $(BIN)/python tools/install.py $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

.PHONY: run help demo test test-ray quick test-lowest fault-test lock lint format picture bench gpu-check clean

run: $(VENV)/.installed ## install, write the demonstration into demo/, make what pipeline.yaml says
	@$(BIN)/stylebatch demo demo > /dev/null
	$(BIN)/stylebatch run $(MANIFEST)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F '|' '{ printf "make %-13s %s\n", $$1, $$2 }'

demo: $(VENV)/.installed ## photographs, styles and a manifest to try, in demo/
	@$(BIN)/stylebatch demo demo

test: $(VENV)/.installed-dev ## every test: what CI runs
	$(BIN)/python -m pytest $(TOGETHER)

# Minutes, as clusters start and end: without Ray `make test` skips these.
test-ray: $(VENV)/.installed-ray ## the tests on real Ray clusters of this machine
	$(BIN)/python -m pytest tests/run/test_ray.py tests/run/test_ray_autoscaler.py

quick: lint ## check a change: lint and every test that is not slow
	$(BIN)/python -m pytest $(QUICK) $(TOGETHER)

# Hundreds of killed processes, full disks, jumping clocks: minutes. `make test` runs a sample.
fault-test: $(VENV)/.installed-dev ## many killed runs and full disks
	STYLEBATCH_FAULTS=$${STYLEBATCH_FAULTS:-300} $(BIN)/python -m pytest tests/faults

lint: $(VENV)/.installed-dev ## format, lint and types, only looked at
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## mend format and lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

picture: $(VENV)/.installed demo ## README's picture again
	$(BIN)/python docs/make_picture.py

bench: $(VENV)/.installed-dev ## the figures of docs/lab: hours
	$(BIN)/python -m benchmarks.solver --size 128 --pairs 2
	$(BIN)/python -m benchmarks.speed.limit
	$(BIN)/python -m benchmarks.speed.batching
	$(BIN)/python -m benchmarks.speed.processes
	$(BIN)/python -m benchmarks.speed.overhead
	$(BIN)/python -m benchmarks.speed.plan --jobs 10000 100000
	$(BIN)/python -m benchmarks.pictures.slim

# Of what a GPU does, in ten minutes of one. Without: make gpu-check DEVICE=cpu BUDGET_S=240
DEVICE ?= cuda:0
BUDGET_S ?= 600
gpu-check: $(VENV)/.installed-dev ## ten minutes on a GPU, as one report: gpu-report.md
	benchmarks/gpu_session.sh --python $(BIN)/python --device $(DEVICE) --budget-s $(BUDGET_S)

# Are the floors of pyproject.toml true? The oldest versions that it allows, in their own environment.
LOWEST := $(VENV)-lowest
test-lowest: $(VENV)-uv/bin/uv ## the quick tests in the oldest versions that are allowed
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(COMPILE) --resolution lowest-direct --extra dev --output-file $(LOWEST)/lowest.txt
	@echo "installing torch and the rest: a few minutes, some GB"
	@$(LOWEST)/bin/pip install -qq --disable-pip-version-check -r $(LOWEST)/lowest.txt
	@$(LOWEST)/bin/pip install -qq --no-deps --no-build-isolation --editable .
	$(LOWEST)/bin/python -m pytest $(QUICK) $(TOGETHER)
	rm -rf $(LOWEST)

# Locks the newest versions. A requirements file with hashes and not uv's own lock: pip, which every
# machine with Python has, installs from it, and so does uv.
COMPILE = $(VENV)-uv/bin/uv pip compile --quiet --python-version 3.11 pyproject.toml
LOCK := --upgrade --universal --generate-hashes --custom-compile-command "make lock"
lock: $(VENV)-uv/bin/uv ## lock the newest versions
	printf '%s\n' $(TORCH) > $(VENV)-uv/torch.txt
	$(COMPILE) $(LOCK) --constraint $(VENV)-uv/torch.txt --extra dev --output-file locks/dev.txt
	$(COMPILE) $(LOCK) --constraint locks/dev.txt --extra demo --output-file locks/run.txt
	$(COMPILE) $(LOCK) --constraint locks/dev.txt --extra dev --extra ray --output-file locks/ray.txt

clean: ## remove .venv, demo/, out/ and what tools have left
	rm -rf $(VENV) $(VENV)-uv $(VENV)-lowest demo out out-* build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "stylebatch needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(SOURCES) | $(VENV)/bin/python
	@$(INSTALL) --extra demo $(if $(LOCKS),--lock $(LOCKS)/run.txt)
	@touch $@

$(VENV)/.installed-dev: $(SOURCES) | $(VENV)/bin/python
	@$(INSTALL) --extra dev $(if $(LOCKS),--lock $(LOCKS)/dev.txt)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-ray: $(SOURCES) | $(VENV)/bin/python
	@$(INSTALL) --extra dev,ray $(if $(LOCKS),--lock $(LOCKS)/ray.txt)
	@touch $@ $(VENV)/.installed $(VENV)/.installed-dev

$(VENV)-uv/bin/uv: | $(VENV)/bin/python
	$(BIN)/python -m venv $(VENV)-uv
	$(VENV)-uv/bin/pip install --quiet --disable-pip-version-check uv
