# make run    sets everything up and runs the pipeline on data/ (the example, unless you brought your own)
# make test   sets everything up and runs all tests
# make setup  the environment alone, in .venv
# make data   data/ as data.dvc pins it
# make lock   requirements.lock anew, within the bounds of pyproject.toml

PYTHON ?= python3.11
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: run test setup data lock

run: setup data
	@python -m flows.retrain

test: setup
	@python -m pytest

setup: .venv/ready

.venv/ready: requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "Graft needs Python 3.11: install it, or name one: make run PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c "import shutil, sys; free = shutil.disk_usage('.').free / 1e9; \
		sys.exit(f'{free:.0f} GB are free here; set-up and a first run need 14 GB. Free some space.' if free < 14 else 0)"
	@echo "Setting up .venv (about 7 GB, some minutes, once)..."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar on --requirement requirements.lock
	@touch .venv/ready

data: .venv/ready
	@python -m infra.restore_data

lock: .venv/ready
	@python -m pip install --quiet pip-tools
	@CUSTOM_COMPILE_COMMAND="make lock" python -m piptools compile --quiet --extra dev --strip-extras --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
