# SPDX-License-Identifier: BSD-3-Clause
# One verb per target, at most two lines each; `make help` explains them.

PYTHON ?= python3
VENV := build/venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup run test test-model test-fastpath same fuzz test-harness test-protocol test-page test-guest mutants seeded compare matrix bench soak lint format docs clean distclean

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

setup: ## fetch and build all that is needed (QEMU, guest image, Python packages); nothing is installed on this machine
	@$(PYTHON) -m harness.setup

run: setup ## boot a guest on the card, judge the must-claims, write build/report (ARGS=--all: every claim with a check)
	@$(VENV) -m harness.cli run $(if $(KERNEL),--kernel $(KERNEL)) $(ARGS)

test: setup ## run all tests, those with a guest too (ARGS=… adds options of pytest)
	@$(VENV) -m pytest $(ARGS)

test-model: setup ## run the tests of the device model alone (no QEMU, seconds)
	@$(VENV) -m pytest tests/model $(ARGS)

test-harness: setup ## run the tests of set-up, report and command line (no guest)
	@$(VENV) -m pytest tests/harness $(ARGS)

test-protocol: setup ## run the tests over the vfio-user socket (no QEMU)
	@$(VENV) -m pytest tests/protocol $(ARGS)

test-page: setup ## run the tests of the report's page in a browser (no guest; fetches Chromium if there is none)
	@$(VENV) -m pytest tests/page $(ARGS)

test-guest: setup ## run the tests with QEMU and a real driver
	@$(VENV) -m pytest tests/guest $(ARGS)

test-fastpath: setup ## run the tests that hold the native engine to the model (no QEMU)
	@$(VENV) -m pytest tests/fastpath $(ARGS)

same: setup ## drive model and native engine side by side for a million steps (ARGS=--steps N)
	@$(VENV) -m tests.fastpath.same $(ARGS)

fuzz: setup ## fuzz engine, registers and messages, half an hour each (ARGS=--seconds N; fetches clang and atheris)
	@$(VENV) -m tests.fuzz $(ARGS)

mutants: setup ## break the card on purpose, claim by claim, and expect each claim's check to fail
	@$(VENV) -m harness.cli mutants $(ARGS)

seeded: setup ## sow bugs into igb and expect the checks to name each (ARGS="--json -" prints a JSON list)
	@$(VENV) -m harness.cli seeded $(ARGS)

compare: setup ## judge the known departures of QEMU's own igb on both cards (ARGS=--all: every claim with a check)
	@$(VENV) -m harness.cli compare $(ARGS)

matrix: setup ## run the checks over kernels, interrupt modes and numbers of CPUs, and print one table
	@$(VENV) -m harness.cli matrix $(ARGS)

bench: setup ## measure the card against QEMU's own igb in the same guest
	@$(VENV) -m harness.cli bench $(ARGS)

soak: setup ## an hour of traffic and changes at random, every frame accounted for (ARGS=--minutes N)
	@$(VENV) -m harness.cli soak $(ARGS)

lint: setup ## check style and types
	@$(VENV) -m ruff check && $(VENV) -m ruff format --check && $(VENV) -m mypy

format: setup ## rewrite the sources in the house style
	@$(VENV) -m ruff check --fix && $(VENV) -m ruff format

docs: setup ## write the generated files anew: documents, and the engine's registers.h
	@$(VENV) -m harness.cli docs && $(VENV) -m emulator.fastpath.generate

clean: ## remove what was built in this folder
	rm -rf build emulator/vfu/_native*.so emulator/fastpath/_engine*.so

distclean: clean ## remove the cache too, so that the next run fetches everything again
	@$(PYTHON) -m harness.setup --remove-cache
