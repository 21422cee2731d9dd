# Every target sets up what it needs by itself: .venv from the locks, and the lab's system packages where it may.
# PYTHON=/path/to/python3.12 chooses the interpreter; JOBS=4 the number of test processes.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo gym sample test coverage check docs transcript screenshots lock upgrade format clean
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin
export PYTHON
unexport PYTHONDONTWRITEBYTECODE # some shells set it; hundreds of processes would then compile everything anew
JOBS ?= $(shell echo $$(($$(nproc) + 2)))
ARGS ?=

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: ## Try it in the browser: cluster, Slack workspace and bot (without a terminal: print the founding story)
	@.ci/setup system
	@.ci/setup lab
	@if [ -t 0 ] && [ -t 1 ]; then cnibot demo $(ARGS); else cnibot demo --scripted $(ARGS); fi

gym: ## Break the lab in every way it knows, diagnose each, write docs/accuracy.md (an hour; ARGS=--resume: go on)
	@.ci/setup system
	@.ci/setup dev
	@cnibot lab gym --decoys 100 --healthy 100 --pairs 60 --write docs/accuracy.json $(ARGS) >/dev/null; \
		code=$$?; python .ci/docs.py write; exit $$code

sample: ## A shuffled sample of the gym, as CI plays it; ARGS='--seed 7' for another
	@.ci/setup system
	@.ci/setup lab
	@cnibot lab gym --sample 25 --decoys 10 --rung api --rung agent --output json $(ARGS)

test: ## Run the tests; ARGS='-k arp' for some
	@.ci/setup system
	@.ci/setup test
	@if [ -n "$$CNIBOT_CI" ]; then .ci/setup browser; fi
	@pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

coverage: ## Run the tests and ask that they reach 90 % of bot; twice as long as make test (then: coverage report)
	@$(MAKE) test ARGS='--cov=bot --cov-report= --cov-fail-under=90 $(ARGS)'

check: ## Lint, types, direction of imports, locks and generated docs
	@.ci/setup dev
	@.ci/check

docs: ## Write the generated pages again
	@.ci/setup dev
	@python .ci/docs.py write

transcript: ## Play the demo and put what it printed into README.md
	@.ci/setup system
	@.ci/setup dev
	@python .ci/transcript.py write

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
