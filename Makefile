# Every target does its own set-up: Python 3.11 or newer and make are all that a machine needs.
# Options for the program go into ARGS:  make run ARGS="--users 200 --run-time 2m"

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
unexport PYTHONPATH PYTHONHOME PYTHONWARNINGS
# Where it is set, every process compiles every module again: `loadstone run` takes three times the CPU to start.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
ARGS ?=

# A stamp is older than its lock after a change of the lock: the set is then installed again.
LOCKED = requirements/install.py pyproject.toml $(VENV)/.made
RUN_SET := $(VENV)/.run-set
DEV_SET := $(VENV)/.dev-set

# Tests of one file share its fixtures, so one process runs them all. The files begin in the order in which they are
# given, and those of short tests come last, so that no process is left with a long one at the end.
BY_FILE = --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUN_SET) ## Run the load-test demo, or your own: ARGS="-f FILE --host URL"
	@$(VENV)/bin/loadstone run $(ARGS)

.PHONY: capacity
capacity: $(RUN_SET) ## Find the most users that the demo target holds, served as teams first write it, in ten minutes
	@TARGET_MODE=$${TARGET_MODE:-naive} $(VENV)/bin/loadstone capacity --find users --users 100 --measure 10s --warmup 3s --budget 9m \
		--objective 'p95<500ms' $(ARGS)

.PHONY: up
up: $(RUN_SET) ## Start the platform with Locust's web UI and stay
	@$(VENV)/bin/loadstone up $(ARGS)

.PHONY: test
test: $(DEV_SET) ## Run the tests that need only Python packages
	$(PY) -m pytest tests/processes tests/unit --ignore tests/processes/docs --ignore tests/processes/target --ignore tests/processes/loading --ignore tests/processes/runs --ignore tests/processes/faults --ignore tests/processes/rig -n 3 $(BY_FILE) $(ARGS)

.PHONY: test-runs
test-runs: $(DEV_SET) ## Load scenarios, run whole load tests and the docs' commands, fuzz; also needs nothing but Python packages
	$(PY) -m pytest tests/processes/loading tests/processes/runs tests/processes/faults tests/processes/rig tests/processes/docs tests/processes/target -n 3 $(ARGS)

.PHONY: test-services
test-services: $(DEV_SET) ## Run the tests against real servers, fetched first
	-@$(PY) tests/services/fetch.py
	$(PY) -m pytest tests/services -n 2 $(BY_FILE) --timeout 300 $(ARGS)

.PHONY: test-conformance
test-conformance: $(DEV_SET) ## Compare with Locust: kinds of Locust files run both ways, user classes, its own examples
	$(PY) -m pytest tests/conformance -n 3 --dist loadfile $(ARGS)

.PHONY: test-browser
test-browser: $(DEV_SET) ## Run the tests of pages and Grafana boards in a real Chromium, fetched first
	-@$(PY) tests/services/fetch.py
	$(PY) -m pytest tests/browser $(ARGS)

.PHONY: test-stack
test-stack: $(DEV_SET) ## Run the whole compose stack on a Docker Engine (CI=true may install one from Debian)
	$(PY) -m pytest tests/stack --timeout 900 -o timeout_func_only=true $(ARGS)

.PHONY: check
check: $(DEV_SET) ## Check style, spelling, types, layers and the repository's own rules
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m codespell_lib
	$(PY) -m mypy
	PYTHONPATH=src:target:dashboards $(VENV)/bin/lint-imports --no-logo --cache-dir .cache/import-linter
	$(PY) -m pytest -q tests/repository

.PHONY: fuzz
fuzz: $(DEV_SET) ## Feed odd inputs to all decoders and readers for half an hour: MINUTES=30
	PYTHONPATH=tests MINUTES=$(MINUTES) $(PY) -m support.fuzz

.PHONY: tables
tables: $(DEV_SET) ## Write the tables of the docs that are made from marks of tests
	PYTHONPATH=tests $(PY) -m support.mark_tables

.PHONY: dashboards
dashboards: $(DEV_SET) ## Write the Grafana boards and alert rules again
	cd dashboards && ../$(PY) -m boards

.PHONY: dashboards-pictures
dashboards-pictures: $(DEV_SET) servers ## Draw docs/images of the boards from a real run
	$(PY) -m pytest tests/services/grafana -s --timeout 0 -o python_files='draw_*.py' -o python_functions='draw_*'

.PHONY: terminal-picture
terminal-picture: $(DEV_SET) ## Draw docs/images/run.svg from a real run in a terminal
	$(PY) -m pytest tests/processes/runs/draw_terminal.py -s --timeout 0 -o python_files='draw_*.py' -o python_functions='draw_*'

