"""`tollbook settle`, and the close that begins with it: one id is one request, in whichever month its line comes
again.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.catalog import loading as catalogs
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import DAY_MS, MINUTE_MS, T0_MS, Here, process, requests, write_catalog
from tests.tollbook.fixtures import ended as end_of
from tests.tollbook.test_redrive import NEW, redrive
from tests.tollbook.test_runs import KILL_AFTER_COMMIT
from tollbook.analysis import open_lake
from tollbook.cli.invoices import commands

OCTOBER, NOVEMBER = ("2026-10", "2026-11-05T00:00:00Z"), ("2026-11", "2026-12-05T00:00:00Z")


def again(numbers: range, days: int, consumer: str = "c-acme", **changes: Any) -> list[bytes]:
    """Lines with the ids of `requests(…)`, so many days later."""
    times = [T0_MS + n * MINUTE_MS for n in numbers]
    return [line(kong(f"id-{at}", started_at=at + days * DAY_MS, consumer={"id": consumer}, **changes)) for at in times]


def issue(here: Here, month: tuple[str, str]) -> list[tuple[str, str]]:
    """Close a month and issue it: partner and total of each invoice."""
    period, now = month
    done = here.tollbook(
        "invoice", "issue", "--catalog", here.catalog, "--lake", here.lake, "--period", period, "--now", now, "--json"
    )
    assert (done.code, done.err) == (0, "")
    return [(i["partner_id"], i["total"]) for i in done.json["invoices"]]


def verified(here: Here) -> list[tuple[str, int]]:
    """That every invoice comes out again, byte for byte; what came late: month and requests."""
    proof = here.tollbook("invoice", "verify", "--lake", here.lake, "--json").json
    assert proof["ok"], proof
    return [(late["period"], late["requests"]) for late in proof["late_usage"]]


@pytest.mark.slow
def test_within_a_month_the_close_takes_out_what_came_again_and_one_of_each_is_billed(here: Here) -> None:
    """A gateway that ships a week's log again with other times: nobody's close may be blocked, and nobody pays
    twice.
    """
    assert here.run(here.log("a.log", *requests(10))).code == 0
    assert here.run(here.log("b.log", *again(range(4), 6), *requests(3, T0_MS + 6 * DAY_MS + 30_000))).code == 0
    assert here.tollbook("verify", "--lake", here.lake).code == 1
    assert here.close().code == 0
    assert issue(here, OCTOBER) == [("acme", "3.25")]
    assert here.balanced(17)
    letters = here.tollbook("dead", "list", "--lake", here.lake, "--json").json
    assert [(row["reason"], row["entries"]) for row in letters["by_reason"]] == [("ID_CONFLICT", 4)]
    assert [row["event_id"] for row in letters["entries"]] == [f"id-{T0_MS + n * MINUTE_MS}" for n in range(4)]
    assert verified(here) == []
    used = here.tollbook(
        "usage", "acme", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10", "--json"
    )
    assert sum(Decimal(row["quantity"]) for row in used.json["by_day_and_route"]) == 13


@pytest.mark.slow
def test_across_months_the_second_is_in_no_invoice(here: Here) -> None:
    """The first was invoiced and stays so; the later month bills what is new in it."""
    assert here.run(here.log("a.log", *requests(10))).code == 0
    assert issue(here, OCTOBER) == [("acme", "2.50")]
    assert here.run(here.log("b.log", *again(range(10), 35), *requests(2, T0_MS + 36 * DAY_MS))).code == 0
    assert issue(here, NOVEMBER) == [("acme", "0.50")]
    assert issue(here, OCTOBER) == [("acme", "2.50")]
    assert verified(here) == []
    assert here.balanced(22)


@pytest.mark.slow
def test_what_comes_late_into_an_invoiced_month_is_taken_out_there(here: Here) -> None:
    """The first landed is November's, and was invoiced; October's file is found afterwards: no invoice changes, and
    nothing is owed.
    """
    assert here.run(here.log("b.log", *again(range(10), 35))).code == 0
    assert here.run(here.log("a.log", *requests(3, T0_MS + 60 * MINUTE_MS))).code == 0
    assert issue(here, OCTOBER) == [("acme", "0.75")]
    assert issue(here, NOVEMBER) == [("acme", "2.50")]
    assert here.run(here.log("found.log", *requests(11))).code == 0
    assert verified(here) == [("2026-10", 11)]
    done = here.tollbook("settle", "--lake", here.lake, "--json").json
    assert (done["recent"], done["withdrawn"]) == (11, 10)
    assert verified(here) == [("2026-10", 1)]
    assert here.balanced(24)


@pytest.mark.slow
def test_what_was_invoiced_twice_before_there_were_settlements_is_named(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both invoices stay as they are; the later month has less usage than it was invoiced with."""
    monkeypatch.setattr(commands, "settle", lambda *_, **__: None)
    assert here.run(here.log("a.log", *requests(10))).code == 0
    assert issue(here, OCTOBER) == [("acme", "2.50")]
    assert here.run(here.log("b.log", *again(range(4), 35))).code == 0
    assert issue(here, NOVEMBER) == [("acme", "1.00")]
    monkeypatch.undo()
    assert here.tollbook("settle", "--lake", here.lake, "--json").json["withdrawn"] == 4
    assert verified(here) == [("2026-11", -4)]
    assert here.balanced(14)


