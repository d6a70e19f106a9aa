# make run    sets everything up and runs the pipeline on data/ (the example, unless you added your own)
# make test   sets everything up and runs all tests
# make setup  creates the environment in .venv, with the command `graft`
# make data   restores data/ as pinned by data.dvc
# make lock   rewrites requirements.lock within the bounds of pyproject.toml

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: run test setup data lock

run: setup data
	@python -m flows.retrain

test: setup
	@OMP_NUM_THREADS=1 python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder  # long ones first

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Graft needs Python 3.11, and there is no python3 here."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit( \
		"Graft needs Python 3.11; this is " + sys.version.split()[0] + ". Name another: make run PYTHON=/path/to/python3.11")'
	@$(PYTHON) -c 'import shutil, sys; free = shutil.disk_usage(".").free / 1e9; free >= 14 or sys.exit( \
		f"{free:.0f} GB are free here; set-up and a first run need 14 GB. Free some space, then run this again.")'
	@echo "Setting up .venv (about 7 GB, a few minutes, once)..."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --requirement requirements.lock \
		| awk -v total=$$(grep -c == requirements.lock) \
		'/^(Collecting|Processing) / { printf "\r  %d of %d packages found", ++found, total; fflush() } \
		 /^Installing/ { printf "\n  installing them, a minute or two\n"; fflush() }'
	@.venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch .venv/ready

data: .venv/ready
	@python -m infra.restore_data

lock: .venv/ready
	@python -m pip install --quiet pip-tools
	@CUSTOM_COMPILE_COMMAND="make lock" python -m piptools compile --quiet --extra dev --strip-extras --allow-unsafe --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
