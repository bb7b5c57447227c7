# istio-mc: make help
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
LAB := $(BIN)/python -m lab
# Every recipe that speaks to the lab does it with the lab's own kubeconfigs, settings and programs.
WITH_LAB = eval "$$($(LAB) env)" &&

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

.venv/ready: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "istio-mc needs Python 3.11 or newer; this is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || { echo "python3-venv is missing: installing it"; apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv .venv; }
	@echo "Python packages: the versions and hashes of requirements-dev.lock"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The same tests run in it as in .venv, with the lowest versions that pyproject.toml declares.
.venv-lowest/ready: requirements-lowest.lock pyproject.toml .venv/ready
	@rm -rf .venv-lowest
	@$(BIN)/python -m venv .venv-lowest
	@.venv-lowest/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-lowest.lock
	@.venv-lowest/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

venv: .venv/ready ## A virtual environment in .venv, from the hashed lock file

demo: .venv/ready ## Three real clusters, one mesh, and the matrix of who answers whom
	@$(LAB) up
	@$(WITH_LAB) set -ex; \
	  $(BIN)/istio-mc contexts; \
	  $(BIN)/istio-mc cilium fix --contexts kt,ncloud,nhn --yes; \
	  $(BIN)/istio-mc install --contexts kt,ncloud,nhn; \
	  $(BIN)/istio-mc verify; \
	  $(BIN)/istio-mc sample deploy; \
	  $(BIN)/istio-mc sample test
	@echo
	@echo "The clusters stay up:   eval \"\$$($(LAB) env)\"   then kubectl, istioctl, .venv/bin/istio-mc …"
	@echo "Take them away again:   make lab-down"

check: .venv/ready ## What needs no lab and is quick: lint, types, layers, tests (about two minutes)
	@tests/run.sh check

test: .venv/ready ## Everything, the lab included (about 45 minutes; the first time builds the lab)
	@tests/run.sh all

lab-up: .venv/ready ## Bring up three kubeadm clusters: kt, ncloud, nhn
	@$(LAB) up

lab-newer: .venv/ready ## A mesh's whole life with Istio 1.31.0 on a newer Kubernetes than the suite's: 1.35.8
	@$(LAB) up --kubernetes 1.35.8 --istio 1.31.0
	@$(WITH_LAB) LAB_LIVES=1.31.0 $(BIN)/python -m pytest -q -m lab --timeout 420 tests/e2e_life/test_versions.py

CHAIN := 1.26.0 1.27.9 1.28.3 1.29.1 1.30.4 1.31.0

chain: .venv/ready ## A mesh through six minors of Istio, in place and by revision, under requests (the first time builds for an hour)
	@$(LAB) up $(foreach version,$(CHAIN),--istio $(version))
	@$(WITH_LAB) $(BIN)/python -m scripts.chain $(CHAIN)

lab-phases: .venv/ready ## Upgrade and changes of keys: killed, and without an API server, in each phase, under requests
	@$(LAB) up
	@$(WITH_LAB) LAB_PHASES=1 $(BIN)/python -m pytest -q -m lab --timeout 900 tests/e2e_life/test_upgrade_phases.py tests/e2e_life/test_keys_phases.py tests/e2e_life/test_merge.py tests/e2e_life/test_own_root.py

lab-adopt: .venv/ready ## adopt of K-PaaS's guide 1.7.0 and Ansible role, on the nearest Istios that can be built: 1.28.3, 1.27.9
	@$(LAB) up --istio 1.28.3 --istio 1.27.9
	@$(WITH_LAB) LAB_ROLE_ISTIO=1.27.9 $(BIN)/python -m pytest -q -m lab --timeout 420 tests/e2e_life/test_adopt.py tests/e2e_life/test_adopt_role.py

lab-down: .venv/ready ## Take them away, to the last file outside the cache
	@$(LAB) down

lab-env: ## Shell lines that point kubectl, istioctl and istio-mc at the lab
	@$(LAB) env

bench: .venv/ready ## Measure against the published scripts, side by side on the lab
	@$(BIN)/python -m benchmarks

coverage: .venv/ready ## Branch coverage of ops/ by tests of make check: at least 90 %
	@rm -f .coverage .coverage.*
	@# One process: a worker that does not end in time, on a busy machine, takes what it measured with it.
	@$(BIN)/coverage run --omit="src/istio_mc/checks/*,src/istio_mc/cli/*,src/istio_mc/domain/*,src/istio_mc/gateways/*,src/istio_mc/present/*" \
	  -m pytest -q -p no:xdist -m "not lab and not thorough" tests/ops tests/verbs tests/cli
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include="src/istio_mc/ops/*" --sort=cover --fail-under=90

.venv-mutants/ready: requirements-dev.lock requirements-mutants.lock pyproject.toml
	@$(PYTHON) -m venv .venv-mutants
	@.venv-mutants/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@.venv-mutants/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutants.lock
	@.venv-mutants/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

mutants: .venv-mutants/ready ## Mutate what changes and deletes things; tests must notice (make mutants ONLY='istio_mc.ops.link*')
	@.venv-mutants/bin/python -m scripts.mutants $(ONLY)

# Zensical needs 140 MB, and nothing else needs it: so it has its own environment.
.venv-site/ready: requirements-site.lock
	@$(PYTHON) -m venv .venv-site
	@.venv-site/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-site.lock
	@touch $@

site: .venv-site/ready ## Build the documentation as a site in site/, readable without a network; broken links fail
	@.venv-site/bin/python -m scripts.site

RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate

locks: .venv/ready ## Resolve the lock files from pyproject.toml and requirements-*.in (make locks UPGRADE=--upgrade: newest versions)
	$(RESOLVE) $(UPGRADE) --generate-hashes pyproject.toml -o requirements.lock
	$(RESOLVE) $(UPGRADE) --generate-hashes pyproject.toml requirements-dev.in -c requirements.lock -o requirements-dev.lock
	@# The lowest versions of direct dependencies alone: of those below them, and of the tests' tools, the newest.
	$(RESOLVE) --resolution lowest-direct --no-deps pyproject.toml -o .venv/lowest.txt
	$(RESOLVE) $(UPGRADE) --generate-hashes pyproject.toml requirements-test.in -c .venv/lowest.txt -o requirements-lowest.lock
	$(RESOLVE) $(UPGRADE) --generate-hashes requirements-mutants.in -o requirements-mutants.lock
	$(RESOLVE) $(UPGRADE) --generate-hashes requirements-site.in -o requirements-site.lock

docs: .venv/ready ## Write the pages and the picture that are made from the program, and what `explain` prints
	@$(BIN)/python -m scripts.checks_page
	@$(BIN)/python -m scripts.releases_page
	@$(BIN)/python -m scripts.codes_page
	@$(BIN)/python -m scripts.commands_page
	@$(BIN)/python -m scripts.pictures
	@$(BIN)/python -m scripts.explain_page

.PHONY: help venv demo check test chain lab-up lab-newer lab-phases lab-adopt lab-down lab-env bench coverage mutants site locks docs
