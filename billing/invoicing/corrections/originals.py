"""Settled periods as their original closes had them: their content, their bounds, and what had no price."""

from collections.abc import Collection, Mapping
from typing import Any

from billing.invoicing.closes import Close
from billing.periods import BillingPeriod, billing_period
from billing.rating import outlines
from billing.rating.settled import SettledPeriod
from billing.usage.warehouse import Span, Warehouse
from schemas.catalog.records import Catalog


def without_price(warehouse: Warehouse, catalog: Catalog, period: BillingPeriod | None) -> set[str]:
    """The meters with usage in a period at times without a plan, or without a rate on the rate card."""
    if period is None:
        return set()
    outline = outlines.outline(catalog, catalog.known_partner(period.partner_id), period)
    spans = [
        *(Span(period.partner_id, meter, part.start, part.end) for _, part, meter in outline.unrated),
        *(Span(period.partner_id, meter, part.start, part.end) for part, meter in outline.unplanned),
    ]
    return {span.meter for span, counted in zip(spans, warehouse.usage(catalog, spans), strict=True) if counted}


def stored_period(made: Close, catalog: Catalog, settled: SettledPeriod) -> BillingPeriod | None:
    """The period that the close stored, or the computed period for a close of rules 1, which stored none."""
    if stored := made.content.get("partners", {}).get(settled.partner_id):
        return BillingPeriod.from_json(settled.partner_id, stored)
    return billing_period(catalog, catalog.known_partner(settled.partner_id), settled.label, settled.start)


def only(content: Mapping[str, Any], partners: Collection[str]) -> Mapping[str, Any]:
    """The content of a close, reduced to these partners. The content of a close of rules 1 stays whole."""
    if "partners" not in content:
        return content
    return {**content, "partners": {p: stored for p, stored in content["partners"].items() if p in partners}}
