"""The bills of a month: which partner is billed what, who has nothing to pay, and whose invoice is blocked and why.

A pure function of the catalog, the usage and what is settled. Closing a month, showing it before it is over and proving
what was issued all rate by it. A problem of one partner blocks the invoice of that partner alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from billing.rating import drafts as rating
from billing.rating.drafts import Ask, Draft
from billing.rating.periods import BillingPeriod, billing_period, missing_month, month, month_before, month_of
from billing.usage import quota_statement
from billing.usage.warehouse import Span
from schemas.catalog.records import Catalog, Partner

_FIRST = "2000-01"  # no event lies before it (schemas.reasons: TIME_RANGE)


class Usage(Protocol):
    """What meters counted, wherever it is kept."""

    def counted(self, spans: Sequence[Span]) -> list[Decimal]:
        """What each span's meter counted, in its field's own unit (requests, bytes, microseconds); 0 where nothing."""


class Bills(NamedTuple):
    """The outcome of a month: `drafts` by partner id; `periods` of all partners that can be issued, also where nothing is to pay.

    `blocked` names for each partner that cannot be issued everything in its way, each with its remedy. A partner whose month
    is settled already is in none of them.
    """

    drafts: tuple[Draft, ...]
    periods: Mapping[str, BillingPeriod]
    blocked: Mapping[str, list[str]]

    @property
    def settled(self) -> dict[str, tuple[datetime, datetime]]:
        """What issuing settles: partner id → [start, end)."""
        return {partner_id: (period.start, period.end) for partner_id, period in self.periods.items()}


def bills(
    catalog: Catalog,
    label: str,
    usage: Usage,
    settled: Mapping[str, datetime],
    partners: Iterable[Partner] | None = None,
) -> Bills:
    """The bills of the month `label` for `partners` (default: all that are invoiced).

    `settled`: partner id → where its last settled period ended; a partner that is not named had none. Raises BadPeriod.
    """
    periods: dict[str, BillingPeriod] = {}
    blocked: dict[str, list[str]] = {}
    first: list[Partner] = []
    chosen = catalog.payers() if partners is None else tuple(partners)
    for partner in chosen:
        last = settled.get(partner.id)
        period = billing_period(catalog, partner, label, last)
        if period is None:
            continue
        if last is not None and (missing := missing_month(label, partner.time_zone, last)):
            blocked[partner.id] = [_out_of_order(partner, label, missing)]
            continue
        periods[partner.id] = period._replace(quotas=quota_statement.held_quotas(catalog, partner, period))
        if last is None:
            first.append(partner)
    for partner_id, missing in _earlier_usage(catalog, label, usage, first).items():
        blocked[partner_id] = [_out_of_order(catalog.known_partner(partner_id), label, missing)]
    drafts, found = drafts_of(catalog, [periods[p.id] for p in chosen if p.id in periods], usage)
    for partner_id, problems in found.items():
        blocked.setdefault(partner_id, []).extend(problems)
    ready = {partner_id: period for partner_id, period in periods.items() if partner_id not in blocked}
    return Bills(tuple(d for d in drafts if d.partner.id in ready), ready, blocked)


def drafts_of(
    catalog: Catalog, periods: Sequence[BillingPeriod], usage: Usage
) -> tuple[list[Draft], dict[str, list[str]]]:
    """The drafts of periods, those with lines, in the order of partner ids; and what blocks which partner."""
    asks: list[Ask] = [rating.ask(catalog, catalog.known_partner(p.partner_id), p) for p in periods]
    spans = [asked.spans() for asked in asks]
    counted = iter(usage.counted([span for some in spans for span in some]))
    drafts: list[Draft] = []
    blocked: dict[str, list[str]] = {}
    for asked, some in zip(asks, spans, strict=True):
        made, problems = rating.draft(catalog, asked, [next(counted) for _ in some])
        if problems:
            blocked[asked.partner.id] = problems
        if made is not None:
            drafts.append(made)
    return sorted(drafts, key=lambda d: d.partner.id), blocked


def _earlier_usage(catalog: Catalog, label: str, usage: Usage, partners: Sequence[Partner]) -> dict[str, str]:
    """The first month before `label` in which a partner that was never billed has billable usage under a plan."""
    billable = [meter.id for meter in catalog.meters if meter.billable]
    spans = [
        Span(partner.id, meter, *planned)
        for partner in partners
        for planned in _planned_before(partner, month(label, partner.time_zone).start)
        for meter in billable
    ]
    used = {span.partner_id for span, counted in zip(spans, usage.counted(spans), strict=True) if counted}
    return {p.id: _first_month(label, usage, p, billable) for p in partners if p.id in used}


def _planned_before(partner: Partner, end: datetime) -> list[tuple[datetime, datetime]]:
    """The times before `end` at which a partner had a plan."""
    bounds = [
        (partner.instant(a.valid_from), end if a.valid_to is None else min(end, partner.instant(a.valid_to)))
        for a in partner.plans
    ]
    return [(start, stop) for start, stop in bounds if start < stop]


def _first_month(label: str, usage: Usage, partner: Partner, billable: Sequence[str]) -> str:
    planned = _planned_before(partner, month(label, partner.time_zone).start)
    labels = [month_before(label)]
    earliest = max(_FIRST, month_of(min(start for start, _ in planned), partner.time_zone))
    while labels[-1] > earliest:
        labels.append(month_before(labels[-1]))
    spans = [
        (earlier, Span(partner.id, meter, max(start, begin), min(stop, end)))
        for earlier in labels
        for begin, end in [month(earlier, partner.time_zone)]
        for start, stop in planned
        if max(start, begin) < min(stop, end)
        for meter in billable
    ]
    counted = usage.counted([span for _, span in spans])
    return min(earlier for (earlier, _), quantity in zip(spans, counted, strict=True) if quantity)


def _out_of_order(partner: Partner, label: str, missing: str) -> str:
    return (
        f"partner {partner.id}: {missing} is not issued yet, and months are issued in order; close and issue {missing} before {label}. "
        f"If {missing} was billed elsewhere, let the partner's plan begin after it"
    )
