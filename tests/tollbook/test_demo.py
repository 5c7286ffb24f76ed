"""The demonstration: the same month on every machine, one partner over its quota, and an end that says what to try
next.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tollbook.fixtures import ROOT, Ended, Here
from tollbook.cli.app import app

REQUESTS = 20_000
# A hundredth of the demonstration, with a hundredth of its quota: the shares are those of the whole.
QUOTA = 10_000
TOTALS = {"globex": "507.78", "initech": "490.70", "northwind": "501.44"}


class Shown(NamedTuple):
    """A demonstration that was run: what it printed, and what lies in its folder."""

    ended: Ended
    folder: Path

    def rows(self) -> dict[str, list[str]]:
        """The ending table, by partner; columns are two spaces apart."""
        lines = self.ended.out.splitlines()
        begin = next(i for i, text in enumerate(lines) if text.startswith("partner"))
        cells = [re.split(r" {2,}", text.strip()) for text in lines[begin : begin + 4]]
        assert cells[0] == ["partner", "requests", "GB", "of quota", "alerts at %", "invoice", "total EUR"]
        return {row[0]: row[1:] for row in cells[1:]}

    def steps(self) -> list[str]:
        return [text.strip() for text in self.ended.out.splitlines() if text.startswith("  tollbook ")]


def contents(folder: Path) -> Mapping[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def demonstrations() -> dict[str, Shown]:
    """Those of this module, each run once."""
    return {}


@pytest.fixture
def shown(here: Here, demonstrations: dict[str, Shown], tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The demonstration at a hundredth of its size and of its quota."""
    if "once" not in demonstrations:
        folder = tmp_path_factory.mktemp("demo")
        catalog = folder / "catalog"
        catalog.mkdir()
        for file in (ROOT / "examples" / "catalog").glob("*.yaml"):
            (catalog / file.name).write_text(file.read_text().replace("limit: 1000000", f"limit: {QUOTA}"))
        ended = here.tollbook("demo", "--requests", REQUESTS, "--folder", folder / "demo", "--catalog", catalog)
        demonstrations["once"] = Shown(ended, folder / "demo")
    return demonstrations["once"]


def test_it_ends_well_with_a_row_for_each_partner(shown: Shown) -> None:
    """Requests, GB, share of quota, alerts, invoice and total: the whole story in a table that fits 80 columns."""
    assert (shown.ended.code, shown.ended.err) == (0, "")
    rows = shown.rows()
    assert list(rows) == list(TOTALS)
    for number, (partner, total) in enumerate(TOTALS.items(), 1):
        requests, gigabytes, share, _, invoice, amount = rows[partner]
        assert (invoice, amount) == (f"TW-2026-{number:06d}", total)
        assert share == f"{int(requests.replace(',', '')) * 100 / QUOTA:.1f} %"
        assert re.fullmatch(r"\d+\.\d\d", gigabytes)


def test_northwind_crosses_its_quota_and_the_others_do_not(shown: Shown) -> None:
    """A demonstration of quotas in which nobody reaches one shows nothing. About 112 percent, and alerts up to 100."""
    rows = shown.rows()
    shares = {partner: float(row[2].removesuffix(" %")) for partner, row in rows.items()}
    assert 110 < shares["northwind"] < 115
    assert 70 < shares["globex"] < 85
    assert 0 < shares["initech"] < 10
    assert {partner: row[3] for partner, row in rows.items()} == {
        "northwind": "50 80 90 100", "globex": "50", "initech": "none"
    }  # fmt: skip


def test_the_books_balance_and_hold_what_real_logs_hold(shown: Shown) -> None:
    """One percent is resent, some lines are broken, some contradict themselves: the demonstration is no fair-weather
    log.
    """
    [books] = re.findall(
        r"Books: ([\d,]+) entries = ([\d,]+) counted \+ ([\d,]+) duplicates \+ ([\d,]+) conflicts \+ ([\d,]+) refused; unexplained: 0\n",
        shown.ended.out,
    )
    entries, *outcomes = (int(figure.replace(",", "")) for figure in books)
    assert entries == sum(outcomes)
    assert all(outcomes)
    assert 0.009 < outcomes[1] / entries < 0.011


