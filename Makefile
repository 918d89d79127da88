# Each target works as the only command on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
DEV := .venv
CORE := .venv-core
OUT ?= out

.PHONY: demo test lint docs matrix check-data format clean

# The core install alone, as a user has it: no torch.
$(CORE)/.installed: pyproject.toml $(shell find buildext -name '*.py' -o -name 'card.json' -o -name '*.onnx' -o -name '*.jpg')
	test -x $(CORE)/bin/python || $(PYTHON) -m venv $(CORE)
	$(CORE)/bin/pip install --quiet .
	touch $@

# Everything; made anew only when the dependencies change.
$(DEV)/.installed: pyproject.toml
	test -x $(DEV)/bin/python || $(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --editable ".[train,dev]"
	touch $@

demo: $(CORE)/.installed
	mkdir -p $(OUT)
	$(CORE)/bin/python examples/demo.py --out $(OUT)

test: lint
	$(DEV)/bin/python -m pytest

lint: $(DEV)/.installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

format: $(DEV)/.installed
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

docs: $(DEV)/.installed
	$(DEV)/bin/mkdocs build --strict

# All encoders of the named list under all decoders, with their figures; hours. It goes on where it
# was stopped.
matrix: $(DEV)/.installed
	$(DEV)/bin/python -m benchmarks.matrix

# Heavier checks on the full data pools and on pretrained encoders, where they are:
# BUILDEXT_DATA=/path BUILDEXT_WEIGHTS=/path make check-data
check-data: $(DEV)/.installed
	$(DEV)/bin/python -m benchmarks.accuracy
	$(DEV)/bin/python -m pytest tests/learn/networks/test_weights.py -rs

clean:
	rm -rf $(DEV) $(CORE) $(OUT) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
