# The commands for maintainers. `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
BENCH_VENV := build/bench-venv
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --upgrade --generate-hashes \
	--no-strip-extras --no-emit-index-url --no-emit-find-links --custom-compile-command 'make pin' --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-project campaigns check bench pace soak contract diff docs matrix release generate format build pin clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	@echo 'Setting up .venv with the development tools. This takes a minute or two, once.'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(BENCH_VENV)/ready: $(READY) benchmarks/requirements.txt
	$(BIN)/python -m venv --clear $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## Regenerate, start a fake Desk, convert a handful of conversations over HTTP
	@echo 'Generating the package from the contract, and starting a fake Desk.'
	@$(BIN)/python openapi/generate.py
	@$(BIN)/python examples/demo.py

test: $(READY) ## Run the tests of the SDK, with branch coverage
	$(BIN)/python -m pytest -m 'not campaign and not project' -n auto --dist loadfile --cov

test-project: $(READY) ## Run the tests of the generator, the documentation, the examples and the distribution
	$(BIN)/python -m pytest -m 'project and not campaign' -n auto --dist loadfile

campaigns: $(READY) ## Run the campaigns: thousands of calls with random faults
	$(BIN)/python -m pytest -m campaign -n auto

bench: $(BENCH_VENV)/ready ## Compare the speed with httpx and other SDKs, and write benchmarks/results.md (BENCH=--quick for a short run)
	$(BIN)/python benchmarks/bench.py $(BENCH)

pace: $(READY) ## Measure requests per conversion and conversions per rate window, and update benchmarks/results.md
	$(BIN)/python benchmarks/pace.py

soak: $(READY) ## Run further campaigns for SECONDS (120) on both transports, and print their results
	$(BIN)/python tests/campaign.py --seconds $(or $(SECONDS),120)
	$(BIN)/python tests/campaign.py --seconds $(or $(SECONDS),120) --transport aiohttp

contract: $(READY) ## Check the contract with tools of third parties (needs Node.js)
	@$(BIN)/python openapi/judges/judge.py

diff: $(READY) ## Show the changes since BASE (the last v* tag), and the version that they need
	@$(BIN)/python openapi/diff.py $(BASE)

check: $(READY) ## Lint, type-check, and compare generated/ with the contract
	$(BIN)/python openapi/generate.py --check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright

docs: $(READY) ## Build the reference site into build/site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --config-file docs/mkdocs.yml

matrix: $(READY) ## Run all tests on every supported Python that is installed, with the newest and the oldest dependencies
	$(BIN)/nox --session full

release: $(READY) ## Check, build, test and tag VERSION; nothing is published
	@$(BIN)/python .ci/release.py $(VERSION)

generate: $(READY) ## Regenerate generated/ from openapi/
	$(BIN)/python openapi/generate.py

format: $(READY) ## Format the code and apply the safe lint fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

build: $(READY) ## Build the sdist and the wheel into dist/
	$(BIN)/python -m build --no-isolation --outdir dist .

pin: $(READY) ## Pin the newest development tools, with hashes
	$(COMPILE) --all-extras --group dev -o requirements-dev.txt
	$(COMPILE) --extra aiohttp --extra orjson --group bench -o benchmarks/requirements.txt

clean: ## Remove everything that the other targets create
	rm -rf $(VENV) build dist .coverage* .hypothesis .mypy_cache .nox .pytest_cache .ruff_cache openapi/judges/node_modules
