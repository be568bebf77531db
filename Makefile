# `make repro` and `make test` do everything on a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: venv repro table1 table2 table3 table4 table5 study test test-long lint

venv: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $@

repro: venv
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

table1 table2 table3 table4 table5: venv
	export PATH="$(CURDIR)/$(BIN):$$PATH" && dvc repro $$(python -m dmtl cells --table $(@:table%=%)) && dvc repro --single-item report

study: venv
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro study/dvc.yaml

test: venv
	$(BIN)/python -m pytest

test-long: venv
	$(BIN)/python -m pytest -m long

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
