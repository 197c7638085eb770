# Two commands do everything on a machine with Python 3.11 and make: `make app` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: app test setup fetch browser-test lint format types check clean

app: setup fetch
	$(BIN)/streamlit run app/main.py

test: setup-dev fetch
	$(BIN)/python -m pytest -m "not browser and not ray and not train"

setup: $(VENV)/installed
setup-dev: $(VENV)/installed-dev

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SARM Explorer needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	touch $(VENV)/installed $@

fetch: setup
	$(BIN)/python -m sarm_core demo fetch

browser-test: setup-dev fetch
	$(BIN)/python -m pytest -m browser

lint: setup-dev
	$(BIN)/ruff check .

format: setup-dev
	$(BIN)/ruff format --check .

types: setup-dev
	$(BIN)/mypy

check: test browser-test lint format types

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache
