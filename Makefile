# `make repro` and `make test` do everything on a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: venv repro table1 table2 table3 table4 table5 table6 study test test-long test-gpu lint docs

venv: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(if $(CPU),$(BIN)/python -m pip install --quiet --no-deps --index-url https://download.pytorch.org/whl/cpu \
		$$(sed -n 's/^\(torch\|torchvision\)==\([^+ ]*\).*/\1==\2/p' requirements.lock))
	$(if $(CPU),grep -vE '^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' requirements.lock >.venv/cpu.lock)
	$(BIN)/python -m pip install --quiet --no-deps --requirement $(if $(CPU),.venv/cpu.lock,requirements.lock)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(if $(CPU),,$(BIN)/python -m pip check) # wheels for CPUs have other names in their requirements
	touch $@

repro: venv
	export PATH="$(CURDIR)/$(BIN):$$PATH" && dvc repro shards && python -m dmtl launch && dvc repro && python -m dmtl page

table1 table2 table3 table4 table5 table6: venv
	export PATH="$(CURDIR)/$(BIN):$$PATH" && dvc repro $$(python -m dmtl cells --table $(@:table%=%)) && dvc repro --single-item report && python -m dmtl page

study: venv # one of its methods needs a package that the demo and the tests do without
	$(BIN)/python -m pip install --quiet 'diffusers==0.42.1'
	export PATH="$(CURDIR)/$(BIN):$$PATH" && cd study && dvc repro && python -m dmtl page

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

docs: # the site, in an environment of its own: .venv needs none of it
	$(PYTHON) -m venv .work/docs
	.work/docs/bin/python -m pip install --quiet --requirement docs/requirements.txt
	.work/docs/bin/mkdocs build --quiet
	@echo "the site: site/index.html"
