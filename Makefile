# Each target works as the only command on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
DEV := .venv
CORE := .venv-core
OUT ?= out

# The Python that belongs to QGIS, for the tests of the plugin.
QGIS_PYTHON ?= /usr/bin/python3
QGIS := .venv-qgis
BUILD := .venv-build

.PHONY: demo test lint docs matrix check-data format clean plugin test-qgis

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

# The QGIS plugin's zip, with a wheel of this package in it: dist/buildext_qgis-VERSION.zip.
# `make plugin URL=https://…` for a release, with the project's address.
plugin:
	test -x $(BUILD)/bin/python || $(PYTHON) -m venv $(BUILD)
	rm -rf build/plugin dist/buildext_qgis-*.zip
	$(BUILD)/bin/pip wheel --quiet --no-deps --wheel-dir build/plugin .
	$(BUILD)/bin/python qgis_plugin/build.py --wheel build/plugin --out dist --url "$(URL)"

# The plugin in a real QGIS (Debian, Ubuntu: qgis python3-qgis python3-venv, and for the desktop
# xvfb xauth openbox imagemagick). The environment is made by the plugin itself, from its zip.
test-qgis: plugin
	test -x $(QGIS)/bin/python || $(QGIS_PYTHON) -m venv --system-site-packages $(QGIS)
	$(QGIS)/bin/pip install --quiet pytest pytest-timeout bandit detect-secrets
	env -u PYTHONPATH BUILDEXT_REQUIRE_QGIS=1 BUILDEXT_PLUGIN_ZIP="$$(ls $(CURDIR)/dist/buildext_qgis-*.zip)" \
		$(QGIS)/bin/python -m pytest -c tests/qgis_plugin/in_qgis/pytest.ini tests/qgis_plugin/in_qgis

clean:
	rm -rf $(DEV) $(CORE) $(QGIS) $(BUILD) $(OUT) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
