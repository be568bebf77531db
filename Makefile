# `make repro` and `make test` do everything on a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: venv repro table1 table2 table3 table4 table5 table6 study test test-long test-gpu lint

venv: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $@

repro: venv
	export PATH="$(CURDIR)/$(BIN):$$PATH" && dvc repro shards && python -m dmtl launch && dvc repro

table1 table2 table3 table4 table5 table6: venv
	export PATH="$(CURDIR)/$(BIN):$$PATH" && dvc repro $$(python -m dmtl cells --table $(@:table%=%)) && dvc repro --single-item report

study: venv
	export PATH="$(CURDIR)/$(BIN):$$PATH" && cd study && dvc repro

test: venv
	$(BIN)/python -m pytest

test-long: venv
	$(BIN)/python -m pytest -m long

test-gpu: venv
	$(BIN)/python -m pytest -n 0 -m gpu tests/gpu

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
