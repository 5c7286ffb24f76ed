"""One small lake, landed once and copied for each test that wants to change it."""

import shutil
from pathlib import Path

import pytest

from billing.invoicing import closing, issuing
from lake.lake import Lake
from tests.billing.catalogs import book
from tests.billing.lakes import NOW, OCTOBER, books, land


@pytest.fixture(scope="session")
def october(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with tests.billing.lakes.OCTOBER: to be read, not changed."""
    return land(tmp_path_factory.mktemp("october") / "lake", OCTOBER)


@pytest.fixture
def root(october: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(october, tmp_path / "lake")


@pytest.fixture(scope="session")
def issued_october(october: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same month, closed and issued: to be read, not changed."""
    root = shutil.copytree(october, tmp_path_factory.mktemp("issued") / "lake")
    made = closing.close(Lake(root), book(), "2026-10", "north", prove=books(root), now=NOW)
    issuing.issue(Lake(root), made, now=NOW)
    return root


@pytest.fixture
def issued(issued_october: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(issued_october, tmp_path / "lake")