.PHONY: page-pictures
page-pictures: $(DEV_SET) servers ## Take docs/images of live page and report in the whole stack (CI=true may install a Docker Engine)
	$(PY) -m pytest tests/stack/draw_pages.py -s --timeout 0 -o python_files='draw_*.py' -o python_functions='draw_*'

.PHONY: architecture
architecture: $(DEV_SET) ## Draw docs/images/architecture.svg from its text (needs Node.js)
	@$(PY) site/architecture.py

.PHONY: pictures
pictures: terminal-picture page-pictures dashboards-pictures architecture ## Take every picture of the docs anew, from real runs

.PHONY: site
site: $(DEV_SET) ## Build the documentation as a site in .cache/site
	@$(PY) site/build.py .cache/site

.PHONY: format
format: $(DEV_SET) ## Format the code and fix what can be fixed
	$(PY) -m ruff check --fix-only
	$(PY) -m ruff format

.PHONY: bench
bench: $(DEV_SET) servers ## Run the benchmarks and print their tables
	PYTHONPATH=tests $(PY) -m pytest $(if $(filter tests/%,$(ARGS)),,tests/bench) -s --timeout 0 -o python_files='bench_*.py' -o python_functions='bench_*' $(ARGS)

.PHONY: bench-capacity
bench-capacity: $(DEV_SET) ## Find the smallest server for 10,000 users in the stack: about an hour
	PYTHONPATH=tests $(PY) -m pytest tests/bench/stack/bench_smallest_server.py -s --timeout 0 -o python_files='bench_*.py' -o python_functions='bench_*' $(ARGS)

.PHONY: bench-dashboards
bench-dashboards: $(DEV_SET) servers ## Time every panel of the Grafana boards on a run of ten million requests
	$(PY) -m pytest tests/bench/dashboards -s --timeout 0 -o python_files='bench_*.py' -o python_functions='bench_*' $(ARGS)

.PHONY: servers
servers: $(DEV_SET) ## Fetch the real servers for the tests into .cache/servers (no root needed)
	@$(PY) tests/services/fetch.py

# The small sets are compiled within the versions of the big one, so all of them agree. UPGRADE=1 takes new versions.
COMPILE = $(UV) pip compile --quiet --no-config --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
WITHIN = -c requirements/dev.txt

.PHONY: lock
lock: $(VENV)/.uv ## Compile requirements/*.txt again (UPGRADE=1: with the newest versions)
	$(COMPILE) --group dev -o requirements/dev.txt
	$(COMPILE) $(WITHIN) --group run --group target --group build -o requirements/run.txt
	$(COMPILE) $(WITHIN) --group worker -o requirements/worker.txt
	$(COMPILE) $(WITHIN) --group collector -o requirements/collector.txt
	$(COMPILE) $(WITHIN) --group cli -o requirements/cli.txt
	$(COMPILE) $(WITHIN) --group serve -o requirements/serve.txt
	$(COMPILE) $(WITHIN) --group target -o requirements/target.txt
	$(COMPILE) $(WITHIN) --group registry -o requirements/registry.txt

.PHONY: dist
dist: $(DEV_SET) ## Build a wheel and a source distribution into dist/
	@$(UV) build --quiet --no-config --no-build-isolation --python $(PY) --out-dir dist
	@ls dist/*

# Where the images are pushed, and under which tag; `docker login` beforehand. REGISTRY is a host with a prefix, or the
# name of an account on Docker Hub.
REGISTRY ?= loadstone
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGES = collector locust-master locust-worker registry target

.PHONY: images
images: ## Build the images of the stack: REGISTRY=... TAG=...
	LOADSTONE_IMAGES=$(REGISTRY) LOADSTONE_TAG=$(TAG) docker compose build \
		--build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD)

.PHONY: push
push: images ## Build the images and push them: REGISTRY=... TAG=...
	for image in $(IMAGES); do docker push $(REGISTRY)/$$image:$(TAG) || exit 1; done

.PHONY: clean
clean: ## Remove the environment, the fetched servers and all caches (results/ is kept)
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made: $(if $(shell test -x $(PY) && echo yes),,FORCE)
	@PYTHON="$(PYTHON)" sh requirements/make-venv.sh $(VENV)
	@touch $@

$(RUN_SET): requirements/run.txt $(LOCKED)
	@$(PY) -I requirements/install.py run
	@touch $@

$(DEV_SET): requirements/dev.txt $(LOCKED)
	@$(PY) -I requirements/install.py dev
	@touch $@

# To compile the locks, uv comes without them, so it is there even when they are being repaired.
$(VENV)/.uv: $(VENV)/.made
	@$(PY) -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^    "\(uv>=[^"]*\)".*/\1/p' pyproject.toml)"
	@touch $@

.PHONY: FORCE
FORCE:
