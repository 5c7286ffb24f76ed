"""docs/finance.md: what the page shows is what the commands print, and its documents sum up to what is owed."""

import os
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from schemas.money import MINOR_UNITS
from tests.finance import logs, story
from tests.reckoning.contracts import owed
from tests.tollbook.fixtures import command

pytestmark = pytest.mark.integration
MONTHS = ["2026-10", "2026-11", "2026-12"]


def test_the_months_are_as_the_page_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From an empty folder to the last open item. All documents together are what the reckoning says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    story.begin(tmp_path)
    page = story.PAGE.read_text()
    outputs = []
    for step in story.shown(page):
        outputs.append(story.run(step, capsys))
        if story.WRITES not in os.environ:
            assert story.settled(outputs[-1]) == story.settled(step.printed), step.typed
    if story.WRITES in os.environ:
        story.PAGE.write_text(story.written(page, iter(outputs)))
    documents = command(capsys, "invoice", "list", "--lake", "lake", "--json").json
    assert summed(documents) == owed(book(), MONTHS, logs.events(), {"nordlicht": 500})


def book() -> dict[str, Any]:
    """The catalog as it is in the end: with the right price."""
    text = Path("catalog/catalog.yaml").read_text()
    return cast("dict[str, Any]", yaml.load(text, yaml.BaseLoader))


def summed(documents: Iterable[dict[str, Any]]) -> dict[str, int]:
    """The totals of all documents in minor units, by partner."""
    found: dict[str, int] = defaultdict(int)
    for each in documents:
        found[each["partner_id"]] += int(Decimal(each["total"]).scaleb(MINOR_UNITS[each["currency"]]))
    return found
