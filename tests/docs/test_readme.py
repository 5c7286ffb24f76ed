"""What README.md shows is what one sees."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, block

pytestmark = pytest.mark.integration

_FIGURES = re.compile(r"(none|\d[\d,.]*)( (none|\d[\d,.]*))*")


def without_figures(text: str) -> list[str]:
    """The lines of a screen; columns are closed up, figures made alike."""
    return [re.sub(r" +", " ", _FIGURES.sub("#", re.sub(r" +", " ", line))).strip() for line in text.splitlines()]


def test_the_demonstration_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """A newcomer compares. The figures are those of the whole month and of one machine; here it is a small one."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    small = [sys.executable, "-m", "tollbook", "demo", "--requests", "3000"]
    done = subprocess.run(
        small, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=True
    )
    shown = without_figures(block("README.md", "demo"))
    assert without_figures(done.stdout)[: len(shown)] == shown
