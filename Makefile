# Every target works on a fresh clone: `install` runs by itself when .venv is missing or older than the locks.
# More for `demo`, `up`, `down`, `bench`: make up ARGS="--base-port 20000", make bench ARGS="--rows send-64-sync"
ARGS ?=
PYTHON ?= python3
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py

# The shop is a dozen processes: without Python's own cache each of them would compile everything anew at every start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test up down interop promises check bench bench-quick nightly clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## .venv with the locked dependencies (the other targets call it)

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 3; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: .venv/installed ## the tour: orders end to end over the bundled broker, then the checker's verdict
	$(MANAGE) demo $(ARGS)

test: .venv/installed-dev ## the whole suite that needs nothing but Python
	$(BIN)/pytest -n 3 --dist loadgroup -m "not interop and not promise and not slow and not nightly"

up: .venv/installed ## start the shop and leave it running
	$(MANAGE) up $(ARGS)

down: .venv/installed ## stop the shop
	$(MANAGE) down $(ARGS)

promises: .venv/installed-dev ## what takes longer: the promises of the queue at full size, a shop stopped and killed, the containers
	$(BIN)/pytest -n 2 --dist loadgroup -m "(promise or slow) and not nightly"

interop: .venv/installed-dev ## other people's clients and RocketMQ's own classes as judges (JDK 17+, Maven, Go, Node)
	$(BIN)/pytest -n 2 --dist loadgroup -m "interop and not nightly" tests/interop

bench: .venv/installed-dev ## the bundled broker and Apache RocketMQ in turn, into docs/performance.md (JDK 17+, Maven, half an hour)
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: .venv/installed-dev ## one row of it: exit status 1 when the bundled broker is not twice as fast
	$(BIN)/python -m benchmarks --quick --rows send-64-sync --at-least 2 $(ARGS)

check: .venv/installed-dev ## what CI runs: format, lint, types, contracts, migrations, tests, interop
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(MAKE) test
	$(MAKE) promises
	$(MAKE) interop

nightly: .venv/installed-dev ## the promises at the size of a night, in pieces
	$(BIN)/pytest -n 2 -m nightly

clean: ## remove what make install and the shop made
	rm -rf .venv .millrace interop/target interop/node/node_modules
