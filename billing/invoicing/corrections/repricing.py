"""What an invoice would cost with less usage on one line, for a credit by quantity."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from billing.invoicing import closing
from billing.invoicing.closing import Close
from billing.invoicing.corrections.amounts import entry
from billing.invoicing.corrections.records import CreditedLine
from billing.periods import BillingPeriod
from billing.rating import bills
from billing.rating.drafts import Line
from billing.usage.warehouse import CatalogUsage, Span
from lake.lake import Lake
from schemas.money import EXACT


class LessUsage(NamedTuple):
    """Usage that is taken off a line, in its unit: what was credited `before`, and what is credited now."""

    position: int
    before: Decimal
    now: Decimal


class _Without(NamedTuple):
    """Usage of which a quantity on one span is taken off, in the unit of the meter's field."""

    usage: CatalogUsage
    span: Span
    less: Decimal

    def of_spans(self, spans: Sequence[Span]) -> list[Decimal]:
        """The usage of each span."""
        return [
            EXACT.subtract(found, self.less) if span == self.span else found
            for span, found in zip(spans, self.usage.of_spans(spans), strict=True)
        ]


def credited_for(lake: Lake, made: Close, document: Mapping[str, Any], less: LessUsage) -> list[CreditedLine]:
    """What an invoice costs less without a quantity: its lines by the prices of its close, each rounded as on it.

    Lines that count on from that line can change, too. Several credits of one line sum up to the credit of all of it.
    """
    line = entry(document, less.position)
    before = _amounts(lake, made, document, line, less.before)
    after = _amounts(lake, made, document, line, EXACT.add(less.before, less.now))
    found = []
    for each in document["lines"]:
        key = (each["plan"], each["meter"], each["from"])
        amount = EXACT.subtract(before.get(key, Decimal(0)), after.get(key, Decimal(0)))
        is_asked = each["position"] == less.position
        if each["meter"] and (amount or is_asked):
            found.append(
                CreditedLine(document["number"], each["position"], less.now if is_asked else None, amount),
            )
    return found


def _amounts(
    lake: Lake, made: Close, document: Mapping[str, Any], line: Mapping[str, Any], less: Decimal
) -> dict[tuple[str, str | None, str], Decimal]:
    """The amount of each line by plan, meter and start, with less usage on one of them."""
    catalog = made.catalog()
    partner_id = document["buyer"]["id"]
    period = BillingPeriod.from_json(partner_id, made.content["partners"][partner_id])
    usage = closing.pinned(lake, made).usage_of(catalog)
    drafts, _ = bills.drafts_of(catalog, [period], usage)
    priced = next(x for x in drafts[0].lines if _key(x) == (line["plan"], line["meter"], line["from"]))
    counted = EXACT.multiply(less, catalog.meter(line["meter"]).divide_by)
    span = Span(partner_id, line["meter"], priced.interval.start, priced.interval.end)
    drafts, _ = bills.drafts_of(catalog, [period], _Without(usage, span, counted))
    return {_key(x): x.charge.amount for draft in drafts for x in draft.lines}


def _key(line: Line) -> tuple[str, str | None, str]:
    return line.plan.id, line.rate.meter, line.start.isoformat()
