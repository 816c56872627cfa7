# `make` alone explains itself. Every target makes what it needs; Python 3.11 or newer and make are enough.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint format dashboards history bench lock clean

help: ## say what can be made
	@awk -F ': |## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$3 }' $(MAKEFILE_LIST)

demo: .venv/installed ## serve made-up data on port 9877; ARGS=--web.listen-address=:9878 for another
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

dashboards: .venv/installed ## write Grafana's dashboards anew from their code
	$(BIN)/python -m grafana

history: .venv/installed ## make a month of made-up history for a Prometheus, to look at dashboards; FOLDER=…
	PYTHONPATH=tests/support $(BIN)/python -m history $(FOLDER)

bench: .venv/installed ## measure speed and memory against the bars; minutes, nginx for all of it
	$(BIN)/python -m bench

lock: .venv/installed ## pin the newest dependencies that pyproject.toml allows
	$(BIN)/pip install --quiet uv
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url pyproject.toml --output-file requirements.txt
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --group dev --constraint requirements.txt pyproject.toml \
		--output-file requirements-dev.txt

clean: ## remove everything that was made
	rm -rf .venv .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "Setting up .venv with all that development needs; this takes about a minute, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
