.DEFAULT_GOAL := help
.PHONY: help setup up down status logs run demo-incident test test-build test-full bench lint fmt mutants openapi

LOCAL := deploy/local
STACK := python3 $(LOCAL)/stack.py

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the build, the stack and the tests need
	$(STACK) system-deps
	$(STACK) install

up: ## servers and services in the background; addresses and keys in .run/env
	@$(STACK) up --services

down: ## stop what `make up` started
	@$(STACK) down

status: ## what runs, on which port; exit code 0 only if all of it answers
	@$(STACK) status

logs: ## follow the logs
	@$(STACK) logs --follow

run: ## the whole product with a sale, until Ctrl-C or for RUN_FOR=seconds
	@python3 $(LOCAL)/run.py

demo-incident: ## three kinds of failure, planted in the running product, found, mended and replayed
	@python3 $(LOCAL)/incident.py

test: ## all tests, against servers of their own
	@$(LOCAL)/test.sh

test-build: ## build all that the tests need, run nothing
	@$(LOCAL)/test.sh --build-only

test-full: ## the same with million-row and soak sizes
	@$(LOCAL)/test.sh --full

bench: ## measure, against servers of its own
	@$(LOCAL)/bench.sh

lint: ## formatting, clippy, SQL metadata, dependencies, scripts, the local stack's own tests
	@deploy/ci/lint.sh

fmt: ## format the code
	cargo fmt --all

mutants: ## take each mechanism out and require its test to go red
	@testkit/mutations/run

openapi: ## write the OpenAPI file from the code
	cargo run --quiet --bin headgate-api -- --print-openapi > api/openapi.json
