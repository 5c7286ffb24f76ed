"""What the tests of the command share."""

from pathlib import Path

import pytest

from tests.tollbook.fixtures import Here


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    """A folder of the test's own, with a catalog and the command."""
    return Here(tmp_path, capsys)