def test_the_exports_of_all_three_partners_are_billed(shown: Shown, here: Here) -> None:
    """Three gateways call one route three ways; Initech's `GET /v1/export` was billed to nobody."""
    billed = {}
    for document in (shown.folder / "lake" / "documents").rglob("*.json"):
        invoice = json.loads(document.read_text())
        billed[invoice["buyer"]["id"]] = [
            line["usage"]["sum"] for line in invoice["lines"] if line["meter"] == "exports"
        ]
    assert billed.keys() == TOTALS.keys()
    assert all(int(counted) > 0 for (counted,) in billed.values())
    lake, catalog = shown.folder / "lake", shown.folder.parent / "catalog"
    options = ("--catalog", catalog, "--lake", lake, "--period", "2026-10", "--json")
    for partner in TOTALS:
        rows = here.tollbook("usage", partner, *options).out
        assert {name for name in ("GET /v1/export", '"export"') if name in rows} == set(), partner


@pytest.mark.slow
def test_its_logs_and_documents_are_the_same_bytes_again(shown: Shown, here: Here) -> None:
    """What a colleague sees on another machine, today or next year, is what the README shows."""
    again = here.folder / "again"
    catalog = shown.folder.parent / "catalog"
    ended = here.tollbook("demo", "--requests", REQUESTS, "--folder", again, "--catalog", catalog)
    assert ended.code == 0
    assert Shown(ended, again).rows() == shown.rows()
    assert contents(again / "logs") == contents(shown.folder / "logs")
    documents = contents(again / "lake" / "documents")
    assert documents == contents(shown.folder / "lake" / "documents")
    assert sorted(Path(name).suffix for name in documents) == [".csv"] * 3 + [".json"] * 3 + [".pdf"] * 3
    # An earlier demonstration is replaced, whatever was left of it; its marker says that it may be.
    (again / "lake" / "left-over").write_text("x")
    assert here.tollbook("demo", "--requests", 1000, "--folder", again, "--catalog", catalog).code == 0
    assert not (again / "lake" / "left-over").exists()


@pytest.mark.slow
def test_every_step_it_proposes_can_be_taken(shown: Shown, here: Here) -> None:
    """The first thing a newcomer copies must work."""
    steps = shown.steps()
    assert len(steps) == 6
    *readers, own = (shlex.split(step)[1:] for step in steps)
    for words in readers:
        ended = here.tollbook(*words)
        assert (ended.code, ended.err) == (0, ""), words
        assert ended.out
    app.parse_args(own, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("content", ["file", "folder"])
def test_a_folder_that_is_not_its_own_is_left_alone(here: Here, content: str) -> None:
    """It empties its folder: that must never be somebody's home."""
    folder = here.folder / "home"
    (folder / "letters").mkdir(parents=True)
    if content == "file":
        (folder / "letters").rmdir()
        (folder / "letters").write_text("a letter")
    before = contents(folder)
    ended = here.tollbook("demo", "--requests", 1000, "--folder", folder)
    assert ended.complaints == [f"{folder} is not empty and was not created by a demo; name another --folder"]
    assert ended.code == 2
    assert contents(folder) == before
    assert (folder / "letters").exists()


@pytest.mark.parametrize("requests", ["999", "-1", "many"])
def test_too_few_requests_to_show_anything_are_refused(here: Here, requests: str) -> None:
    """A month needs some traffic of all three partners."""
    ended = here.tollbook("demo", "--requests", requests, "--folder", here.folder / "demo")
    assert ended.code == 2
    assert len(ended.complaints) == 1
    assert not (here.folder / "demo").exists()
