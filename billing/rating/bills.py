"""The bills of a month: drafts of partners, partners with nothing to pay, and blocked partners with the reasons.

Bills are a pure function of the catalog, the usage and the settled periods. Closing a month, previewing it and proving
issued invoices all use this function. A problem of one partner blocks only the invoice of that partner.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple, Protocol

from billing.periods import (
    BillingPeriod,
    Period,
    billing_period,
    missing_month,
    month,
    month_before,
    month_of,
    period_between,
)
from billing.rating import drafts as rating
from billing.rating.drafts import Draft
from billing.rating.extras import Extra
from billing.rating.issued import NOTHING, Before
from billing.rating.outlines import DraftOutline, MonthPeriods, outlines
from billing.rating.terms.applied import with_terms
from billing.usage import quota_statement
from billing.usage.quota_statement import NO_GRANTS
from billing.usage.warehouse import Span
from schemas.catalog.records import Catalog, Partner
from schemas.grants import Grants

NO_ADJUSTMENTS: Mapping[str, Sequence[Extra]] = {}
_NONE: Mapping[str, Period] = {}
_FIRST = "2000-01"  # no event is earlier (schemas.reasons: TIME_RANGE)


class Usage(Protocol):
    """A source of metered usage."""

    def of_spans(self, spans: Sequence[Span]) -> list[Decimal]:
        """The usage of each span in the unit of its meter's field: requests, bytes or microseconds."""


class Bills(NamedTuple):
    """The bills of a month. `drafts` is ordered by partner id.

    `periods` has all partners that can be issued, even with nothing to pay.

    `blocked` maps the id of each other partner to its problems, each with a remedy. A partner whose month is already
    settled is in none of the three.
    """

    drafts: tuple[Draft, ...]
    periods: Mapping[str, BillingPeriod]
    blocked: Mapping[str, list[str]]

    @property
    def settled(self) -> dict[str, tuple[datetime, datetime]]:
        """The periods that issuing settles: partner id → [start, end)."""
        return {partner_id: (period.start, period.end) for partner_id, period in self.periods.items()}


def bills(
    catalog: Catalog,
    label: str,
    usage: Usage,
    settled: Mapping[str, datetime],
    partners: Iterable[Partner] | None = None,
    *,
    grants: Grants = NO_GRANTS,
    reopened: Mapping[str, Period] = _NONE,
    before: Before = NOTHING,
) -> Bills:
    """The bills of the month `label` for `partners` (default: all partners that are invoiced). Raises BadPeriod.

    `settled` maps a partner id to the end of its last settled period. A partner without an entry has no settled period.
    `reopened` maps a partner id to its period of this month that was settled by an invoice that was voided since.
    `before` has the documents that were issued to partners whose contracts look back.
    """
    periods: dict[str, BillingPeriod] = {}
    blocked: dict[str, list[str]] = {}
    first: list[Partner] = []
    chosen = catalog.payers() if partners is None else tuple(partners)
    months = MonthPeriods(catalog, label, grants)
    for partner in chosen:
        last = settled.get(partner.id)
        if partner.id in reopened:
            again = period_between(catalog, partner, *reopened[partner.id])
            periods[partner.id] = again._replace(quotas=quota_statement.held_quotas(catalog, partner, again, grants))
            continue
        period = months.of(partner, last)
        if period is None:
            continue
        if last is not None and (missing := missing_month(label, partner.time_zone, last)):
            blocked[partner.id] = [_out_of_order(partner, label, missing)]
            continue
        periods[partner.id] = period
        if last is None:
            first.append(partner)
    earlier = _earlier_spans(catalog, label, first)
    planned = outlines(catalog, [periods[p.id] for p in chosen if p.id in periods])
    counted = _counted(usage, [earlier, *(outline.spans() for outline in planned)])
    used = {span.partner_id for span, quantity in zip(earlier, counted[0], strict=True) if quantity}
    for partner in (p for p in first if p.id in used):
        missing = _first_month(catalog, label, usage, partner)
        blocked[partner.id] = [_out_of_order(partner, label, missing)]
    drafts, unpriced = _priced(catalog, planned, counted[1:], before)
    for partner_id, problems in unpriced.items():
        blocked.setdefault(partner_id, []).extend(problems)
    ready = {partner_id: period for partner_id, period in periods.items() if partner_id not in blocked}
    return Bills(tuple(d for d in drafts if d.partner.id in ready), ready, blocked)