def test_the_command_says_what_it_did_and_a_repeat_does_nothing(here: Here) -> None:
    """Somebody runs it by hand, before the month's end."""
    assert here.run(here.log("a.log", *requests(5))).code == 0
    assert here.run(here.log("b.log", *again(range(2), 9))).code == 0
    done = here.tollbook("settle", "--lake", here.lake)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("7 events landed since the last settlement, 0 before it: 2 withdrawn as conflicts.")
    assert here.tollbook("settle", "--lake", here.lake).out == "Nothing was landed since the last settlement.\n"
    nowhere = here.tollbook("settle", "--lake", here.folder / "nowhere")
    assert nowhere.code == 2
    assert "is not a Tollbook lake" in nowhere.complaints[0]


@pytest.mark.slow
def test_a_close_that_is_repeated_is_the_same_close(here: Here) -> None:
    """A settlement with nothing to do writes nothing: the versions are the same, and so is the close."""
    assert here.run(here.log("a.log", *requests(5))).code == 0
    assert here.run(here.log("b.log", *again(range(2), 9))).code == 0
    assert here.close("--json").json["close_id"] == here.close("--json").json["close_id"]


@pytest.mark.slow
@pytest.mark.parametrize("table", ["events", "withdrawn", "dead", "rollups"])
def test_a_settlement_that_is_killed_after_a_commit_is_completed_by_the_close(here: Here, table: str) -> None:
    """A real process, gone at once behind each table's commit."""
    assert here.run(here.log("a.log", *requests(5))).code == 0
    assert here.run(here.log("b.log", *again(range(3), 9))).code == 0
    words = ["settle", "--lake", str(here.lake)]
    died = end_of(process(words, folder=here.folder, code=("-c", KILL_AFTER_COMMIT.replace("TABLE", repr(table)))))
    assert died.code == 9, died.err
    assert here.close().code == 0
    assert here.balanced(8)
    assert len(here.table("withdrawn")) == 3
    assert not (here.lake / ".settlement").exists()


@pytest.mark.slow
def test_a_redriven_line_is_settled_like_any_other(here: Here) -> None:
    """A redrive looks no farther than land does."""
    assert here.run(here.log("a.log", *requests(5))).code == 0
    assert here.run(here.log("b.log", *again(range(3), 9, "c-new"))).code == 0
    write_catalog(here.catalog, **NEW)
    assert redrive(here, "--json").json["counted"] == 3
    assert here.close().code == 0
    assert redrive(here).out == "No refused entries to redrive.\n"
    assert here.balanced(8)
    proof = here.tollbook("verify", "--lake", here.lake, "--json").json
    assert (proof["counted"], proof["conflicts"], proof["refused"]) == (5, 3, 0)


@pytest.mark.slow
def test_alerts_that_rested_on_it_are_withdrawn(here: Here) -> None:
    """A hundred requests of which fifty came again use up half of the quota."""
    assert here.run(here.log("a.log", *requests(50))).code == 0
    assert here.run(here.log("b.log", *again(range(50), 9))).code == 0
    assert here.tollbook("settle", "--lake", here.lake).code == 0
    done = here.tollbook(*here.run_words(here.folder / "b.log"), "--json").json
    assert sorted((a["kind"], a["threshold_percent"]) for a in done["alerts"] if a.get("threshold_percent")) == [
        ("withdrawn", "100"),
        ("withdrawn", "80"),
        ("withdrawn", "90"),
    ]


def test_every_reader_of_events_leaves_out_what_was_taken_out(here: Here) -> None:
    """Usage, the events behind it, the crossing of a quota, sizes to be released, usage outside of what was agreed."""
    assert here.run(here.log("a.log", *requests(10))).code == 0
    assert (
        here.run(
            here.log("b.log", *again(range(4), 6, response__size=2 * 10**15), *requests(4, T0_MS + 7 * DAY_MS))
        ).code
        == 0
    )
    book = catalogs.load(here.catalog)
    span = Span("acme", "requests", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    period = {"start": span.start, "end": span.end}
    before = Warehouse(Lake(here.lake))
    assert before.query("anomalies", period).num_rows == 4
    crossed = before.crossing(book, span, Decimal(11))
    assert crossed == datetime(2026, 10, 7, tzinfo=UTC)
    closed = here.close("--json")
    assert closed.code == 0, "what was taken out needs no release"
    for house in (Warehouse(Lake(here.lake)), Warehouse(Lake(here.lake), closed.json["versions"])):
        assert house.query("anomalies", period).num_rows == 0
        assert house.crossing(book, span, Decimal(11)) == crossed + timedelta(days=1)
        assert house.usage(book, [span]) == [14]
    assert before.crossing(book, span, Decimal(11)) == crossed, "a version does not move"
    analysis = open_lake(here.lake, here.catalog)
    sums = "SELECT window_start, sum(quantity) AS n FROM {} WHERE meter = 'requests' GROUP BY ALL HAVING sum(quantity) != 0 ORDER BY ALL"
    usage, events = analysis.frame(sums.format("usage")), analysis.frame(sums.format("metered_events"))
    assert usage.equals(events)
    assert usage["n"].sum() == 14
