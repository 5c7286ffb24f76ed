"""What `make faults` runs and `make test-all` leaves out: the second of two ways into the same code, and more
examples of a law.
"""

import os

import pytest

LONG = bool(os.environ.get("TOLLBOOK_LONG_FAULTS"))
long_only = pytest.mark.skipif(not LONG, reason="part of `make faults`")
