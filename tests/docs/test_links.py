"""Links, files and tables in the documentation lead somewhere."""

import re
import tomllib
from pathlib import Path

import pytest

from billing.invoicing.render.csv_lines import COLUMNS
from schemas.reasons import Reason
from tests.docs.pages import PAGES, ROOT, block, names_in_first_column, prose, rows, section, text_of
from tollbook.cli.app import app
from tollbook.cli.errors import EXIT_CODES

_LINK = re.compile(r"\]\(([^)]+)\)")
_PATH = re.compile(
    r"`((?:schemas|ingest|aggregate|billing|tollbook|tests|docs|notebooks|examples|benchmarks)/[A-Za-z0-9_./-]*)`"
)
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_paths_exist(page: Path) -> None:
    """A page that names a file that was moved sends its reader nowhere."""
    for target in _LINK.findall(prose(page)):
        if target.startswith("http"):
            continue
        file, _, part = target.partition("#")
        place = page.parent / file if file else page
        assert place.exists(), target
        if part:
            headings = re.findall(r"^#+ (.*)$", place.read_text(), re.MULTILINE)
            assert part in map(anchor, headings), target
    for path in _PATH.findall(prose(page)):
        assert (ROOT / path).exists(), path


def test_code_refers_to_pages_that_exist() -> None:
    """Docstrings and messages send people to pages."""
    named = {m for d in ("schemas", "kernels", "lake", "ingest", "aggregate", "billing", "tollbook") for f in (ROOT / d).rglob("*.py")
             for m in re.findall(r"docs/[a-z0-9_/.-]+?\.md", f.read_text())}  # fmt: skip
    assert "docs/decisions/002-commit-protocol.md" in named
    for page in named:
        assert (ROOT / page).exists(), page


def test_exit_codes_are_those_of_the_command() -> None:
    """A scheduler is set up by this table."""
    table = [row for row in rows(section("docs/operations.md", "Exit codes")) if row[0].isdigit()]
    assert [int(row[0]) for row in table] == list(EXIT_CODES)
    for row in table:
        assert row[1].startswith(EXIT_CODES[int(row[0])].partition(":")[0].partition(";")[0].partition(",")[0])


def test_the_columns_of_an_invoices_csv_are_those_that_are_listed() -> None:
    """Whoever loads it into a ledger maps them by this list."""
    assert tuple(block("docs/commands.md", "csv").replace("\n", " ").strip().split(", ")) == COLUMNS


def test_the_commands_of_invoices_are_all_explained() -> None:
    """One that the page does not have is found by nobody."""
    named = {name.split()[2] for name in names_in_first_column(section("docs/commands.md", "Invoices"))}
    assert named == {name for name in app["invoice"] if not name.startswith("-")}


def test_every_reason_is_explained_and_every_explained_one_exists() -> None:
    """Whoever finds a refused line looks its reason up."""
    explained = names_in_first_column(section("docs/operations.md", "What to do about refused lines"))
    assert len(explained) == len(set(explained))
    assert set(explained) == set(Reason)


def test_every_dependency_has_its_reason() -> None:
    """Each with the bound that holds; one that is gone leaves the table, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {"core": project["dependencies"], **project["optional-dependencies"]}
    named = {
        (_NAME.match(line)[0], _NAME.sub("", line.partition(";")[0], count=1), extra)  # type: ignore[index]
        for extra, lines in wanted.items()
        for line in lines
        if not line.startswith("tollbook[")
    }
    listed = [
        row for row in rows(text_of("docs/dependencies.md").partition("## Looked at")[0]) if row[0].startswith("`")
    ]
    assert {(name.strip("`"), bound.strip("`"), extra) for name, bound, extra, *_ in listed} == named
    assert len(listed) == len(named) > 30
    assert all(licence and reason for *_, licence, reason in listed)
