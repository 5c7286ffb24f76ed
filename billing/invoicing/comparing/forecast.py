"""The running month: what partners owe so far, and what they will owe at its end if they go on as in the last week.

The usage of the rest of the month is what the partner used in the last seven days, per microsecond, rounded down. A
week holds each weekday once, so weekends count as they are. Bills are priced from whole months, so free units, tiers,
minimums and commitments are those of the month.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.invoicing import closing, history
from billing.invoicing.corrections import carried
from billing.periods import missing_month, month_of
from billing.rating.bills import running
from billing.rating.drafts import Draft
from billing.rating.extras import Extra
from billing.usage.warehouse import Span, UsageUntil, Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.money import EXACT
from schemas.windows import WINDOW_US, from_us, to_us

WEEK = timedelta(days=7)
_WEEK_US = 7 * 86_400_000_000


class Preview(NamedTuple):
    """The running month of a partner. A draft is None if there is nothing to pay."""

    partner: Partner
    label: str
    so_far: Draft | None
    forecast: Draft | None


class _Projected(NamedTuple):
    """The usage up to an instant, and after it what the last week lets expect."""

    known: UsageUntil
    at: datetime

    def of_spans(self, spans: Sequence[Span]) -> list[Decimal]:
        """The usage of each span, in the unit of its meter's field."""
        weeks = [span._replace(start=self.at - WEEK, end=self.at) for span in spans]
        counted = zip(spans, self.known.of_spans(spans), self.known.usage.of_spans(weeks), strict=True)
        return [EXACT.add(so_far, _expected(week, span, self.at)) for span, so_far, week in counted]


def _expected(week: Decimal, span: Span, at: datetime) -> Decimal:
    left_us = max(0, to_us(span.end) - to_us(max(span.start, at)))
    return Decimal(int(week) * left_us // _WEEK_US)


def preview(lake: Lake, catalog: Catalog, partners: Sequence[Partner], at: datetime) -> list[Preview]:
    """The running month of each partner at an instant, in its time zone. Writes nothing.

    Usage from the quarter of an hour that contains `at` on is not counted, as it is not complete.
    """
    at = from_us(to_us(at) // WINDOW_US * WINDOW_US)
    warehouse = Warehouse(lake, lake.consistent_cut())
    known = UsageUntil(warehouse.usage_of(catalog), {partner.id: at for partner in partners})
    settled = closing.settled_ends(lake)
    before = history.looked_back(lake, partners)
    months = [(partner, month_of(at, partner.time_zone)) for partner in partners]
    late = _late(lake, warehouse, months, running(catalog, months, known, settled, before), settled)
    so_far = running(catalog, months, known, settled, before, late)
    forecast = running(catalog, months, _Projected(known, at), settled, before, late)
    return [
        Preview(partner, label, so_far[partner.id, label], forecast[partner.id, label])
        for partner, label in months
        if (partner.id, label) in so_far
    ]


def _late(
    lake: Lake,
    warehouse: Warehouse,
    months: Sequence[tuple[Partner, str]],
    drafts: Mapping[tuple[str, str], Draft | None],
    settled: Mapping[str, datetime],
) -> dict[str, list[Extra]]:
    """Late usage of earlier months that the next invoices have as lines, by partner id.

    A partner with an earlier month that is not issued has it on the invoice of that month.
    """
    next_bills = {
        partner.id: (partner.legal_entity, draft.currency)
        for partner, label in months
        if (last := settled.get(partner.id)) is not None and not missing_month(label, partner.time_zone, last)
        if (draft := drafts.get((partner.id, label))) is not None
    }
    books = closing.carried_books(lake)
    periods = [period for period in books.periods if period.partner_id in next_bills]
    return {
        partner_id: [
            extra for found in some if carried.is_line(books, found, *next_bills[partner_id]) for extra in found.extras
        ]
        for partner_id, some in carried.due(lake, books, periods, warehouse.versions).items()
    }
