.DEFAULT_GOAL := help
.PHONY: help setup up down status logs

STACK := python3 deploy/local/stack.py
SERVERS := mysql,redis,kafka,registry

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the build and the stack need
	$(STACK) system-deps
	$(STACK) install

up: ## start MySQL, Redis, Kafka and the schema registry in the background
	$(STACK) install --only $(SERVERS)
	$(STACK) up

down: ## stop them
	$(STACK) down

status: ## what runs, on which port
	@$(STACK) status

logs: ## follow the servers' logs
	@$(STACK) logs --follow
