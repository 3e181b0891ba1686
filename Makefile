# Needs Python 3.10 or newer, git and make. Everything is installed into .venv, and again only when pyproject.toml changes;
# what the benchmarks need goes into .venv-bench.

BIN := .venv/bin
INSTALLED := .venv/installed
RUNS ?= 1000000
SECONDS ?= 60
BENCH := .venv-bench

.PHONY: demo test soak fuzz check bench bench-peers
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/python examples/side_by_side.py

# A file at a time, so that what is built for the tests of a file is built once.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# What goes on for as long as it is told to: ten processes with one environment, and load while everything goes wrong.
soak: $(INSTALLED)
	ISOHUB_SOAK_SECONDS=$(SECONDS) $(BIN)/python -m pytest -s tests/integration/test_disk_soak.py
	$(BIN)/python -m tests.soak --seconds $(SECONDS)

# Mutated frames into both sides of the wire: RUNS of them, by a mutator that knows what a message is made of.
fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz --runs $(RUNS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit $(BIN)/pip-audit

# Some rows alone: make bench ROWS="trivial round-trip --quick". Some peers: make bench-peers PEERS="ray rpyc".
bench: $(BENCH)/installed
	$(BENCH)/bin/python -m benchmarks $(ROWS)

bench-peers: $(BENCH)/installed
	$(BENCH)/bin/python -m benchmarks.peers $(PEERS)

# pip and not uv, because pip alone knows of the mirror that a machine's pip is configured for.
# Without torch, as a program may be.
$(BENCH)/installed: EXTRAS := bench
$(INSTALLED): EXTRAS := images,test,lint
$(INSTALLED) $(BENCH)/installed: pyproject.toml .ci/find-python
	@$(@D)/bin/python -c "" 2>/dev/null || { python="$$(.ci/find-python)" && "$$python" -m venv --clear $(@D); }
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$(EXTRAS)]"
	@touch $@
