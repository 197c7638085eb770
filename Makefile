# Two commands do everything on a machine with Python 3.11 and make: `make app` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A process more than there are cores, for tests wait: for servers, locks, killed processes. A file's tests stay together, so that they share what they loaded. In the order of the files: those with few
# tests are often the long ones, and would run last, alone.
PARALLEL ?= -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Where a machine asks for no bytecode, every process of the tests would compile everything again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: app test test-fast setup fetch demo-store demo-encoded study browser-test study-test package-test extras-test docs notebooks lint format types check clean

app: setup fetch
	$(BIN)/sarm app

test: setup-dev fetch
	$(BIN)/python -m pytest $(PARALLEL) -m "not browser and not ray and not train and not study and not docs and not package"

# What a change needs every few minutes: the same tests without those that take more than about a fifth of a second each.
test-fast: setup-dev fetch
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not browser and not ray and not train and not study and not docs and not package"

setup: $(VENV)/installed
setup-dev: $(VENV)/installed-dev
setup-docs: $(VENV)/installed-docs

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SARM Explorer needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# The pinned packages, then the project itself where it lies: `sarm` is there, and every script finds the packages.
$(VENV)/installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	touch $@

$(VENV)/installed-docs: $(VENV)/installed-dev requirements-docs.txt
	$(BIN)/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt -r requirements-docs.txt
	touch $@

fetch: setup
	$(BIN)/sarm demo fetch

# The feature store that comes with the embedded model, from its corpus and its sampled answers.
demo-store: setup fetch
	mkdir -p runs
	$(BIN)/sarm harvest sarm_core/demo/corpus.jsonl sarm_core/demo/samples.jsonl --model demo --db runs/demo-store.db
	xz -9 -T1 -c runs/demo-store.db > sarm_core/demo/store.db.xz.new
	mv sarm_core/demo/store.db.xz.new sarm_core/demo/store.db.xz

# The activations of those same texts, which ship as well. Again after any change of the embedded model or its tokenizer.
demo-encoded: setup fetch
	$(BIN)/sarm demo encode

# The case study: finds, steers, proves, ships, and writes docs/over-refusal.md. `study-test` compares instead of writing.
study: setup fetch
	$(BIN)/python examples/over_refusal/run.py --page docs/over-refusal.md

browser-test: setup-dev fetch
	$(BIN)/python -m pytest -m browser

study-test: setup-dev fetch
	$(BIN)/python -m pytest -m study

# The wheel, built and used outside the checkout.
package-test: setup-dev
	$(BIN)/python -m pytest -m package

# The optional extras: a harvest with Ray Data, a reward function in TRL.
extras-test: setup-dev fetch
	$(BIN)/python -m pip install --quiet -r requirements-ray.txt -r requirements-train.txt
	$(BIN)/python -m pytest -m "ray or train"

# The documentation as a site, in build/site: warnings are errors, and nothing in it asks another host for anything.
docs: setup-docs fetch
	$(BIN)/mkdocs build --strict
	$(BIN)/python -m pytest $(PARALLEL) -m docs tests/docs tests/sarm_core/test_documentation.py

# The notebooks, run from top to bottom; what they print is not kept.
notebooks: setup-docs fetch
	PYTHONPATH=$(CURDIR) $(BIN)/jupyter execute examples/*.ipynb

lint: setup-dev
	$(BIN)/ruff check .

format: setup-dev
	$(BIN)/ruff format --check .

types: setup-dev
	$(BIN)/mypy

check: test browser-test lint format types

clean:
	rm -rf $(VENV) runs build .mypy_cache .ruff_cache .pytest_cache
