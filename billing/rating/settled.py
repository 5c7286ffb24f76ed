"""Settled periods: the billing periods that were issued, of all legal entities, including those with nothing to pay."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from billing.periods import month
from billing.usage.warehouse import Warehouse
from schemas.catalog.records import Partner


class SettledPeriod(NamedTuple):
    """A settled period, [start, end). `number` is the invoice number, or None if there was nothing to pay."""

    partner_id: str
    label: str
    start: datetime
    end: datetime
    number: str | None
    close_id: str


def settled(warehouse: Warehouse, partners_of: Callable[[str], Iterable[Partner]]) -> list[SettledPeriod]:
    """All settled periods, in the order in which they were settled. `warehouse` holds the table `invoices`.

    Rows of earlier versions exist only for partners with an invoice and hold no period. An invoiced close also settled
    the same month of its other partners. `partners_of` gives the partners of such a close by its id.
    """
    periods: list[SettledPeriod] = []
    old: dict[str, tuple[str, set[str]]] = {}  # close id → its label, and the partners with an invoice
    for row in warehouse.query("settled").to_pylist():
        start, end = row["period_start"], row["period_end"]
        if start is None:
            period = json.loads(row["document"])["period"]
            start, end = datetime.fromisoformat(period["start"]), datetime.fromisoformat(period["end"])
            old.setdefault(row["close_id"], (row["period"], set()))[1].add(row["partner_id"])
        periods.append(SettledPeriod(row["partner_id"], row["period"], start, end, row["number"], row["close_id"]))
    for close_id, (label, billed) in old.items():
        periods += [
            SettledPeriod(partner.id, label, *month(label, partner.time_zone), None, close_id)
            for partner in partners_of(close_id)
            if partner.id not in billed
        ]
    return periods


def reopened(warehouse: Warehouse, periods: Iterable[SettledPeriod]) -> list[SettledPeriod]:
    """The periods of voided invoices that nothing has settled since, each with the number of its last voided invoice.

    `periods` are the settled periods, and `warehouse` holds the table `invoices`.
    """
    taken: dict[str, list[SettledPeriod]] = {}
    for period in periods:
        taken.setdefault(period.partner_id, []).append(period)
    found: dict[tuple[str, datetime], SettledPeriod] = {}
    for row in warehouse.query("voided").to_pylist():
        bounds = row["period_start"], row["period_end"]
        if row["document"] is not None:
            stored = json.loads(row["document"])["period"]
            bounds = datetime.fromisoformat(stored["start"]), datetime.fromisoformat(stored["end"])
        voided = SettledPeriod(row["partner_id"], row["period"], *bounds, row["number"], row["close_id"])
        if not any(s.start < voided.end and voided.start < s.end for s in taken.get(voided.partner_id, ())):
            found[voided.partner_id, voided.start] = voided
    return list(found.values())


def last_ends(periods: Iterable[SettledPeriod]) -> Mapping[str, datetime]:
    """The end of each partner's last settled period, by partner id."""
    last: dict[str, datetime] = {}
    for period in periods:
        last[period.partner_id] = max(period.end, last.get(period.partner_id, period.end))
    return last
