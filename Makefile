# Two commands matter: `make book` and `make test`. `make help` lists the rest.
# Paths here are relative and tools are called as `python -m`, so a checkout may lie in a folder with spaces in its name.

PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
NOTEBOOKS := $(wildcard notebooks/*.ipynb book/*.ipynb)
PYTEST_OPTIONS ?=
PROFILE ?= quick
# Test files run side by side, one core each: small networks gain little from a second thread. WORKERS=0 for one process.
WORKERS ?= auto
SPREAD = OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile
# Threads that wait sleep instead of spinning: on a busy machine this is several times faster, on a quiet one the same.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book site test lint types unit slow lowest newest alone notebooks site-test bench lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  make %-10s %s\n' "$$name" "$$text"; done

book: .venv/.book  ## run the stale chapters, build the site, print where it is; PROFILE=real or gpu adds one
	@$(PY) -m robustxai.cli book --profile $(PROFILE)

site: .venv/.book  ## the site from the chapters as they are stored, in a minute; nothing is run
	@mkdir -p build
	@$(PY) workflow/build_site.py --committed --log build/site.log

test: lint types unit notebooks  ## lint, types, unit and property tests, every notebook cell by cell

lint: .venv/.test  ## ruff, on code and notebooks
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: .venv/.test  ## static types
	$(PY) -m basedpyright

unit: .venv/.test  ## unit, property, project and wheel tests; the site in a browser, if `make book` has built it
	$(SPREAD) tests $(PYTEST_OPTIONS)

slow: .venv/.test  ## the statistical tests that take minutes, which `make test` leaves out
	$(SPREAD) -m slow tests $(PYTEST_OPTIONS)

# Old packages warn of what newer ones below them do; here such a warning is no error.
lowest: .venv-lowest/.test  ## unit tests with the lowest versions that pyproject.toml declares
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n $(WORKERS) --dist loadfile -W default tests $(PYTEST_OPTIONS)

newest: .venv-newest/.test  ## unit tests with the newest versions that the index has
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -n $(WORKERS) --dist loadfile -W default tests $(PYTEST_OPTIONS)

alone: .venv/.test  ## every notebook alone in an empty folder, on the wheel, as on Colab
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) -m "slow or not slow" -k alone tests/test_wheel.py $(PYTEST_OPTIONS)

notebooks: .venv/.test  ## run every notebook and compare each cell with what is stored
ifneq ($(NOTEBOOKS),)
	$(SPREAD) --nbval --nbval-current-env --nbval-kernel-startup-timeout 600 $(NOTEBOOKS) $(PYTEST_OPTIONS)
endif

site-test: .venv/.test  ## look at the built site in headless Chromium
	$(PY) -m pytest tests/site $(PYTEST_OPTIONS)

bench: .venv/.test  ## ours against what a user would pick instead, as one table; writes results/bench
	mkdir -p build
	$(PY) -m pytest -o addopts= benchmarks --benchmark-only --benchmark-json build/bench.json $(PYTEST_OPTIONS)
	$(PY) benchmarks/collect.py build/bench.json

lock: .venv/.test  ## write the installed versions to requirements.lock
	$(PY) workflow/lock.py requirements.lock

clean:  ## remove what was built; the environments stay
	rm -rf build .snakemake .pytest_cache .ruff_cache .hypothesis .benchmarks dist
	find src tests workflow book -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so an interrupted installation is taken up again by the next call. A package that was cut off
# while it was being copied has no RECORD; pip would take it for installed, so it is removed first.
.venv/.book: EXTRAS := book
.venv/.test: EXTRAS := book,test,dev
.venv/.test: ALSO := .venv/.book
.venv/.book .venv/.test: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": call make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@find .venv -name '*.dist-info' -type d ! -exec test -e '{}/RECORD' ';' -prune -exec rm -rf {} +
	$(PIP) install --constraint requirements.lock --editable '.[$(EXTRAS)]'
	@touch $@ $(ALSO)

.venv-lowest/.test: pyproject.toml workflow/lowest.py
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) workflow/lowest.py .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip --disable-pip-version-check install --constraint .venv-lowest/lowest.txt --editable '.[book,test,dev]'
	@touch $@

.venv-newest/.test: pyproject.toml
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip --disable-pip-version-check install --upgrade --editable '.[book,test,dev]'
	@touch $@
