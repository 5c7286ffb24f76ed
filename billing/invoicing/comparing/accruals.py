"""Accruals: what partners used up to a day, priced, that stands on no issued document. Writes nothing.

An accrual is what would be billed if the contract ended with that day, by the functions that make invoices. So flat
fees count by their share, and a fee in advance counts for the part of its month that is over, less what was billed of
it. After the months are issued, nothing is left.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from billing.invoicing import closing, document, history, rules
from billing.invoicing.corrections import carried
from billing.invoicing.corrections.adjusting import PricedAdjustment
from billing.periods import BillingPeriod, billing_period, is_settled, month_after, month_of, period_between
from billing.rating.bills import drafts_of
from billing.rating.drafts import Draft
from billing.rating.issued import IssuedDocument
from billing.rating.settled import SettledPeriod
from billing.usage.warehouse import UsageUntil, Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.money import EXACT

ZERO = Decimal(0)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


class Accrual(NamedTuple):
    """Unbilled amounts of one kind: `usage`, `fee` or a kind of extra. `quantity` is in `unit`, and None for a fee.

    `period` is the month for which the amount is due. It is negative if the partner gets something back.
    """

    partner_id: str
    legal_entity: str
    period: str
    kind: str
    plan: str
    meter: str
    unit: str
    quantity: Decimal | None
    amount: Decimal
    currency: str


class Accruals(NamedTuple):
    """The accruals, ordered by their fields, and the problems of usage that has no price, by partner id."""

    rows: Sequence[Accrual]
    problems: Mapping[str, Sequence[str]]


def accruals(lake: Lake, catalog: Catalog, day: date, legal_entity: str | None = None) -> Accruals:
    """What is used and not billed at the end of `day`, in the time zone of each partner, by the documents of today.

    `legal_entity`: only of its partners. Usage of partners that are not in the catalog is not priced.
    """
    warehouse = Warehouse(lake, lake.consistent_cut())
    ended = _ended_after(catalog, day)
    partners = ended.payers(legal_entity)
    rounds = _rounds(lake, warehouse, ended, partners, day)
    ends = {partner.id: _end(partner, day) for partner in partners}
    usage = UsageUntil(warehouse.usage_of(ended), ends)
    rows: list[Accrual] = []
    problems: dict[str, list[str]] = {}
    before = {partner_id: list(some) for partner_id, some in history.looked_back(lake, partners).items()}
    for periods in rounds:
        drafts, blocked = drafts_of(ended, periods, usage, before)
        for partner_id, some in blocked.items():
            problems.setdefault(partner_id, []).extend(some)
        for draft in drafts:
            rows += _of_draft(ended, draft)
            if draft.partner.looks_back:  # the next open month rests on this one
                before.setdefault(draft.partner.id, []).append(_as_issued(ended, draft))
    rows += _late(lake, catalog, warehouse, ends)
    return Accruals(sorted(_summed(rows), key=lambda row: row[:7]), problems)


def _end(partner: Partner, day: date) -> datetime:
    return partner.instant(day + _DAY)


def _ended_after(catalog: Catalog, day: date) -> Catalog:
    """The catalog as if every plan and every fee ended with a day."""
    end = day + _DAY

    def cut(terms: Iterable[Any]) -> tuple[Any, ...]:
        kept = (each for each in terms if each.valid_from < end)
        return tuple(
            each if each.valid_to is not None and each.valid_to < end else each.model_copy(update={"valid_to": end})
            for each in kept
        )

    partners = tuple(p.model_copy(update={"plans": cut(p.plans), "fees": cut(p.fees)}) for p in catalog.partners)
    return catalog.model_copy(update={"partners": partners})


def _rounds(
    lake: Lake, warehouse: Warehouse, catalog: Catalog, partners: Sequence[Partner], day: date
) -> list[list[BillingPeriod]]:
    """The open periods: in the first round the first of each partner, in the second round the next, and so on."""
    settled = closing.settled_ends(lake)
    reopened: dict[str, list[SettledPeriod]] = {}
    for voided in closing.reopened_periods(lake):
        reopened.setdefault(voided.partner_id, []).append(voided)
    used = {row["partner_id"]: row["window_start"] for row in warehouse.query("first_used").to_pylist()}
    rounds: list[list[BillingPeriod]] = []
    for partner in partners:
        end = _end(partner, day)
        again = [
            period_between(catalog, partner, p.start, p.end)
            for p in sorted(reopened.get(partner.id, ()), key=lambda p: p.start)
            if p.start < end
        ]
        new = _open_periods(catalog, partner, settled.get(partner.id), used.get(partner.id), end)
        labels = {period.label for period in again}
        for number, period in enumerate([*again, *(period for period in new if period.label not in labels)]):
            if number == len(rounds):
                rounds.append([])
            rounds[number].append(period)
    return rounds


def _open_periods(
    catalog: Catalog, partner: Partner, settled: datetime | None, used: datetime | None, end: datetime
) -> Iterator[BillingPeriod]:
    """The months that were not issued and began before `end`: from the last settled one, or from the first usage."""
    last = month_of(end - _TICK, partner.time_zone)
    first = settled if settled is not None else used
    label = last if first is None else min(last, month_of(first, partner.time_zone))
    while label <= last:
        if settled is None or not is_settled(label, partner.time_zone, settled):
            period = billing_period(catalog, partner, label, settled)
            assert period is not None, "the month is not settled"
            yield period
            settled = None  # later months begin where they begin
        label = month_after(label)


def _of_draft(catalog: Catalog, draft: Draft) -> Iterator[Accrual]:
    partner, label = draft.partner, draft.period.label
    entity = partner.legal_entity or ""
    for line in draft.lines:
        meter = catalog.meter(line.rate.meter) if line.rate.meter else None
        yield Accrual(
            partner.id, entity, label, "fee" if meter is None else "usage", line.plan.id,
            "" if meter is None else meter.id, "" if meter is None else meter.unit,
            None if meter is None else line.quantity, line.charge.amount, draft.currency,
        )  # fmt: skip
    for extra in draft.extras:
        named = extra.facts.get("meter", "")
        yield Accrual(partner.id, entity, label, extra.kind.value, "", named, "", None, extra.amount, draft.currency)


def _as_issued(catalog: Catalog, draft: Draft) -> IssuedDocument:
    """A draft as the next month sees it once it is issued."""
    partner, label = draft.partner, draft.period.label
    content = {
        "rules": rules.NEWEST, "period": label, "legal_entity": partner.legal_entity, "usage": {partner.id: ""},
        "catalog_sha256": "", "code_version": "", "versions": {"events": 0, "rollups": 0},
    }  # fmt: skip
    number = f"draft/{label}"
    shown = document.invoice("", content, catalog, draft, number=number, issued_on=draft.period.interval.last_day)
    return IssuedDocument(number, "invoice", partner.id, label, draft.currency, draft.total, "", json.dumps(shown))


def _late(lake: Lake, catalog: Catalog, warehouse: Warehouse, ends: Mapping[str, datetime]) -> Iterator[Accrual]:
    """Late usage of settled months, as the next invoices bill it: by the catalogs of the original closes."""
    books = closing.carried_books(lake)
    periods = [s for s in books.periods if s.partner_id in ends and s.start < ends[s.partner_id]]
    for partner_id, some in carried.due(lake, books, periods, warehouse.versions).items():
        for each in some:
            yield from _of_adjustment(catalog, books.closes[each.adjusted.close_id].legal_entity, partner_id, each)


def _of_adjustment(catalog: Catalog, entity: str, partner_id: str, found: PricedAdjustment) -> Iterator[Accrual]:
    units = {meter.id: meter.unit for meter in catalog.meters}
    for extra in found.extras:
        facts = extra.facts
        meter = facts.get("meter", "")
        quantity = EXACT.subtract(Decimal(facts["quantity_now"]), Decimal(facts["quantity_before"])) if meter else None
        yield Accrual(
            partner_id, entity, found.adjusted.period, extra.kind.value, facts.get("plan", ""), meter,
            units.get(meter, ""), quantity, extra.amount, found.currency,
        )  # fmt: skip


def _summed(rows: Iterable[Accrual]) -> Iterator[Accrual]:
    """One row per combination of fields that are no numbers, without those of nothing."""
    sums: dict[tuple[str, ...], Accrual] = {}
    for row in rows:
        key = (*row[:7], row.currency)
        known = sums.get(key)
        if known is not None:
            quantity = None if row.quantity is None else EXACT.add(row.quantity, known.quantity or ZERO)
            row = row._replace(quantity=quantity, amount=EXACT.add(row.amount, known.amount))  # noqa: PLW2901
        sums[key] = row
    return (row for row in sums.values() if row.amount or row.quantity)
