# The only commands to know: make quickstart | test | lint | bench | test-gpu
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := core $(wildcard plugins/*/*)
PROJECTS := $(addsuffix /pyproject.toml,$(PACKAGES))
SOURCES := $(wildcard core/src plugins/*/*/src)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: quickstart test lint bench test-gpu clean

## Install into .venv, then train on real C++ and complete it. CORPUS=DIR uses your own source.
quickstart: $(VENV)/.installed
	$(BIN)/nanoplug quickstart $(if $(CORPUS),--corpus "$(CORPUS)")

## Lint, types and all tests, as CI runs them.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)

## Speed, measured against named peers; rows go to benchmarks/results/.
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/registry_cost.py

## Everything that needs a GPU: laws, the training step, and what the registry costs. Uses the python3 that has torch.
test-gpu:
	bash benchmarks/on_gpu.sh

$(VENV)/.installed: constraints.txt $(PROJECTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0 hatchling editables
	$(PIP) --no-build-isolation $(foreach package,$(PACKAGES),--editable ./$(package)) "nanoplug[default]"
	$(BIN)/nanoplug plugins list
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) ruff mypy pytest pytest-xdist pytest-timeout hypothesis build tensorboard
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
