"""How much a test does: `make test` does fewer examples than `make test-all`, and `make faults` alone does the most."""

import os

import pytest

LONG = bool(os.environ.get("TOLLBOOK_LONG_FAULTS"))
QUICK = False  # whether `make test` runs; tests/conftest.py sets it before it collects
long_only = pytest.mark.skipif(not LONG, reason="part of `make faults`")


def amount(quick: int, whole: int, long: int | None = None) -> int:
    """How many examples or lines: `quick` in `make test`, `whole` in `make test-all`, `long` in `make faults`."""
    if LONG:
        return whole if long is None else long
    return quick if QUICK else whole
