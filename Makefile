# `make demo` and `make test` do everything on a fresh machine: Python >= 3.11 and make are all they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
UV_VERSION := 0.13.8
UV := .bootstrap/bin/uv
PY := .venv/bin/python
export UV_PYTHON_DOWNLOADS := never
export DAGSTER_DISABLE_TELEMETRY := yes
export PYTHONWARNINGS ?= ignore::DeprecationWarning
# without kept bytecode every process compiles its imports again: Dagster's 1.1 become 2.8 CPU seconds
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup web demo test lint fmt bench up lock clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.current web ## .venv with everything in it; does nothing when it is current

.bootstrap/bin/uv:
	python3 -m venv .bootstrap
	.bootstrap/bin/pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

.venv/.current: requirements.lock pyproject.toml $(wildcard ingest_api/native/*) | .bootstrap/bin/uv
	@test -x $(PY) || $(UV) venv --quiet --python 3.12 .venv 2>/dev/null || $(UV) venv --quiet --python '>=3.11' .venv
	$(UV) pip sync --quiet --python $(PY) --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

web: .venv/.current ## build the dashboard when its sources changed
	@$(PY) -m tenant_plane.build_web

demo: setup ## the main job, end to end, on this machine
	.venv/bin/unmogrowp demo

# in the order of the names, so that whole stacks and drills come first; else files of few tests, the long ones, are last
test: setup lint ## every test
	$(PY) -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: .venv/.current ## ruff, mypy strict, import-linter, sqlfluff
	.venv/bin/ruff check --quiet .
	.venv/bin/ruff format --check --quiet .
	.venv/bin/mypy --no-error-summary
	.venv/bin/lint-imports --no-cache
	.venv/bin/sqlfluff lint --processes 2 dbt_project/models

fmt: .venv/.current
	.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

bench: setup ## the README's claims, measured here
	.venv/bin/unmogrowp bench ingest
	.venv/bin/unmogrowp bench lake

up: setup ## the whole stack, until Ctrl-C
	.venv/bin/unmogrowp up

lock: .bootstrap/bin/uv ## pin requirements again
	$(UV) pip compile pyproject.toml --group dev --extra helm --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --quiet --output-file requirements.lock
	$(UV) pip compile deploy/tenant-plane.in --constraint requirements.lock --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --quiet --output-file deploy/tenant-plane.lock

clean:
	rm -rf .venv .bootstrap tenant_plane/web/dist tenant_plane/web/node_modules dbt_project/target
