"""Usage outside of a partner's policy, from the log to the invoice: counted, billed, marked, reported, and nothing
else changed.
"""

import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from lake.tables import Part, file_schema
from schemas import tables
from schemas.tables import EVENTS, TableShape
from tests.ingest.test_outside import ELSEWHERE, INSIDE
from tests.tollbook.fixtures import Here, write_catalog
from tests.tollbook.policy_case import INSIDE_LINES, LINES, OUTSIDE_LINES, PARTNERS

MARKS = {mark: len(lines) for mark, lines in OUTSIDE_LINES.items()}


def read(here: Here, *lines: bytes, name: str = "trail.json") -> dict[str, object]:
    words = ["run", "--catalog", here.catalog, "--lake", here.lake, "--format", "cloudtrail", "--source", "aws"]
    ended = here.tollbook(*words, here.log(name, *lines), "--json")
    assert ended.code == 0, ended.err
    return dict(ended.json)


@pytest.fixture
def policed(here: Here) -> Here:
    write_catalog(here.catalog, partners=PARTNERS)
    return here


def test_all_of_it_is_counted_and_invoiced_and_what_lies_outside_is_reported(
    policed: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads of one bucket from one network, one function from anywhere. The partner owes every call that was served."""
    report = read(policed, *LINES)
    assert (report["counted"], report["refused"], report["outside"]) == (len(LINES), 0, MARKS)
    assert policed.balanced(len(LINES))
    here, period = ["--catalog", policed.catalog, "--lake", policed.lake], ["--period", "2026-10"]
    found = policed.tollbook("outside", "acme", *here, *period, "--json").json
    marked: dict[str, int] = {}
    for row in found:
        marked[row["outside"]] = marked.get(row["outside"], 0) + row["requests"]
    assert marked == MARKS
    events = policed.table("events", "SELECT event_id, outside FROM t WHERE outside IS NOT NULL")
    assert {i for row in found for i in row["event_ids"]} <= {row["event_id"] for row in events}
    assert len(events) == sum(MARKS.values())
    shown = policed.tollbook("outside", "acme", *here, *period).out
    assert "198.51.100.0/24" in shown
    assert "GetObject" in shown
    monkeypatch.chdir(policed.folder)
    assert policed.close().code == 0
    issued = policed.tollbook(
        "invoice",
        "issue",
        *here[2:],
        "--now",
        "2026-11-06T00:00:00Z",
        *period,
        "--json",
    )
    assert issued.json["invoices"][0]["total"] == "3.25"  # 13 calls at 0.25
    assert policed.tollbook("invoice", "verify", *here[2:]).code == 0


def test_a_run_tells_people_what_lies_outside(policed: Here) -> None:
    """Once, in a line, with the command that lists it."""
    path = policed.log("trail.json", *LINES)
    shown = policed.tollbook(
        "run", "--catalog", policed.catalog, "--lake", policed.lake, "--format", "cloudtrail", "--source", "aws", path
    ).out
    assert "1 ACTION, 3 NETWORK, 2 RESOURCE, 1 UNKNOWN" in " ".join(shown.split())


def test_rows_inside_are_not_listed(policed: Here) -> None:
    """And a partner without any is told so."""
    assert read(policed, *INSIDE_LINES)["outside"] == {}
    found = policed.tollbook(
        "outside", "acme", "--catalog", policed.catalog, "--lake", policed.lake, "--period", "2026-10"
    )
    assert "is allowed by its credentials" in found.out


def test_no_table_of_the_lake_holds_a_whole_client_address(policed: Here) -> None:
    """Of what counts and of what is refused, also where a rule asked for the whole address. Security, S20."""
    refused = [line.replace(b"GlobexExport", b"Unknown") for line in LINES]
    contradicting = [
        LINES[0].replace(b'{"eventTime"', b'{"eventID": "e", "eventName": "%s", "eventTime"' % name)
        for name in (b"A", b"B")
    ]
    assert read(policed, *LINES, *refused, *contradicting)["refused"] == len(LINES)
    stored = "".join(repr(policed.table(name)) for name in tables.ALL)
    assert "203.0.113.0/24" in stored
    assert [ip for ip in (INSIDE, ELSEWHERE) if ip in stored] == []


@pytest.mark.slow
def test_a_resend_after_the_policy_was_fixed_is_a_duplicate(policed: Here) -> None:
    """The mark is no part of what a bill can change by: no conflict, and the first stays as it was marked."""
    named = [text.replace(b'{"eventTime"', b'{"eventID": "e%d", "eventTime"' % n) for n, text in enumerate(LINES)]
    assert read(policed, *named)["outside"] == MARKS
    write_catalog(policed.catalog, partners=PARTNERS.replace("networks: [203.0.113.0/24]", "networks: [0.0.0.0/0]"))
    again = read(policed, b"\n", *named, name="again.json")
    assert (again["counted"], again["duplicates"], again["conflicts"], again["outside"]) == (0, len(LINES), 0, {})
    assert len(policed.table("events", "SELECT * FROM t WHERE outside = 'NETWORK'")) == MARKS["NETWORK"]


def test_a_lake_from_before_takes_marks_and_its_books_go_on(policed: Here) -> None:
    """The column is added by the next run; the tables that follow `events` pass over the commits that added it."""
    older_lake(policed.lake)
    assert read(policed, *LINES)["outside"] == MARKS
    assert policed.balanced(len(LINES))
    found = policed.tollbook(
        "outside", "acme", "--catalog", policed.catalog, "--lake", policed.lake, "--period", "2026-10", "--json"
    )
    assert sum(row["requests"] for row in found.json) == sum(MARKS.values())


def test_rows_from_before_are_read_beside_new_ones(tmp_path: Path) -> None:
    """Files of both kinds, in any order, and a version that was pinned before the column came."""
    root = tmp_path / "lake"
    earlier = older_lake(root)
    table = Lake(root).open(earlier)
    table = table.commit([part(root, earlier, "old")], versions={}, info={})
    pinned = table.version
    Lake(root).create()
    table = Lake(root).open(EVENTS)
    table.commit([part(root, EVENTS, "new", outside="NETWORK")], versions={}, info={})
    query = "SELECT event_id, outside FROM events ORDER BY event_id"
    assert Warehouse(Lake(root)).con.sql(query).fetchall() == [("new", "NETWORK"), ("old", None)]
    assert Warehouse(Lake(root), {"events": pinned}, only=["events"]).con.sql(query).fetchall() == [("old", None)]
    newest = Lake(root).open(EVENTS).version
    Lake(root).create()
    assert Lake(root).open(EVENTS).version == newest


def older_lake(root: Path) -> TableShape:
    """A lake as it was before events had marks; its shape of `events`."""
    Lake(root).create()
    shutil.rmtree(root / "events")
    earlier = EVENTS._replace(schema=pa.schema([f for f in EVENTS.schema if f.name not in EVENTS.later]), later=())
    (root / "events").mkdir()
    DeltaTable.create(root / "events", earlier.schema, partition_by=["event_day"])
    return earlier


def part(root: Path, shape: TableShape, event_id: str, **more: object) -> Part:
    row = {"source": "s", "event_id": event_id, "partner_id": "acme", "position": 0, "item": 0, **more}
    return Lake(root).write(shape, pa.Table.from_pylist([row], file_schema(shape)), date(2026, 10, 1))