def running(
    catalog: Catalog,
    months: Iterable[tuple[Partner, str]],
    usage: Usage,
    settled: Mapping[str, datetime],
    before: Before = NOTHING,
    adjustments: Mapping[str, Sequence[Extra]] = NO_ADJUSTMENTS,
) -> dict[tuple[str, str], Draft | None]:
    """The drafts of months by partner id and label, as `bills` makes them. None: there is nothing to pay so far.

    A month that waits for earlier months to be issued has a draft as well: that of the calendar month. Months that are
    settled are left out, and so are months with plans in several currencies. `before` has the documents that were
    issued to partners whose contracts look back, and `adjustments` the lines of earlier periods.
    """
    periods: list[BillingPeriod] = []
    labels: dict[tuple[str, datetime], str] = {}
    for partner, label in months:
        last = settled.get(partner.id)
        if last is not None and missing_month(label, partner.time_zone, last):
            last = None
        period = billing_period(catalog, partner, label, last)
        if period is not None and len(_currencies(catalog, period)) <= 1:
            labels[partner.id, period.end] = label
            periods.append(period)
    drafts, _ = drafts_of(catalog, periods, usage, before, adjustments)
    found: dict[tuple[str, str], Draft | None] = {
        (partner_id, label): None for (partner_id, _), label in labels.items()
    }
    return found | {(d.partner.id, labels[d.partner.id, d.period.end]): d for d in drafts}


def _currencies(catalog: Catalog, period: BillingPeriod) -> set[str]:
    return {catalog.rate_card(catalog.plan(stay.plan).rate_card).currency for stay in period.stays}


def drafts_of(
    catalog: Catalog,
    periods: Sequence[BillingPeriod],
    usage: Usage,
    before: Before = NOTHING,
    adjustments: Mapping[str, Sequence[Extra]] = NO_ADJUSTMENTS,
) -> tuple[list[Draft], dict[str, list[str]]]:
    """The drafts of all periods with something to pay, ordered by partner id, and the problems of each blocked partner.

    `before` has the issued documents on which the bills rest, and `adjustments` the lines of earlier periods.
    """
    planned = outlines(catalog, periods)
    return _priced(catalog, planned, _counted(usage, [outline.spans() for outline in planned]), before, adjustments)


def _counted(usage: Usage, spans: Sequence[Sequence[Span]]) -> list[list[Decimal]]:
    """The usage of each span of each list. They are read together, because every reading passes over the rollups."""
    found = iter(usage.of_spans([span for some in spans for span in some]))
    return [list(islice(found, len(some))) for some in spans]


def _priced(
    catalog: Catalog,
    planned: Sequence[DraftOutline],
    counted: Sequence[Sequence[Decimal]],
    before: Before,
    adjustments: Mapping[str, Sequence[Extra]] = NO_ADJUSTMENTS,
) -> tuple[list[Draft], dict[str, list[str]]]:
    """What `drafts_of` gives, of outlines and the usage of their spans."""
    drafts: list[Draft] = []
    blocked: dict[str, list[str]] = {}
    for outline, amounts in zip(planned, counted, strict=True):
        draft, problems = rating.draft(catalog, outline, amounts)
        if draft is not None:
            draft, refused = with_terms(
                draft, before.get(outline.partner.id, ()), adjustments.get(outline.partner.id, ())
            )
            problems += refused
            if draft.lines or draft.extras:
                drafts.append(draft)
        if problems:
            blocked[outline.partner.id] = problems
    return sorted(drafts, key=lambda d: d.partner.id), blocked


def _earlier_spans(catalog: Catalog, label: str, partners: Sequence[Partner]) -> list[Span]:
    """The time before `label` in which the partners had a plan, by billable meter."""
    billable = _billable(catalog)
    return [
        Span(partner.id, meter, *planned)
        for partner in partners
        for planned in _planned_before(partner, month(label, partner.time_zone).start)
        for meter in billable
    ]


def _billable(catalog: Catalog) -> list[str]:
    return [meter.id for meter in catalog.meters if meter.billable]


def _planned_before(partner: Partner, end: datetime) -> list[tuple[datetime, datetime]]:
    """The intervals before `end` in which a partner had a plan."""
    bounds = [
        (partner.instant(a.valid_from), end if a.valid_to is None else min(end, partner.instant(a.valid_to)))
        for a in partner.plans
    ]
    return [(start, stop) for start, stop in bounds if start < stop]


def _first_month(catalog: Catalog, label: str, usage: Usage, partner: Partner) -> str:
    """The first month before `label` with billable usage of a partner that was never billed; it has some."""
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
        for meter in _billable(catalog)
    ]
    counted = usage.of_spans([span for _, span in spans])
    return min(earlier for (earlier, _), quantity in zip(spans, counted, strict=True) if quantity)


def _out_of_order(partner: Partner, label: str, missing: str) -> str:
    return (
        f"partner {partner.id}: {missing} is not issued yet, and months are issued in order; close and issue {missing} before {label}. "
        f"If {missing} was billed elsewhere, change the catalog so that the partner's plan starts after it"
    )
