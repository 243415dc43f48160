# Everything runs in .venv, which the first target makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Running needs no tools of development.
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
RESULTS ?= results
REPEATS ?= 3
# Tests run in this many processes, each on one thread: threads that share cores wait for each other.
# One more than the cores of a small machine, since tests wait for processes that they start.
WORKERS ?= 3
# sysmon is quicker, from Python 3.12 on.
COVERAGE_CORE ?= ctrace

.PHONY: demo test test-slow gpu-check lint format wheel docs \
  ci-regression ci-coverage ci-lowest baseline clean help

help:
	@echo "make demo       few-shot benchmark on rendered demo data, with a report in $(RESULTS)/report"
	@echo "make test       the test suite"
	@echo "make test-slow  the checks that need more than a minute each"
	@echo "make gpu-check  what only a GPU can show, in one report (8 minutes): gpu-check.md"
	@echo "make lint       ruff and mypy"
	@echo "make format     ruff's formatter and fixes"
	@echo "make docs       the documentation as pages in site/; fails on a broken link or silent name"
	@echo "make baseline   the demo's numbers into baselines/demo.json, which make ci-regression holds on to"
	@echo "make wheel      sdist and wheel in dist/, tried in an environment of their own"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "iqa-bench needs Python 3.11 or newer; try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/bench run protocols/few_shot.yaml --methods grmp,promptiqa,pyiqa:piqe,clip_zeroshot,ridge \
	  --datasets demo_authentic,demo_synthetic --set backbone=tiny --set ridge.backbone=lite0 \
	  --set evaluate_every=1 --repeats $(REPEATS) --results $(RESULTS)

test: $(DEV_STAMP)
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist worksteal --durations=10

test-slow: $(DEV_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n $(WORKERS)

gpu-check: $(DEV_STAMP)
	$(BIN)/python -m tools.gpu_check

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(DEV_STAMP)
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/release

docs: $(DEV_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# What .github/workflows/ci.yml runs besides lint, test, docs and wheel.

REGRESSION := few_shot --datasets demo_authentic --methods ridge,knn,clip_zeroshot,clipiqa,pyiqa:piqe \
  --set backbone=tiny --repeats 10 --results build/regression --no-report

ci-regression: $(STAMP)
	$(BIN)/bench run $(REGRESSION)
	$(BIN)/bench check build/regression --against baselines/demo.json --out build/check

# After a change that is meant to change the demo's numbers.
baseline: $(STAMP)
	$(BIN)/bench run $(REGRESSION)
	$(BIN)/bench baseline save demo --results build/regression

# The rooms whose tests run in the process that is measured; runs compute in processes of their own.
COVERED := metrics stats util model protocol store

ci-coverage: $(DEV_STAMP)
	OMP_NUM_THREADS=1 COVERAGE_CORE=$(COVERAGE_CORE) $(BIN)/python -m pytest -m "not slow" \
	  -n $(WORKERS) --dist worksteal $(COVERED:%=--cov=bench.%) $(COVERED:%=tests/%)

# The lowest version of every declared dependency, in an environment of its own.
LOWEST := build/lowest
LOWEST_TESTS := tests/metrics tests/model tests/util tests/backbones tests/data/fetch tests/store \
  tests/reports/test_latex.py tests/reports/test_charts.py tests/reports/test_html.py \
  tests/runs/test_run.py tests/methods/test_regression.py tests/methods/test_grmp_golden.py \
  tests/methods/test_promptiqa_golden.py

ci-lowest: $(DEV_STAMP)
	rm -rf $(LOWEST)
	$(BIN)/uv venv --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct -e .
	$(BIN)/uv pip install --python $(LOWEST)/bin/python pytest hypothesis
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -m "not slow" $(LOWEST_TESTS)

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
