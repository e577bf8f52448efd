# Everything lives in .venv at the root.  `make verify` is the main job; `make test` the tests.
# Variables: PYTHON (interpreter for the environment), JOBS (workers), EFFORT (quick | standard | full), FUZZ (120: an hour of one core).
PYTHON ?= python3
JOBS ?= 2
EFFORT ?= quick
# Studies of `make verify`, with the processor minutes of a first run (the last line of `make verify` tells the time)
# and, after a stroke, replications at quick effort where they are fewer than the study's own.
STUDIES ?= linear_regression=1.3 digits=1.5/6 copying=2.2/5
FUZZ ?= 120
BIN := .venv/bin
STAMP := .venv/.installed
SOURCES := clair_stats simulations theory_checks reports benchmarks tests docs

# One BLAS thread per worker: results do not depend on the machine's thread count, and two workers do not fight.
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export MPLBACKEND := Agg
# Bytecode is written once: workers and commands are many processes, and each would compile every module (0.3 s).
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup verify test test-all nightly lint format types bench docs dist frameworks clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## create .venv with the tested versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# Half of an installation's time is bytecode of modules that nobody imports; what is imported is compiled then.
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev,llm,docs]'
	@touch $@

verify: $(STAMP) ## check every theorem, run the studies, write the report (resumes when interrupted)
	@$(BIN)/python -m reports verify --effort $(EFFORT) --jobs $(JOBS) $(STUDIES:%=--study %)

test: $(STAMP) ## the tests (slow ones left out; see test-all)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-all: $(STAMP) ## every test, the slow ones too
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "slow or not slow"

nightly: $(STAMP) ## slow tests, FUZZ times as many fuzzing draws, standard effort, fresh seeds, long studies: hours
	JOBS=$(JOBS) FUZZ=$(FUZZ) bash .ci/nightly

frameworks: $(STAMP) ## optional: adapters in PEFT itself, rounds in Flower and NVFlare, each in an environment of its own
	bash .ci/frameworks

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(STAMP) ## let ruff rewrite
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

bench: $(STAMP) ## speed and scale; writes docs/performance.md
	$(BIN)/python -m benchmarks

docs: $(STAMP) ## the documentation site, examples run, warnings are errors; docs/_build/html/index.html
	rm -rf docs/api/generated
	cd docs && PYTHONPATH=.. ../$(BIN)/python -m sphinx --fail-on-warning --keep-going -b html . _build/html

dist: ## wheel and source archive in dist/, checked as an index would
	rm -rf dist
	$(PYTHON) -m venv .dist
	.dist/bin/python -m pip install --quiet --constraint constraints.txt build twine
	.dist/bin/python -m build --outdir dist .
	.dist/bin/python -m twine check --strict dist/*

clean: ## remove results, reports, caches and the environment
	rm -rf .venv .dist results reports/generated docs/_build docs/auto_examples docs/api/generated .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
