# Everything that is done here more than once. Each target first makes .venv, or finds that it is there.
# ARGS="…" is handed on, e.g. make unit ARGS="-k pause -x".

.DEFAULT_GOAL := help
unexport PYTHONPATH PYTHONHOME
SHELL := /bin/sh
RUN := .venv/bin/python
ARGS ?=

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: ## .venv with the pinned dependencies; PYTHON=… chooses the interpreter
	@sh tools/bootstrap.sh

# What people run

.PHONY: demo
demo: venv ## the whole story on real Kafka and Postgres, with what was counted
	@$(RUN) -m testkit.demo $(ARGS)

.PHONY: up
up: venv ## the local stack: Kafka, Postgres, the services and the sink
	@$(RUN) -m sluice dev up $(ARGS)

.PHONY: down
down: venv ## stop the local stack; the data stay
	@$(RUN) -m sluice dev down $(ARGS)

.PHONY: bench
bench: venv ## the figures by which Sluice is measured, each a ratio in one run (about an hour); ARGS="--only R1"
	@$(RUN) -m benchmarks.bench $(ARGS)

.PHONY: bench-halts
bench-halts: venv ## what leaves after a receipt, over 1,000,000 halts while senders and Postgres break
	@$(RUN) -m benchmarks.bench --only R13 $(ARGS)

.PHONY: bench-soak
bench-soak: venv ## an hour at full load: throughput and the size of what is emptied, at the end and at first
	@$(RUN) -m benchmarks.bench --only R15 $(ARGS)

.PHONY: bench-profile
bench-profile: venv ## where a sender and a reader at full load spend their time, as flame graphs
	@$(RUN) -m benchmarks.profiles $(ARGS)

.PHONY: bench-peers
bench-peers: venv ## PGQueuer, Procrastinate, River and Celery at the same work, in turns with our senders (half an hour)
	@$(RUN) -m benchmarks.peers $(ARGS)

.PHONY: bench-smoke
bench-smoke: venv ## 100,000 contacts in, all first messages out: rates and memory
	@$(RUN) -m benchmarks.smoke $(ARGS)

.PHONY: bench-pause
bench-pause: venv ## a pause with 1,000 and with 1,000,000 pending sends, and whether its receipt is true
	@$(RUN) -m benchmarks.pause $(ARGS)

.PHONY: bench-books
bench-books: venv ## the books of every sequence, asked 1,000 times while 100,000 contacts run through them
	@$(RUN) -m benchmarks.books $(ARGS)

.PHONY: bench-fair
bench-fair: venv ## how long a small sequence's messages wait while a million of another are due
	@$(RUN) -m benchmarks.fair $(ARGS)

.PHONY: bench-rebuild
bench-rebuild: venv ## the console hears 1,000,000 events, is dropped, and is built again with the same numbers
	@$(RUN) -m benchmarks.rebuild $(ARGS)

# Tests

.PHONY: test
test: venv ## every test; afterwards no process of it is left
	@$(RUN) -m tools.run_tests $(ARGS)

.PHONY: unit
unit: venv ## tests that need no server
	@$(RUN) -m tools.run_tests -m "not stack" libs services $(ARGS)

.PHONY: component
component: venv ## tests of one package against real Kafka and Postgres
	@$(RUN) -m tools.run_tests -m stack libs services $(ARGS)

.PHONY: e2e
e2e: venv ## tests of the whole, across all services
	@$(RUN) -m tools.run_tests tests/e2e $(ARGS)

.PHONY: cases
cases: venv ## what the words mean: every case on real Kafka and Postgres, expected and seen, as tables
	@$(RUN) -m testkit.cases $(ARGS)

HISTORIES ?= 500

.PHONY: histories
histories: venv ## random histories of the real services beside a model of what the words mean; HISTORIES=500
	@SLUICE_HISTORIES=$(HISTORIES) $(RUN) -m tools.run_tests tests/histories -s $(ARGS)

.PHONY: races
races: venv ## 10,000 removals, with pauses and suspensions, against claims: whether each receipt is true and adds up
	@$(RUN) -m tests.races $(ARGS)

.PHONY: faults
faults: venv ## every scene of a fault, judged by the checker, and every planted bug (75 minutes); ARGS="--list", "--scene NAME --seed N"
	@$(RUN) -m tests.faults $(ARGS)

# Checks

.PHONY: lint
lint: venv ## style and form (ruff)
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check .

.PHONY: format
format: venv ## mend style and form where a tool can
	@$(RUN) -m ruff check --fix . ; $(RUN) -m ruff format .

.PHONY: types
types: venv ## types (mypy, strict)
	@$(RUN) -m mypy libs services tests tools benchmarks examples

.PHONY: arch
arch: venv ## the rules of the architecture; a breach is named with its file
	@$(RUN) -m tools.architecture $(ARGS)

.PHONY: contracts
contracts: venv ## write the JSON Schemas, AsyncAPI and OpenAPI documents anew
	@$(RUN) -m sluice_contracts.generate && $(RUN) -m tools.openapi

.PHONY: contracts-check
contracts-check: venv ## are they as the code would write them?
	@$(RUN) -m sluice_contracts.generate --check && $(RUN) -m tools.openapi --check

.PHONY: compose-check
compose-check: venv ## docker-compose.yml against its specification and each compose found here
	@$(RUN) -m tools.compose_check

.PHONY: ci
ci: ## all checks and tests, as the server runs them
	@.ci/run

# Upkeep

.PHONY: lock
lock: ## pin all dependencies anew (needs uv)
	@sh tools/lock.sh

.PHONY: clean
clean: ## stop the local stack and remove all that was made here
	@sh tools/clean.sh
