"""Itemizes drafts: the usage of each metered line by local day, by route or by an attribute, in the unit of its meter.

The rows of a line sum up to the usage of the line exactly, because both are sums of the same rollups or events. Local
days are those that the billing period holds, so that an issued invoice needs no time zone rules.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import NamedTuple

from billing.periods import BillingPeriod
from billing.rating.appendices import Appendices, LineUsage, UsageRow
from billing.rating.drafts import Draft, Line, in_unit
from billing.usage.warehouse import CatalogUsage, Span
from schemas.catalog.records import Catalog


class _Metered(NamedTuple):
    """A metered line of a draft, its position and its meter."""

    draft: Draft
    position: int
    line: Line
    meter: str

    def span(self, start: datetime, end: datetime) -> Span:
        """A part of the line."""
        return Span(self.draft.partner.id, self.meter, start, end)


def itemized(catalog: Catalog, usage: CatalogUsage, drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts with the appendices that their partners ask for. `drafts` has one of each partner."""
    days = _by_day(catalog, usage, list(_lines(catalog, drafts, "days")))
    routes = _by_route(catalog, usage, list(_lines(catalog, drafts, "routes")))

    values = _by_value(catalog, usage, drafts)

    def of(draft: Draft) -> Appendices:
        return Appendices(*(tuple(found.get(draft.partner.id, ())) for found in (days, routes, values)))

    return [draft._replace(appendices=of(draft)) for draft in drafts]


def _lines(catalog: Catalog, drafts: Iterable[Draft], kind: str) -> Iterator[_Metered]:
    """The lines that the partners want to see by `kind`, as far as their usage adds up."""
    for draft in drafts:
        if kind in draft.partner.appendices:
            for position, line in enumerate(draft.lines, 1):
                if line.rate.meter is not None and catalog.meter(line.rate.meter).is_additive:
                    yield _Metered(draft, position, line, line.rate.meter)


def _by_day(catalog: Catalog, usage: CatalogUsage, lines: Sequence[_Metered]) -> dict[str, list[LineUsage]]:
    parts = [list(_days(each.draft.period, each.line)) for each in lines]
    spans = [each.span(start, end) for each, days in zip(lines, parts, strict=True) for _, start, end in days]
    counted = iter(usage.of_spans(spans))
    found: dict[str, list[LineUsage]] = {}
    for each, days in zip(lines, parts, strict=True):
        rows = [UsageRow(day, in_unit(catalog, each.meter, next(counted))) for day, _, _ in days]
        used = tuple(row for row in rows if row.quantity)
        found.setdefault(each.draft.partner.id, []).append(LineUsage(each.position, used))
    return found


def _days(period: BillingPeriod, line: Line) -> Iterator[tuple[date, datetime, datetime]]:
    """The local days of a line, each with its part of the line."""
    ends = [(day, start, end) for (day, start), (_, end) in pairwise((*period.days, (date.max, period.end)))]
    for day, start, end in ends:
        if start < line.end and line.start < end:
            yield day, max(start, line.start), min(end, line.end)


def _by_route(catalog: Catalog, usage: CatalogUsage, lines: Sequence[_Metered]) -> dict[str, list[LineUsage]]:
    counted = usage.by_route([each.span(each.line.start, each.line.end) for each in lines])
    found: dict[str, list[LineUsage]] = {}
    for each, routes in zip(lines, counted, strict=True):
        rows = (UsageRow(route, in_unit(catalog, each.meter, quantity)) for route, quantity in routes)
        used = tuple(row for row in rows if row.quantity)
        found.setdefault(each.draft.partner.id, []).append(LineUsage(each.position, used))
    return found


def _by_value(catalog: Catalog, usage: CatalogUsage, drafts: Sequence[Draft]) -> dict[str, list[LineUsage]]:
    """The usage of lines whose meters itemize by an attribute, whoever the partner is."""
    lines = [
        _Metered(draft, position, line, line.rate.meter)
        for draft in drafts
        for position, line in enumerate(draft.lines, 1)
        if line.rate.meter is not None and catalog.meter(line.rate.meter).itemize_by is not None
    ]
    counted = usage.by_value([each.span(each.line.start, each.line.end) for each in lines])
    found: dict[str, list[LineUsage]] = {}
    for each, values in zip(lines, counted, strict=True):
        rows = (UsageRow(name, in_unit(catalog, each.meter, quantity)) for name, quantity in values.rows)
        others = values.others
        if others is not None:
            others = others._replace(quantity=in_unit(catalog, each.meter, others.quantity))
        used = tuple(row for row in rows if row.quantity)
        found.setdefault(each.draft.partner.id, []).append(LineUsage(each.position, used, others))
    return found
