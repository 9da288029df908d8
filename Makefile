# Two commands: `make demo` and `make test`. Each makes .venv and installs the lock first, if that is not done yet.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
# One thread a process: processes are what runs side by side, and one thread's sums are the same on every run.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo ui test check lock

help: ## show what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: .venv/.installed ## make .venv and install the lock

.venv/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: Python 3.11 is needed, found $$($(PYTHON) --version); set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0
	.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps -r requirements.lock
	@touch $@

demo: install ## offline stages, one online run, and the result
	dvc repro -q
	python -m flows.finetune
	python -m offline_to_online.report summary

ui: install ## the Prefect UI and the MLflow UI, on loopback, over what the demo left
	python -m flows.ui

test: install ## all tests
	python -m pytest -n logical --maxprocesses 4 --dist worksteal

check: install ## ruff, mypy, import arrows, docs
	ruff check .
	ruff format --check .
	mypy
	python -m pytest tests/test_architecture.py tests/test_docs.py

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --no-header --no-annotate -q \
	  | grep -v -i -E '^(torch|nvidia-.*|cuda-.*|triton)==' > requirements.lock
