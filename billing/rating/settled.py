"""What is settled: the billing periods of partners that were issued, of all legal entities, also those with nothing to pay."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from billing.rating.periods import month
from billing.usage.warehouse import Warehouse
from schemas.catalog.records import Partner


class Settled(NamedTuple):
    """One settled period, [start, end). `number` is None where nothing was to pay."""

    partner_id: str
    label: str
    start: datetime
    end: datetime
    number: str | None
    close_id: str


def settled(house: Warehouse, partners_of: Callable[[str], Iterable[Partner]]) -> list[Settled]:
    """Everything that is settled, in the order in which it was; `house` holds table `invoices`.

    Rows of before say only what was invoiced. With a close that was invoiced, the same month of its other partners was settled:
    `partners_of` gives the partners of a close.
    """
    found: list[Settled] = []
    old: dict[str, tuple[str, set[str]]] = {}
    for row in house.query("settled").to_pylist():
        start, end = row["period_start"], row["period_end"]
        if start is None:
            period = json.loads(row["document"])["period"]
            start, end = datetime.fromisoformat(period["start"]), datetime.fromisoformat(period["end"])
            old.setdefault(row["close_id"], (row["period"], set()))[1].add(row["partner_id"])
        found.append(Settled(row["partner_id"], row["period"], start, end, row["number"], row["close_id"]))
    for close_id, (label, billed) in old.items():
        found += [
            Settled(partner.id, label, *month(label, partner.time_zone), None, close_id)
            for partner in partners_of(close_id)
            if partner.id not in billed
        ]
    return found


def ends(periods: Iterable[Settled]) -> Mapping[str, datetime]:
    """Where the last settled period of each partner ended."""
    last: dict[str, datetime] = {}
    for period in periods:
        last[period.partner_id] = max(period.end, last.get(period.partner_id, period.end))
    return last
