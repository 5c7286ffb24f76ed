"""docs/design.md against the code: its module map, its tables, and the modules that it says make them."""

import re

import pytest

from schemas import tables
from tests.docs import module_map
from tests.docs.pages import ROOT, names_in_first_column, rows, section, text_of

PAGE = "docs/design.md"
CONSTANTS = {shape.name: name for name, shape in vars(tables).items() if shape in tables.ALL.values()}


def test_the_module_map_is_that_of_the_code() -> None:
    """A newcomer looks up what a folder holds and what it rests on."""
    remedy = "docs/design.md differs from the code; write it anew: python -m tests.docs.module_map"
    assert module_map.stored(text_of(PAGE)) == module_map.rendered(), remedy


def test_every_package_is_named_with_what_it_may_import() -> None:
    """In the order of the arrows; the arrows themselves are those of tests/test_arrows.py."""
    listed = names_in_first_column(section(PAGE, "Packages").partition("### ")[0])
    assert listed == list(module_map.PACKAGES)


def lineage() -> dict[str, list[str]]:
    """The modules that are named as makers of each table."""
    return {row[0].strip("`"): re.findall(r"`([\w/]+\.py)`", row[3]) for row in rows(section(PAGE, "The lake"))[2:]}


def test_every_table_is_named_and_no_other() -> None:
    """A table without a line in the lineage has no known origin."""
    assert list(lineage()) != []
    assert set(lineage()) == set(tables.ALL)


@pytest.mark.parametrize("table", tables.ALL)
def test_a_table_is_made_by_the_modules_that_are_named(table: str) -> None:
    """A maker names the shape of what it makes; one that does not is the wrong place to look."""
    makers = lineage()[table]
    assert makers
    for maker in makers:
        assert re.search(rf"\b{CONSTANTS[table]}\b", (ROOT / maker).read_text()), f"{maker} does not name {table}"
