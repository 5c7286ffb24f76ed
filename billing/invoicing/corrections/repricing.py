"""What an invoice would cost with less usage on one line, for a credit by quantity."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from billing.invoicing import closing, history
from billing.invoicing.closing import Close
from billing.invoicing.corrections.amounts import entries, entry
from billing.invoicing.corrections.records import CreditedLine
from billing.periods import BillingPeriod
from billing.rating import bills
from billing.rating.drafts import Line, description
from billing.rating.extras import ExtraKind
from billing.usage.warehouse import CatalogUsage, Span
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import EXACT
from schemas.texts.wording import ENGLISH, Wording, wording

ZERO = Decimal(0)
_Name = tuple[str | None, ...]  # what an amount charges for
_T = TypeVar("_T")
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

    Lines that count on from that line can change, too, and so can other rates of its meter, discounts, the maximum and
    the minimum of the month. Several credits of one line sum up to the credit of all of it.
    """
    line = entry(document, less.position)
    before = _amounts(lake, made, document, line, less.before)
    after = _amounts(lake, made, document, line, EXACT.add(less.before, less.now))
    differences = {key: EXACT.subtract(before.get(key, ZERO), after.get(key, ZERO)) for key in {**before, **after}}
    found = []
    for key, each in _numbered((_name_of(each), each) for each in entries(document)).items():
        amount = differences.pop(key, ZERO)
        is_asked = each["position"] == less.position
        if amount or is_asked:
            found.append(
                CreditedLine(document["number"], each["position"], less.now if is_asked else None, amount),
            )
    # A minimum that the invoice did not have, for example, has no position on it.
    if left := sum(differences.values(), ZERO):
        found.append(CreditedLine(document["number"], None, None, left))
    return found


def _numbered(named: Iterable[tuple[_Name, _T]]) -> dict[tuple[_Name, int], _T]:
    """Amounts by what they charge for and their number among those that charge for the same.

    If one of several has no usage left, the ones after it move up. All together still come to the same.
    """
    seen: Counter[_Name] = Counter()
    found = {}
    for name, value in named:
        seen[name] += 1
        found[name, seen[name]] = value
    return found


def _amounts(
    lake: Lake, made: Close, document: Mapping[str, Any], line: Mapping[str, Any], less: Decimal
) -> dict[tuple[_Name, int], Decimal]:
    """The amount of each line, and of what the month alone adds to them, with less usage on one line."""
    catalog = made.catalog()
    partner_id = document["buyer"]["id"]
    period = BillingPeriod.from_json(partner_id, made.content["partners"][partner_id])
    usage = closing.pinned(lake, made).usage_of(catalog)
    before = history.pinned(lake, made.content)  # fees in advance, of which the bill has what earlier ones had not
    counted = EXACT.multiply(less, catalog.meter(line["meter"]).divide_by)
    span = Span(partner_id, line["meter"], *(datetime.fromisoformat(line[bound]) for bound in ("from", "to")))
    drafts, _ = bills.drafts_of(catalog, [period], _Without(usage, span, counted), before)
    say = wording(drafts[0].partner.language) if drafts else ENGLISH
    metered = [(_name(catalog, x, say), x.charge.amount) for d in drafts for x in d.lines if x.rate.meter]
    terms = [
        ((extra.kind.value, extra.facts.get("meter"), extra.facts["description"]), extra.amount)
        for draft in drafts
        for extra in draft.extras
        if extra.kind in _OF_THE_MONTH
    ]
    return _numbered([*metered, *terms])


def _name(catalog: Catalog, line: Line, say: Wording) -> _Name:
    return line.plan.id, line.rate.meter, line.start.isoformat(), description(catalog, line.rate, say)


def _name_of(entry: Mapping[str, Any]) -> _Name:
    """What an amount of a document charges for. Several amounts may charge for the same."""
    if "kind" in entry:
        return entry["kind"], entry.get("meter"), entry["description"]
    return entry["plan"], entry["meter"], entry["from"], entry["description"]
