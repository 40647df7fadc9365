# What people type is what CI calls. Every target sets up what it needs; a second time that costs
# a fraction of a second. ARGS= passes further arguments on.

VENV   := $(CURDIR)/.venv/bin
MYPY   := "$(VENV)"/mypy --config-file "$(CURDIR)/pyproject.toml" --cache-dir "$(CURDIR)/build/mypy"
LINKS  := build/types/monastery
ARGS   ?=
WORKERS ?= 2
INPUTS ?= 100000
KILLS  ?= 25
CRASHES ?= 5000
SEED   ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench fuzz crash simulate pins clean venv style types

help: ## print this list
	@echo "Monastery: a runtime for myopic boxed agents. Targets:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make this machine ready: packages, Docker engine, box image
	@scripts/setup all

demo: setup ## repair a broken package, a step at a time; goes on where it was interrupted
	@"$(VENV)"/python scripts/demo $(ARGS)

test: setup lint ## lint, then every test; ARGS="tests/test_scripts.py -x" passes on to pytest, WORKERS=0 is one process
	@scripts/setup tests
	@"$(VENV)"/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

lint: style types ## ruff (check, format) and mypy, strict

format: venv ## let ruff mend what it can
	@"$(VENV)"/ruff check --fix . scripts/demo scripts/fuzz
	@"$(VENV)"/ruff format . scripts/demo scripts/fuzz

bench: setup ## measure what the runtime adds to a step and to a model call; long_run.py and many_runs.py take minutes
	@for file in benchmarks/freeze.py benchmarks/step_overhead.py benchmarks/gateway.py; do echo "== $$file" && "$(VENV)"/python "$$file" $(ARGS) || exit; done

fuzz: setup ## play hostile streams to the runtime; INPUTS=1000000 for a million
	@"$(VENV)"/python scripts/fuzz --inputs $(INPUTS)

crash: setup ## kill real runs and start them again; KILLS=500 SEED=1
	@"$(VENV)"/python -m tests.crash --kills $(KILLS) --seed $(SEED) $(ARGS)

simulate: venv ## let the loop die between any two awaits; CRASHES=5000 SEED=1
	@"$(VENV)"/python -m tests.simulation --crashes $(CRASHES) --seed $(SEED) $(ARGS)

pins: ## write both files of requirements anew from pyproject.toml
	@scripts/setup pins

clean: ## remove what was made here: environment, caches, the demo with its runs
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@scripts/setup venv

style: venv
	@"$(VENV)"/ruff check . scripts/demo scripts/fuzz
	@"$(VENV)"/ruff format --check . scripts/demo scripts/fuzz

# Checkers cannot see through an editable install that maps four folders to one package. They can
# follow links, and a folder's link shows new files at once.
types: venv
	@mkdir -p $(LINKS)
	@for room in runtime sandbox auditor policies; do ln -sfn ../../../$$room $(LINKS)/$$room; done
	@cd build/types && $(MYPY) -p monastery
	@cd scripts && $(MYPY) -p machine
	@cd scripts && $(MYPY) demo
	@cd scripts && $(MYPY) fuzz
	@cd scripts && $(MYPY) verify.py
	@for study in $(wildcard examples/*/study.py); do \
		(cd $$(dirname $$study) && MYPYPATH="$(CURDIR)/build/types" $(MYPY) study.py) || exit 1; done
