"""docs/decisions/README.md names every decision, and nothing that is not there."""

import re

from tests.docs.pages import ROOT, prose, rows, text_of

INDEX = "docs/decisions/README.md"
FOLDER = ROOT / "docs" / "decisions"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


def test_the_index_lists_every_decision_once_and_in_order() -> None:
    """A decision that the index lacks is found by nobody who looks for it."""
    listed = [re.findall(r"\[(\d{3})\]\(([^)]+)\)", row[0]) for row in rows(text_of(INDEX))[2:]]
    assert [name for ((_, name),) in listed] == [path.name for path in PAGES]
    assert all(name.startswith(f"{number}-") for ((number, name),) in listed)
    assert all(row[1].endswith(".") for row in rows(text_of(INDEX))[2:])


def test_a_decision_begins_with_its_number_and_says_why() -> None:
    """The number in the title is the one that other pages name."""
    for path in PAGES:
        assert path.read_text().startswith(f"# {path.name[:3]}: "), path.name
        headings = re.findall(r"^## (.*)$", prose(path), re.MULTILINE)
        assert {"Context", "Decision"} <= set(headings), path.name


def test_unused_numbers_are_named_and_stay_unused() -> None:
    """Whoever looks for a missing number learns that there is no such page."""
    unused = {"009", "023", "028", "031", "032"}
    assert set(re.findall(r"\b\d{3}\b", text_of(INDEX).rpartition("\n\n")[2])) == unused
    assert not {path.name[:3] for path in PAGES} & unused
