"""Noisy neighbours of a lake: exact after every run, for requests that come shuffled, late and twice."""

import json
from collections import Counter
from random import Random
from typing import Any

import pytest

from schemas.alerts import Alert, Kind
from tests.aggregate.neighbour_oracle import MINUTE, Request, Told, told_of
from tests.aggregate.test_neighbour import drawn, told
from tests.ingest.fixtures import kong, line
from tests.long import amount
from tests.tollbook.fixtures import CARD, Here, write_catalog

PARTNERS = "partners:\n" + "".join(
    f"""
  - id: {name}
    name: {name} Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{{plan: free, valid_from: 2026-01-01}}]
    credentials: [{{kind: consumer, id: c-{name}}}]
"""
    for name in "abc"
)
PRICES = (
    CARD
    + """
plans:
  - {id: free, rate_card: card}
"""
)


def holding(here: Here) -> set[Told]:
    """The newest statements of the ledger about noisy neighbours that hold."""
    newest: dict[str, dict[str, Any]] = {}
    fired = Counter[str]()
    for row in here.table("alerts", "FROM t ORDER BY number"):
        about = row["withdraws"] or row["restates"] or row["alert_id"]
        if row["kind"] == "neighbour" or about in newest:
            newest[about] = row
            fired[about] += row["kind"] == "neighbour"
    assert set(fired.values()) <= {1}, "an alert fires once"
    return {
        told(Alert(Kind.NEIGHBOUR, row["subject"], json.loads(row["key"]), row["began_at"], json.loads(row["evidence"]), None, row["ends_at"]))
        for row in newest.values()
        if row["kind"] != "withdrawn"
    }  # fmt: skip


def ended(alerts: set[Told]) -> set[tuple[Any, ...]]:
    """Alerts in full, and of those that go on only what does not grow."""
    return {tuple(alert) if alert.end else (alert.partner, alert.start) for alert in alerts}


@pytest.mark.parametrize("seed", range(amount(4, 4, 200)))
@pytest.mark.slow
def test_alerts_are_those_of_the_oracle_after_every_run(here: Here, seed: int) -> None:
    """Some requests come in their order, the others late; a third of what was read comes again."""
    chance = Random(seed)
    write_catalog(here.catalog, prices=PRICES, partners=PARTNERS)
    shift = chance.choice([0, 9, 11, 12]) * 60 * MINUTE  # also over midnight
    requests = [
        r._replace(at=(r.at + shift) // 1000 * 1000, took=r.took and r.took // 1000 * 1000)
        for r in drawn(chance, windows=40)
    ]  # milliseconds, as the log has them
    if chance.random() < 0.5:
        chance.shuffle(requests)
    else:
        requests.sort(key=lambda r: r.at)
    numbered = list(enumerate(requests))
    late = set(chance.sample(range(len(requests)), len(requests) // 5))
    size = len(requests) // 3
    runs = [
        [(i, r) for i, r in numbered[n * size : (n + 1) * size if n < 2 else None] if i not in late] for n in range(3)
    ]
    runs.append([(i, r) for i, r in numbered if i in late])
    read: list[tuple[int, Request]] = []
    for number, new in enumerate(runs):
        again = chance.sample(read, len(read) // 3)
        here.run(here.log(f"{number}.log", *(_line(i, r) for i, r in [*new, *again])))
        read += new
        assert ended(holding(here)) == ended(told_of([r for _, r in read])), f"after run {number}"


def _line(number: int, request: Request) -> bytes:
    return line(
        kong(
            f"id-{number}", started_at=request.at // 1000, consumer={"id": f"c-{request.partner}"},
            request__size=request.size // 3, response__size=request.size - request.size // 3, response__status=request.status,
            latencies__request=None if request.took is None else request.took // 1000,
        )
    )  # fmt: skip
