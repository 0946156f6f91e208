# `make help` explains the targets. They only call the tools and the command line.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# The tests of one file share what they build, so whole files go to one of the processes, in the
# order of tests/conftest.py.
PYTEST := python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup repro pull test test-slow verify verify-quick changes values docs stress lint \
  format bench lock clean

help: ## explain every target
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' \
	  $(MAKEFILE_LIST)

setup: .venv/installed ## make .venv with the locked, hashed requirements of the pipeline

# What a target needs beyond the pipeline is added when it is first called.
PIP := python -m pip install --quiet --quiet
INSTALL := $(PIP) --require-hashes --requirement

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"error: Python 3.11 is needed, say where: make PYTHON=/path/to/python3.11")'
	@echo "Installing what the pipeline needs into .venv: 2.8 GB on disk, two to three minutes"
	@$(PYTHON) -m venv .venv
	@$(INSTALL) requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	@echo "Installing what the tests need: 0.7 GB and a minute more"
	@$(INSTALL) requirements-dev.lock
	@touch $@

.venv/installed-docs: .venv/installed requirements-docs.lock
	@echo "Installing what the documentation needs: 75 MB more"
	@$(INSTALL) requirements-docs.lock
	@touch $@

# The stages say themselves which of them runs, and DVC's advice on git is for who commits results.
# Ctrl-C is for DVC, whose last words this waits for.
QUIETLY := { trap '' INT; exec sed --unbuffered -e '/^> exec /d' -e '/^Running stage /d' \
  -e '/^\(Generating\|Updating\) lock file /d' -e '/^To track the changes/,/core.autostage/d' \
  -e '/^Use `dvc push`/d' -e '/^$$/d' -e 's/^\(Stage [0-9]\|All done\)/\n&/'; }

repro: setup ## reproduce the pipeline, from faces to the report; the first run is kept as `baseline`
	@set -o pipefail; PYTHONUNBUFFERED=1 dvc repro | $(QUIETLY)
	@test -n "$$(git for-each-ref 'refs/exps/*/*/baseline')" || \
	  if test "$$(git config user.name)" -a "$$(git config user.email)"; \
	  then dvc exp save --name baseline; \
	  else printf '%s\n' "Not kept as the experiment baseline: experiments are commits, and git" \
	  "has not both of your names. Set them and make repro again:" \
	  "  git config --global user.name NAME" "  git config --global user.email ADDRESS"; fi
	@git diff --quiet HEAD -- dvc.lock data/metrics data/metrics.json || \
	  echo "git status lists dvc.lock and metrics: they are now those of your run, and may stay so"
	@celeba-vae summary

# No remote has data/imported, so `download` is not among these. DVC verifies each file that it
# pulls, but not that the list of a folder's files is the one asked for.
PULLED ?= prepare train zpoints generate attributes evaluate report
pull: setup ## fetch all results but data/imported from the DVC remote, and compare them with dvc.lock
	dvc pull $(PULLED)
	@status=$$(dvc data status) || exit 1; case "$$status" in *modified:*) echo "$$status"; \
	  echo "error: what the remote gave is not what dvc.lock says" >&2; exit 1;; esac

lint: .venv/installed-dev ## check style, types, CI's workflows and CITATION.cff
	ruff check .
	ruff format --check .
	mypy
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

test: lint ## check style and types, run the tests (under 10 minutes)
	$(PYTEST) -m "not slow"

test-slow: .venv/installed-dev ## run the tests that take longer
	$(PYTEST) -m slow

# RESULTS=folder keeps the pictures, the report and the metrics of the reproduction.
VERIFY := celeba-vae verify $(if $(RESULTS),--results $(RESULTS))

verify: setup ## prove that the last commit gives its dvc.lock again, from nothing
	@$(VERIFY)

# EMULATE=EPYC-Milan: the second run on another processor, by qemu-x86_64: slow.
verify-quick: setup ## prove with tiny parameters that two runs give the same bytes
	@$(VERIFY) --quick $(if $(EMULATE),--emulate $(EMULATE))

BASE ?= HEAD~1
changes: setup ## print how parameters and key metrics differ from BASE=HEAD~1, as Markdown
	@celeba-vae compare --markdown $(BASE) workspace

values: setup ## write the values of the committed JSON files into README.md and docs/
	python -m celeba_vae.verify.pages

docs: .venv/installed-docs ## build the documentation, strictly
	python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs build/docs
	@echo "Open build/docs/index.html in a browser"

# FACES=folder of CelebA's archive adds preparation. PyTorch is not among the requirements.
bench: .venv/installed-dev ## print how fast step, feed and stages are beside others (ten minutes)
	python -m tests.benchmarks.step
	python -m tests.benchmarks.feed
	python -m tests.benchmarks.stages
	$(if $(FACES),python -m tests.benchmarks.prepare $(FACES))

TIMES ?= 100
stress: setup ## kill a training TIMES=100 times at random and compare what it ends in
	python -m tests.stress.resume --times $(TIMES)

format: .venv/installed-dev ## put the code into the project's form
	ruff check --fix .
	ruff format .

LOCK := uv pip compile --generate-hashes --universal --upgrade --quiet --no-emit-index-url \
  --no-annotate --custom-compile-command "make lock"
lock: .venv/installed-dev ## choose new versions of all requirements and lock them with hashes
	$(LOCK) pyproject.toml --group build --output-file requirements.lock
	$(LOCK) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(LOCK) --group docs --constraint requirements.lock --constraint requirements-dev.lock \
	  --output-file requirements-docs.lock

clean: ## remove the environment; results and downloads stay
	rm -rf .venv
