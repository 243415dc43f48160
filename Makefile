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
WORKERS ?= 2

.PHONY: demo test test-slow gpu-check lint format wheel docs clean help

help:
	@echo "make demo       few-shot benchmark on rendered demo data, with a report in $(RESULTS)/report"
	@echo "make test       the test suite"
	@echo "make test-slow  the checks that need more than a minute each"
	@echo "make gpu-check  what only a GPU can show, in one report (8 minutes): gpu-check.md"
	@echo "make lint       ruff and mypy"
	@echo "make format     ruff's formatter and fixes"
	@echo "make docs       the documentation as pages in site/; fails on a broken link or silent name"
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
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --durations=10

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

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
