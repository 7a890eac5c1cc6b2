# make run          the quickstart: measure, table, figures
# make test         the tests, then the regression gates
# make test-extras  the tests against torch, keras, onnx and a browser, and those that take long, in
#                   an environment of their own
# make torture      what docs/reliability.md promises, measured at full length; under an hour.
#                   make torture ROW=kills takes one family, FRACTION=0.1 a tenth of each;
#                   ROW=strength alone puts faults into the code, for an hour, and counts those
#                   that no test sees
# make test-lowest  the tests with the lowest versions that pyproject.toml allows, in an environment
#                   of their own; the lowest Python, too: make test-lowest PYTHON=python3.11
# make coverage     all tests of `make test` with the branches that they take
# make check        lint, format, types
# make history      the experiments of the literature, some 20 hours of a core at most, goes on where it was stopped;
#                   one alone: gradflow run configs/history/NAME.yaml
# make bench        the benchmarks, with their peers in an environment of their own
#
# make run PYTHON=python3.12   chooses the interpreter

.POSIX:
.SUFFIXES:

PYTHON = python3
VENV = .venv
BENCH = .venv-bench
EXTRAS = .venv-extras
LOWEST = .venv-lowest
PYTEST_FLAGS = -n auto --dist worksteal
BENCH_FLAGS =
ROW =
FRACTION = 1

INSTALL = bin/python -m pip install --quiet --disable-pip-version-check
PIP = $(INSTALL) -c constraints.txt
SOURCES = pyproject.toml constraints.txt

.PHONY: run test test-extras test-lowest torture coverage check history bench clean

run: $(VENV)/.run
	$(VENV)/bin/gradflow run configs/quickstart.yaml
	$(VENV)/bin/gradflow plot quickstart

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest $(PYTEST_FLAGS)
	$(VENV)/bin/gradflow check configs/regression*.yaml

test-extras: $(EXTRAS)/.extras
	command -v chromium || { apt-get update -qq && apt-get install -y -qq chromium; }
	GRADFLOW_NO_SKIPS=1 $(EXTRAS)/bin/python -m pytest -m extras $(PYTEST_FLAGS)
	$(EXTRAS)/bin/gradflow verify -q

torture: $(VENV)/.dev
	$(VENV)/bin/python -m tests.torture $(ROW) --fraction $(FRACTION)

test-lowest: $(LOWEST)/.lowest
	$(LOWEST)/bin/python -m pytest $(PYTEST_FLAGS)

coverage: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --cov --cov-report=term $(PYTEST_FLAGS)

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

history: $(VENV)/.run
	for file in configs/history/*.yaml; do $(VENV)/bin/gradflow run $$file || exit; done

bench: $(BENCH)/.bench
	$(BENCH)/bin/python -m benchmarks $(BENCH_FLAGS)

clean:
	rm -rf $(VENV) $(BENCH) $(EXTRAS) $(LOWEST) build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(BENCH)/bin/python:
	$(PYTHON) -m venv $(BENCH)

$(VENV)/.run: $(SOURCES) $(VENV)/bin/python
	$(VENV)/$(PIP) -e .
	touch $@

$(VENV)/.dev: $(SOURCES) $(VENV)/.run
	$(VENV)/$(PIP) -e '.[dev,parquet,dask,report]'
	touch $@

$(EXTRAS)/bin/python:
	$(PYTHON) -m venv $(EXTRAS)

$(EXTRAS)/.extras: $(SOURCES) $(EXTRAS)/bin/python
	$(EXTRAS)/$(PIP) -e '.[dev,parquet,dask,report,peers,keras,onnx]'
	touch $@

$(LOWEST)/bin/python:
	$(PYTHON) -m venv $(LOWEST)

$(LOWEST)/.lowest: pyproject.toml constraints-lowest.txt $(LOWEST)/bin/python
	$(LOWEST)/$(INSTALL) -c constraints-lowest.txt -e '.[dev,parquet,dask,report]'
	touch $@

$(BENCH)/.bench: $(SOURCES) $(BENCH)/bin/python
	$(BENCH)/$(PIP) -e '.[bench]'
	touch $@
