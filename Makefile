# Needs Python 3.10 or newer, git and make. Everything is installed into .venv, and again only when pyproject.toml changes.

BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test soak check
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/python examples/side_by_side.py

test: $(INSTALLED)
	$(BIN)/python -m pytest

# The tests that go on for as long as they are told to, for a minute each.
soak: $(INSTALLED)
	ISOHUB_SOAK_SECONDS=60 $(BIN)/python -m pytest -s tests/integration/test_disk_soak.py

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit $(BIN)/pip-audit

# pip and not uv, because pip alone knows of the mirror that a machine's pip is configured for.
$(INSTALLED): pyproject.toml .ci/find-python
	@$(BIN)/python -c "" 2>/dev/null || { python="$$(.ci/find-python)" && "$$python" -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[images,test,lint]"
	@touch $@
