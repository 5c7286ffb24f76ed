"""docs/analysis.md against a lake."""

from pathlib import Path

import pytest

from lake.lake import Lake
from schemas import tables
from tests.docs.pages import ROOT, blocks, names_in_first_column, rows, section
from tollbook.analysis import Analysis, open_lake

PAGE = "docs/analysis.md"


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """An empty lake has all tables and views."""
    root = tmp_path_factory.mktemp("analysis") / "lake"
    Lake(root).create()
    return open_lake(root, ROOT / "examples" / "catalog")


@pytest.mark.integration
def test_views_have_the_columns_that_are_listed(analysis: Analysis) -> None:
    """A query is written from this table."""
    listed = {row[0].strip("`"): [c.strip("` ") for c in row[2].split(",")] for row in rows(section(PAGE, "Views"))[2:]}
    assert listed.keys() == {"usage", "traffic", "metered_events", "invoice_lines", "partners", "units", "local_days"}
    for view, columns in listed.items():
        assert list(analysis.frame(f"SELECT * FROM {view}").columns) == columns


def test_all_tables_are_named(analysis: Analysis) -> None:
    """What is not named is not found."""
    text = section(PAGE, "Tables")
    for name in tables.KEPT:
        assert f"`{name}`" in text
        assert analysis.frame(f"SELECT * FROM {name}").empty
    assert set(names_in_first_column(section("docs/design.md", "The lake"))) == set(tables.ALL)


def test_the_code_that_is_shown_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the paths of the demonstration, as on the page."""
    (code,) = [b.text for b in blocks(ROOT / PAGE) if b.language == "python"]
    Lake(tmp_path / "demo" / "lake").create()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, PAGE, "exec"), names)
    assert list(names["usage"].columns) == ["partner_id", "meter", "unit", "quantity"]  # type: ignore[attr-defined]
