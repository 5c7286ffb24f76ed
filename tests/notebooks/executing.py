"""Notebooks executed as their readers do, over a lake and a catalog."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def execute(notebook: nbformat.NotebookNode, lake: Path, catalog: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of its cells."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TOLLBOOK_LAKE", str(lake))
        environment.setenv("TOLLBOOK_CATALOG", str(catalog))
        place = {"metadata": {"path": str(NOTEBOOKS)}}
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()
    return notebook
