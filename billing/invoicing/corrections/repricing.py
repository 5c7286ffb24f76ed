"""What an invoice would cost with less usage on one line, for a credit by quantity."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from billing.invoicing import closing
from billing.invoicing.closing import Close
from billing.invoicing.corrections.amounts import entries, entry
from billing.invoicing.corrections.records import CreditedLine
from billing.periods import BillingPeriod
from billing.rating import bills
from billing.rating.drafts import Line
from billing.rating.extras import ExtraKind
from billing.usage.warehouse import CatalogUsage, Span
from lake.lake import Lake
from schemas.money import EXACT

ZERO = Decimal(0)
_Key = tuple[str, str | None, str]
# Commitments and prepaid credits rest on other documents: the next bill has what the credit note changes of them.
_OF_THE_MONTH = {ExtraKind.DISCOUNT, ExtraKind.MAXIMUM, ExtraKind.MINIMUM}


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
    """What an invoice costs less without a quantity: by the prices of its close, each amount rounded as on it.

    Lines that count on from that line can change, too, and so can discounts, the maximum and the minimum of the month.
    Several credits of one line sum up to the credit of all of it.
    """
    line = entry(document, less.position)
    before = _amounts(lake, made, document, line, less.before)
    after = _amounts(lake, made, document, line, EXACT.add(less.before, less.now))
    differences = {
        key: EXACT.subtract(before.get(key, ZERO), after.get(key, ZERO)) for key in dict.fromkeys([*before, *after])
    }
    found = []
    for each in entries(document):
        amount = differences.pop(_key_of(each), ZERO)
        is_asked = each["position"] == less.position
        if amount or is_asked:
            found.append(
                CreditedLine(document["number"], each["position"], less.now if is_asked else None, amount),
            )
    # A minimum that the invoice did not have, for example, has no position on it.
    if left := sum(differences.values(), ZERO):
        found.append(CreditedLine(document["number"], None, None, left))
    return found


def _amounts(
    lake: Lake, made: Close, document: Mapping[str, Any], line: Mapping[str, Any], less: Decimal
) -> dict[_Key, Decimal]:
    """The amount of each line, and of what the month alone adds to them, with less usage on one line."""
    catalog = made.catalog()
    partner_id = document["buyer"]["id"]
    period = BillingPeriod.from_json(partner_id, made.content["partners"][partner_id])
    usage = closing.pinned(lake, made).usage_of(catalog)
    drafts, _ = bills.drafts_of(catalog, [period], usage)
    priced = next(x for x in drafts[0].lines if _key(x) == _key_of(line))
    counted = EXACT.multiply(less, catalog.meter(line["meter"]).divide_by)
    span = Span(partner_id, line["meter"], priced.interval.start, priced.interval.end)
    drafts, _ = bills.drafts_of(catalog, [period], _Without(usage, span, counted))
    return {
        **{_key(x): x.charge.amount for draft in drafts for x in draft.lines if x.rate.meter},
        **{
            (extra.kind.value, extra.facts.get("meter"), extra.facts["description"]): extra.amount
            for draft in drafts
            for extra in draft.extras
            if extra.kind in _OF_THE_MONTH
        },
    }


def _key(line: Line) -> _Key:
    return line.plan.id, line.rate.meter, line.start.isoformat()


def _key_of(entry: Mapping[str, Any]) -> _Key:
    """The key of an amount of a document."""
    if "kind" in entry:
        return entry["kind"], entry.get("meter"), entry["description"]
    return entry["plan"], entry["meter"], entry["from"]
