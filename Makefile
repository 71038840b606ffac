# The only commands to know: make quickstart | test | lint | bench | docs | new-plugin | test-xla | test-gpu
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PROJECTS := core/pyproject.toml $(wildcard plugins/*/*/pyproject.toml)
PACKAGES := $(patsubst %/pyproject.toml,%,$(PROJECTS))
# What `nanoplug[default]` means; the tests install all packages.
DEFAULT := core $(addprefix plugins/,attention/sdpa kernels/torch kernels/chunked tokenizers/cpp tokenizers/bpe devices/cpu devices/cuda)
SOURCES := $(wildcard core/src plugins/*/*/src)
# Tested with torch_xla too, in an environment of its own.
XLA := .venv-xla
XLA_PACKAGES := core $(patsubst %/tests/xla,%,$(wildcard plugins/*/*/tests/xla))
FAMILY := $(if $(filter attention,$(KIND)),attention,$(KIND)s)
NEW_PLUGIN = $(or $(OUT),plugins/$(FAMILY)/$(NAME))
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: quickstart test lint bench docs new-plugin test-xla test-gpu clean

## Install into .venv, then train on real C++ and complete it. CORPUS=DIR uses your own source.
# Threads that sleep while they wait leave the cores to a busy neighbour (LOG.md).
quickstart: $(VENV)/.installed
	OMP_WAIT_POLICY=passive $(BIN)/nanoplug quickstart $(if $(CORPUS),--corpus "$(CORPUS)")

## Lint, types and all tests, as CI runs them.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(subst $(SPACE),:,$(strip $(SOURCES))) $(BIN)/mypy $(SOURCES)

## Speed, measured against named peers; rows go to benchmarks/results/.
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/registry_cost.py

## The documentation, into site/. A warning is an error.
docs: $(VENV)/.tested
	$(BIN)/python -m mkdocs build --strict --site-dir site

## Write a plugin, install it and prove it: KIND=attention|kernel|tokenizer|device NAME=foo [OUT=dir] [AUTHOR=text]
new-plugin: $(VENV)/.installed
	$(if $(and $(KIND),$(NAME)),,$(error Give KIND=attention|kernel|tokenizer|device and NAME=foo))
	$(BIN)/nanoplug new-plugin $(KIND) $(NAME) --out "$(NEW_PLUGIN)" $(if $(AUTHOR),--author "$(AUTHOR)")
	$(PIP) --no-build-isolation --no-deps --editable "$$(cd "$(NEW_PLUGIN)" && pwd)"
	$(BIN)/nanoplug verify $(KIND) $(NAME)

## torch_xla on CPU devices, and the TPU's compiler: no TPU is used. Each file in a process of its own, as SPMD asks.
test-xla: $(XLA)/.installed
	for file in plugins/*/*/tests/xla/test_*.py; do OMP_NUM_THREADS=1 $(XLA)/bin/python -m pytest "$$file" || exit 1; done

## Everything that needs a GPU: laws, the training step, and what the registry costs. Uses the python3 that has torch.
test-gpu:
	bash benchmarks/on_gpu.sh

$(VENV)/.installed: constraints.txt $(PROJECTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0 hatchling editables
	$(PIP) --no-build-isolation --editable "./core[default]" $(foreach package,$(filter-out core,$(DEFAULT)),--editable ./$(package))
	$(BIN)/nanoplug plugins list
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) ruff mypy pytest pytest-xdist pytest-timeout hypothesis build tensorboard mkdocs mkdocs-material mkdocstrings-python
	# CUDA builds of torch bring a triton of their own; the interpreter of any serves the tests on a CPU.
	$(BIN)/python -c "import triton" 2>/dev/null || $(PIP) --no-deps triton
	$(PIP) --no-deps liger-kernel cut-cross-entropy
	# The engine of `nanoplug data index` for many machines, on one here.
	$(PIP) ray
	# Pallas's interpreter.
	$(PIP) "jax>=0.7.1 ; python_version >= '3.11'"
	$(PIP) --no-build-isolation --no-deps $(foreach package,$(filter-out $(DEFAULT),$(PACKAGES)),--editable ./$(package))
	@touch $@

$(XLA)/.installed: constraints-xla.txt $(addsuffix /pyproject.toml,$(XLA_PACKAGES))
	$(PYTHON) -m venv $(XLA)
	$(XLA)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints-xla.txt
	# torch_xla's wheel carries an older torchax, which lies over this one or under it, as pip happens to unpack them.
	$(XLA)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints-xla.txt \
	  --force-reinstall torchax
	$(XLA)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  $(foreach package,$(XLA_PACKAGES),--editable ./$(package))
	@touch $@

clean:
	rm -rf $(VENV) $(XLA) .mypy_cache .ruff_cache .pytest_cache site
