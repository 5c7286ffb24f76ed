"""The same histories through a real lake: log lines are metered, months closed and issued, and every invoice is what
the reckoning says.

Each month's log is landed before its issue, and each issue is made for every legal entity that has partners then. Times
are whole milliseconds, as Kong writes them.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.windows import from_us
from tests.ingest.fixtures import kong, line
from tests.long import LONG
from tests.reckoning.agreed import Document
from tests.reckoning.balance import Run, issue
from tests.reckoning.histories import History, history
from tests.reckoning.reckoning import DAY_US, PLACES, Event, Outcome, Record, Settled, month_bounds
from tests.tollbook.fixtures import Here

pytestmark = pytest.mark.integration

SEEDS = 200 if LONG else 6
BUG = 70  # the exit code of a command that failed as none should


@pytest.mark.sampled(keep=1, whole=3)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_invoices_are_what_the_pages_say(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = differences(history(seed, small=True), Here(tmp_path, capsys))
    assert not found, "\n".join(found)


def differences(made: History, here: Here) -> list[str]:
    """How the invoices of a lake differ, run after run; and what `invoice verify` and `verify` find in the end."""
    events = [event._replace(at_us=event.at_us // 1000 * 1000) for event in made.events]
    settled: list[Settled] = []
    documents: list[Document] = []
    landed: set[int] = set()
    seen: set[str] = set()
    found = []
    now = from_us(0)
    for file in here.catalog.iterdir():
        file.unlink()
    for n, run in enumerate(made.runs):
        (here.catalog / "catalog.yaml").write_text(yaml.safe_dump(run.catalog))
        over_us = max(month_bounds(partner["time_zone"], run.label)[1] for partner in run.catalog["partners"])
        _land(here, n, run, events, landed, over_us + 2 * DAY_US)
        now = max(now + timedelta(hours=1), from_us(over_us + 3 * DAY_US))
        expected = issue(run, events, settled, documents)
        found += [f"run {n}, {run.label}, {problem}" for problem in _issue(here, run, expected, now)]
        rows = [row for row in _invoices(here) if row["number"] not in seen]
        seen |= {row["number"] for row in rows}
        wanted = sorted((_wanted(partner, run.label, one) for partner, one in expected.items() if one.bill), key=str)
        got = sorted(map(_got, rows), key=str)
        if wanted != got:
            found.append(f"run {n}, {run.label}: {wanted} by the pages, {got} by the product")
    return [*found, *_unproved(here, events, landed)]


def _land(here: Here, n: int, run: Run, events: list[Event], landed: set[int], until_us: int) -> None:
    """What was used until then by the partners that are known, as a log of Kong, and nothing twice."""
    known = {partner["id"] for partner in run.catalog["partners"]}
    due = [i for i, event in enumerate(events) if i not in landed and event.at_us < until_us and event.partner in known]
    landed |= set(due)
    log = here.log(f"{n}.log", *(_line(i, events[i]) for i in due))
    ended = here.run(log)
    assert (ended.code, ended.complaints) == (0, []), ended


def _line(i: int, event: Event) -> bytes:
    return line(
        kong(
            f"id-{i}",
            started_at=event.at_us // 1000,
            consumer__id=f"c-{event.partner}",
            request__method=event.method,
            request__size=event.request_bytes,
            response__size=event.response_bytes,
            response__status=event.status,
            latencies__request=event.latency_us // 1000,
            route__name=event.route,
        )
    )


def _issue(here: Here, run: Run, expected: dict[str, Outcome], now: datetime) -> Iterable[str]:
    for entity in sorted({partner["legal_entity"] for partner in run.catalog["partners"] if "legal_entity" in partner}):
        ended = here.tollbook(
            "invoice", "issue", "--catalog", here.catalog, "--lake", here.lake, "--period", run.label,
            "--legal-entity", entity, "--now", now.isoformat(),
        )  # fmt: skip
        mine = [expected[partner["id"]] for partner in run.catalog["partners"] if partner.get("legal_entity") == entity]
        if ended.code == BUG:
            yield f"{entity}: {ended}"
        elif any(one.settled for one in mine) and not any(one.problems for one in mine) and ended.code != 0:
            yield f"{entity} is refused: {ended}"
        for partner in run.catalog["partners"]:
            blocked = partner.get("legal_entity") == entity and expected[partner["id"]].problems
            if blocked and not any(partner["id"] in text for text in ended.err.splitlines()):
                yield f"{partner['id']} is blocked and not named: {blocked} by the pages, {ended} by the product"


def _invoices(here: Here) -> list[Record]:
    if not (here.lake / "invoices").exists():
        return []
    return here.table(
        "invoices",
        "SELECT number, series, sequence, partner_id, period, currency, total, document FROM t WHERE number IS NOT NULL ORDER BY series, sequence",
    )


def _wanted(partner: str, label: str, one: Outcome) -> tuple[Any, ...]:
    assert one.bill
    assert one.settled
    places = PLACES[one.bill.currency]
    lines = [(line.plan, line.meter, Decimal(line.amount).scaleb(-places)) for line in one.bill.lines]
    period = from_us(one.settled.start_us), from_us(one.settled.end_us)
    return (partner, label, one.bill.currency, Decimal(one.bill.total).scaleb(-places), *period, lines)


def _got(row: Record) -> tuple[Any, ...]:
    document = json.loads(row["document"])
    lines = [(one["plan"], one["meter"], Decimal(one["amount"])) for one in document["lines"]]
    assert Decimal(document["total"]) == row["total"]
    assert document["number"] == row["number"]
    period = (datetime.fromisoformat(document["period"][bound]) for bound in ("start", "end"))
    return (row["partner_id"], row["period"], row["currency"], row["total"], *period, lines)


def _unproved(here: Here, events: list[Event], landed: set[int]) -> Iterable[str]:
    """Numbers without a gap, one invoice for a partner and month, every document to its bytes again, and books that
    balance.
    """
    rows = _invoices(here)
    for series in {row["series"] for row in rows}:
        numbers = [row["sequence"] for row in rows if row["series"] == series]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"numbers of {series}: {numbers}"
    months = [(row["partner_id"], row["period"]) for row in rows]
    if len(months) != len(set(months)):
        yield f"a month is invoiced twice: {sorted(months)}"
    ended = here.tollbook("invoice", "verify", "--lake", here.lake)
    if rows and ended.code != 0:
        yield f"invoice verify: {ended}"
    if not here.balanced(len(landed)):
        yield "the books do not balance"
