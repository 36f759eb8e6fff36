# One file does it all: `make run` opens the studio, `make test` and `make check` are what a change must pass.
# ARGS goes to the program:  make run ARGS="--port 7861"   make test ARGS="-k null_space -x"

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test looks check format docs demo-model constraints audit sbom clean

help:
	@echo "make run         install what is needed into .venv and open the studio in the browser"
	@echo "make test        run the tests"
	@echo "make check       style, import rule and types"
	@echo "make format      repair the style where that can be done by machine"
	@echo "make looks       renew the pictures of the pages that the tests compare with; look at them before you commit them"
	@echo "make docs        build the documents into site/, to be opened from there without a network"
	@echo "make demo-model  train the two embedded models again, and fit the recorded example"
	@echo "make constraints pin what is installed, with hashes; make audit looks up known holes; make sbom lists all parts and licences"
	@echo "make clean       remove caches and build products; .venv and workspace stay"
	@echo
	@echo 'ARGS="..." is passed on, WORKERS=n sets how many processes share the tests.'

# Two stamps: the page needs no test tools. What `dev` installs includes all that `run` needs.

$(BIN)/pip:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --disable-pip-version-check -e .
	@touch $@

.venv/.installed-dev: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[dev]"
	@touch .venv/.installed $@

run: .venv/.installed
	$(BIN)/python app.py $(ARGS)

test looks: export HF_HUB_OFFLINE = 1
test looks: export GRADIO_ANALYTICS_ENABLED = False
test looks: export TOKENIZERS_PARALLELISM = false
test looks: export OMP_NUM_THREADS = 1
test: .venv/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

looks: export RENEW_LOOKS = 1
looks: .venv/.installed-dev
	$(BIN)/python -m pytest tests/e2e/test_looks.py $(ARGS)

# Pyright comes whole with its package; the variable stops it from asking whether there is a newer one.
check: export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1
check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/.installed-dev
	$(BIN)/python -m mkdocs build --strict

demo-model: .venv/.installed
	$(BIN)/python -m unlearn_core.demo.train --out assets/demo $(ARGS)
	$(BIN)/python -m unlearn_core.demo.train --out assets/demo-retain-only --retain-only $(ARGS)
	$(BIN)/python -m unlearn_core.demo.recorded --out assets/demo-forgotten

# What the tests ran with. The versions are given, so that pip has nothing to search, and it reports the hash of each file.

constraints: .venv/.installed-dev
	$(BIN)/python -m pip list --exclude-editable --format=freeze > .venv/versions.txt
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed --constraint .venv/versions.txt \
		--report .venv/report.json .
	$(BIN)/python .ci/pin.py .venv/report.json > constraints.txt

# Strict: without it, pip-audit calls an environment clean of which it could look up nothing. Indexes know no local versions.
audit: .venv/.installed-trust
	$(BIN)/python -m pip list --exclude-editable --format=freeze | sed 's/+.*//' > .venv/installed.txt
	$(BIN)/python -m pip_audit --strict --no-deps --disable-pip --requirement .venv/installed.txt

sbom: .venv/.installed-trust
	$(BIN)/python -m cyclonedx_py environment --output-file sbom.json $(BIN)/python

.venv/.installed-trust: .venv/.installed-dev
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[trust]"
	@touch $@

clean:
	rm -rf build dist site *.egg-info .pytest_cache .hypothesis .ruff_cache .import_linter_cache test-artifacts
	find . -name __pycache__ -type d -not -path "./.venv/*" -prune -exec rm -rf {} +
