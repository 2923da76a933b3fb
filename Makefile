# Two commands matter: `make image` and `make test`. Each sets up what it needs, says what it does, and may be repeated.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
ROLE ?= smtp-in
DISTRO ?= debian-12
OUTPUT ?= images/out
VENV := .venv
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo)
# Tests use the layers that builds left, and leave theirs for the next run.
MAILIMG_STORE ?= /var/cache/mailimg
QUICK := tests/lint tests/unit tests/golden
REAL := tests/lab tests/boot
# Tests with real peers mostly wait: tests/groups.py says which of them share one of these workers.
TOGETHER := -n 3 --no-loadscope-reorder

.PHONY: help
help: ## Show this list.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: image
image: setup ## Build one image: make image ROLE=smtp-in DISTRO=debian-12
	@echo "==> mailimg build --role $(ROLE) --distro $(DISTRO)"
	@$(SUDO) $(VENV)/bin/mailimg build --role $(ROLE) --distro $(DISTRO) --output $(OUTPUT) \
		--store $(MAILIMG_STORE)

.PHONY: test
test: setup unit ## Run every test: lint, unit, golden renderings, real peers, boots.
	@echo "==> pytest $(REAL)"
	@$(SUDO) env MAILIMG_STORE=$(MAILIMG_STORE) $(VENV)/bin/python -m pytest -v --durations=25 $(TOGETHER) $(REAL)

.PHONY: unit
unit: $(VENV)/.ready ## Run only what needs no root: lint, unit, golden renderings.
	@echo "==> pytest $(QUICK), on every core"
	@$(VENV)/bin/python -m pytest -n auto $(QUICK)

.PHONY: bench
bench: setup ## Measure builds against a plain disk-image-create, then joining (10 to 20 minutes, 10 GiB in /var/tmp).
	@$(SUDO) $(VENV)/bin/python tests/bench/bench.py $(BENCH)
	@$(SUDO) $(VENV)/bin/python tests/bench/joining.py --store $(MAILIMG_STORE)

.PHONY: bench-join
bench-join: setup ## Measure how long a node takes to join its site and to leave it (a minute, with images that are built).
	@$(SUDO) $(VENV)/bin/python tests/bench/joining.py --store $(MAILIMG_STORE)

.PHONY: bench-trace
bench-trace: $(VENV)/.ready ## Measure how fast mailimg trace searches logs (a minute, 1 GiB in /var/tmp).
	@$(VENV)/bin/python tests/bench/tracing.py $(BENCH)

.PHONY: bench-upload
bench-upload: setup ## Measure uploads to Glance against `openstack image create` (two minutes, 2 GiB in /tmp).
	@$(SUDO) $(VENV)/bin/python tests/bench/uploading.py --store $(MAILIMG_STORE)

.PHONY: bench-load
bench-load: setup ## Measure mail a second against the distribution's own configuration (15 minutes of an idle machine).
	@$(SUDO) $(VENV)/bin/python tests/bench/loading.py --store $(MAILIMG_STORE) $(LOAD)

.PHONY: bench-scale
bench-scale: $(VENV)/.ready ## Measure 100 instances that join and leave their load balancer at once (10 minutes).
	@$(SUDO) $(VENV)/bin/python tests/bench/scaling.py --store $(MAILIMG_STORE) $(SCALE)

.PHONY: bench-directory
bench-directory: setup ## Measure how many computers a second join a domain, and leave it (three minutes).
	@$(SUDO) $(VENV)/bin/python tests/bench/directory.py $(DIRECTORY)

.PHONY: verify-centos7
verify-centos7: setup ## Build and boot every role from the real CentOS archives: make verify-centos7 CENTOS7="--mirror URL ..."
	@$(SUDO) $(VENV)/bin/python tests/centos7/verify_centos7.py --output $(OUTPUT) --store $(MAILIMG_STORE) $(CENTOS7)

.PHONY: setup
setup: $(VENV)/.ready ## Install system packages and the virtual environment.
	@echo "==> system packages: mailimg doctor --install"
	@$(SUDO) $(VENV)/bin/mailimg doctor --install

$(VENV)/.ready: pyproject.toml
	@echo "==> virtual environment: $(VENV)"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { $(SUDO) apt-get update -qq; $(SUDO) apt-get install -y -qq --no-install-recommends python3-venv; }
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

.PHONY: clean
clean: ## Remove the virtual environment and built images (the layer store: `mailimg clean --all`).
	rm -rf $(VENV) images/out .mypy_cache .pytest_cache .ruff_cache
