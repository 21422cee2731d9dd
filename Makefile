# Every target sets up what it needs by itself: .venv from the locks, and the lab's system packages where it may.
# PYTHON=/path/to/python3.12 chooses the interpreter; JOBS=4 the number of test processes.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo gym sample sample-listed sample-drawn-1 sample-drawn-2 test e2e chaos coverage image sbom check docs transcript printed fates screenshots lock upgrade format clean
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin
export PYTHON
unexport PYTHONDONTWRITEBYTECODE # some shells set it; hundreds of processes would then compile everything anew
JOBS ?= $(shell echo $$(($$(nproc) + 2)))
ARGS ?=
IMAGE ?= cnibot
# HELM_URL, HELM_SHA256, KUBECTL_URL and KUBECTL_SHA256 put these two programs into the image.
TOOLS = $(foreach one,HELM_URL HELM_SHA256 KUBECTL_URL KUBECTL_SHA256,$(if $($(one)),--build-arg $(one)="$($(one))"))
# Tests of hostile text, peers and files, of lost deadlines, floods and crashes; `make test` runs the short ones, too.
ATTACKS := tests/contracts tests/web/test_floods.py tests/aio tests/cli/test_unforeseen.py \
	tests/diagnosis/test_lower_rungs.py tests/slack/handlers/test_refusals.py tests/slack/handlers/test_twice.py \
	tests/slack/outbox tests/slack/test_thousand_events.py tests/store/inbox tests/store/test_trouble.py \
	tests/store/test_remote.py tests/store/server tests/app/test_gauges.py tests/incidents/test_killed_executors.py \
	tests/stories/test_e2e.py tests/stories/test_several_replicas.py

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: ## Try it in the browser: cluster, Slack workspace and bot (without a terminal: print the founding story)
	@trap 'exit 0' INT; .ci/setup system && .ci/setup lab && trap '' INT && \
		if [ -t 0 ] && [ -t 1 ]; then cnibot demo $(ARGS); else cnibot demo --scripted $(ARGS); fi || \
		[ $$? -eq 130 ] # Ctrl-C ends the demo, and is no error

gym: ## Faults drawn from a fresh seed, then each that the lab knows; write docs/accuracy.md (hours; ARGS=--resume)
	@.ci/setup system
	@.ci/setup dev
	@cnibot lab gym --generated 240 --decoys 60 --repeat --write docs/accuracy-generated.json $(ARGS) >/dev/null; \
		cnibot lab gym --decoys 100 --healthy 100 --pairs 60 --write docs/accuracy.json $(ARGS) >/dev/null; \
		code=$$?; python .ci/docs.py write; exit $$code

sample: ## A sample of the gym, the same in each CI run: the lab's faults and generated ones; ARGS='--rung agent' for some
	@.ci/setup system
	@.ci/setup lab
	@$(MAKE) -j3 sample-listed sample-drawn-1 sample-drawn-2 # all mostly wait for what they broke to show

sample-listed:
	@cnibot lab gym --sample 2 --decoys 1 --rung api --rung agent --output json $(ARGS)

sample-drawn-1:
	@cnibot lab gym --generated 12 --decoys 3 --seed 512897 $(ARGS)

sample-drawn-2:
	@cnibot lab gym --generated 12 --decoys 3 --seed 512909 $(ARGS)

test: ## Run the tests; ARGS='-k arp' for some
	@.ci/setup system
	@.ci/setup dev
	@if [ -n "$$CNIBOT_CI" ]; then .ci/setup browser && .ci/setup monitoring; fi
	@pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder -m "not long" $(ARGS)

e2e: ## Diagnose a real cluster, whole and broken (docs/e2e.md): KUBECONFIG=FILE [NODE_FAULTS=1] [E2E_IMAGE=IMAGE]
	@.ci/setup dev
	@[ -n "$(KUBECONFIG)" ] || { echo "Which cluster? make e2e KUBECONFIG=FILE"; exit 2; }
	@E2E_KUBECONFIG="$(KUBECONFIG)" E2E_NODE_FAULTS="$(NODE_FAULTS)" E2E_IMAGE="$(E2E_IMAGE)" \
		pytest -p no:randomly -p no:xdist tests/e2e $(ARGS)

chaos: ## Each fault once against the real bot: SEED=7 (or "3 7") plays seeds again, ROUNDS=50 all tests' attacks and 50 new
	@.ci/setup system
	@.ci/setup dev
	@if [ -n "$(ROUNDS)" ]; then pytest -n $(JOBS) --dist loadscope $(ATTACKS); fi
	@python .ci/chaos.py $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(ARGS)

coverage: ## Run the tests and ask that they reach 90 % of bot; twice as long as make test (then: coverage report)
	@$(MAKE) test ARGS='--cov=bot --cov-report= --cov-fail-under=90 $(ARGS)'

image: ## Build the image IMAGE, on the Dockerfile's base or BASE=…@sha256:…: a tag alone, which can be moved, is refused
	@[ -z "$(BASE)" ] || echo "$(BASE)" | grep -Eqx '[^ ]+@sha256:[0-9a-f]{64}' || { \
		echo "BASE names no digest: make image BASE=python:3.13-slim-bookworm@sha256:…" >&2; exit 2; }
	@docker build $(if $(BASE),--build-arg BASE="$(BASE)") $(TOOLS) --tag "$(IMAGE)" .

sbom: ## Write deploy/sbom.cdx.json, the Python packages of the image as a CycloneDX bill of materials
	@.ci/setup dev
	@python .ci/docs.py write

check: ## Lint, types, direction of imports, locks and generated docs
	@.ci/setup dev
	@.ci/check

docs: ## Write the generated pages again, and build the documentation site into build/site/html
	@.ci/setup dev
	@python .ci/docs.py write
	@python .ci/site.py

transcript: ## Play the demo and the quick start, and put what they printed into docs/story.md, README.md, docs/quickstart.md
	@.ci/setup system
	@.ci/setup dev
	@python .ci/transcript.py write story
	@python .ci/transcript.py write quickstart

printed: ## Play the demo and the quick start, and compare with what the documents say they print
	@.ci/setup system
	@.ci/setup dev
	@pytest -p no:randomly tests/architecture/test_readme.py -m long $(ARGS)

fates: ## Play every mechanism by which a kernel loses packets, and compare what a trace says of it (minutes, as root)
	@.ci/setup system
	@.ci/setup dev
	@pytest tests/agent/test_fates.py -m long $(ARGS)

screenshots: ## Take the pictures of the page in docs/pictures again (needs chromium)
	@.ci/setup system
	@.ci/setup dev
	@.ci/setup browser
	@python .ci/screenshots.py

lock: ## Write the locks again after pyproject.toml changed
	@.ci/setup dev
	@python .ci/lock.py write
	@.ci/setup dev

upgrade: ## Lock the newest versions that pyproject.toml allows
	@.ci/setup dev
	@python .ci/lock.py write --upgrade
	@.ci/setup dev

format: ## Format the code
	@.ci/setup dev
	@ruff check --fix-only --quiet . && ruff format --quiet .

clean: ## Remove .venv and everything that was generated and is not kept in git
	@rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache .hypothesis .cache dist build .coverage .coverage.*
	@find bot tests docs .ci -name __pycache__ -type d -prune -exec rm -rf {} +
