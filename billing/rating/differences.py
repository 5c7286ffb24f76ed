"""Compares two bills of one period, line by line. A line is matched by what it charges for, not by its place or name.

Lines of usage are the same if plan, meter and start are; fixed fees, if plan, description and start are; other amounts,
if kind, meter and description are.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from billing.rating.drafts import Draft, description
from schemas.catalog.records import Catalog
from schemas.money import EXACT, money, plain

ZERO = Decimal(0)


class BillLine(NamedTuple):
    """One amount of a bill. `key` says what it charges for. `quantity` is billed usage, and None for other amounts."""

    key: tuple[str | None, ...]
    description: str
    meter: str | None
    quantity: Decimal | None
    amount: Decimal


class Side(NamedTuple):
    """A line on one of the two bills."""

    quantity: Decimal | None
    amount: Decimal


class LineDifference(NamedTuple):
    """A line that is not the same on both bills. A side is None if that bill has no such line."""

    description: str
    meter: str | None
    before: Side | None
    after: Side | None

    @property
    def amount(self) -> Decimal:
        """By how much the line is dearer."""
        return EXACT.subtract(*(ZERO if side is None else side.amount for side in (self.after, self.before)))

    @property
    def why(self) -> str:
        """What differs: the line is `new` or `gone`, or it has another `quantity`, or the same at another `price`.

        What has no quantity, such as a fee or a discount, has another `amount`.
        """
        if self.before is None:
            return "new"
        if self.after is None:
            return "gone"
        if self.before.quantity is None:
            return "amount"
        return "price" if self.before.quantity == self.after.quantity else "quantity"


class BillDifference(NamedTuple):
    """The two bills of a partner in one currency. A total is None if there is no such bill.

    `lines` has the lines that differ, in the order of the first bill. Their amounts sum up to the difference of the
    totals.
    """

    partner_id: str
    currency: str
    before: Decimal | None
    after: Decimal | None
    lines: tuple[LineDifference, ...]

    @property
    def amount(self) -> Decimal:
        """By how much the bill is dearer."""
        return EXACT.subtract(*(ZERO if total is None else total for total in (self.after, self.before)))

    def as_json(self) -> dict[str, Any]:
        """The difference for programs: amounts with the decimals of the currency, quantities as decimals, as text."""

        def shown(amount: Decimal | None) -> str | None:
            return None if amount is None else money(amount, self.currency)

        return {
            "partner_id": self.partner_id,
            "currency": self.currency,
            "before": shown(self.before),
            "after": shown(self.after),
            "difference": shown(self.amount),
            "lines": [
                {
                    "description": line.description,
                    "meter": line.meter,
                    "why": line.why,
                    **_side("before", line.before, self.currency),
                    **_side("after", line.after, self.currency),
                    "difference": shown(line.amount),
                }
                for line in self.lines
            ],
        }


def _side(name: str, side: Side | None, currency: str) -> dict[str, str | None]:
    quantity = None if side is None or side.quantity is None else plain(side.quantity)
    return {name: None if side is None else money(side.amount, currency), f"quantity_{name}": quantity}


def of_draft(catalog: Catalog, draft: Draft) -> list[BillLine]:
    """The amounts of a draft."""
    lines = [
        BillLine(
            _key(x.plan.id, x.rate.meter, description(catalog, x.rate), x.start.isoformat()),
            description(catalog, x.rate),
            x.rate.meter,
            x.charge.billed_quantity if x.rate.meter else None,
            x.charge.amount,
        )
        for x in draft.lines
    ]
    return lines + [
        _other(extra.kind.value, extra.facts.get("meter"), extra.facts["description"], extra.amount)
        for extra in draft.extras
    ]


def of_document(document: Mapping[str, Any]) -> list[BillLine]:
    """The amounts of an issued invoice."""
    lines = [
        BillLine(
            _key(x["plan"], x["meter"], x["description"], x["from"]),
            x["description"],
            x["meter"],
            Decimal(x["billed_quantity"]) if x["meter"] else None,
            Decimal(x["amount"]),
        )
        for x in document["lines"]
    ]
    return lines + [
        _other(x["kind"], x.get("meter"), x["description"], Decimal(x["amount"])) for x in document.get("extras", ())
    ]


def _key(plan: str, meter: str | None, name: str, start: str) -> tuple[str | None, ...]:
    return plan, meter, None if meter else name, start


def _other(kind: str, meter: str | None, name: str, amount: Decimal) -> BillLine:
    return BillLine((kind, meter, name), name, meter, None, amount)


def line_differences(before: Iterable[BillLine], after: Iterable[BillLine]) -> list[LineDifference]:
    """The lines that differ. Lines that charge for the same are summed."""
    return [line for line in paired(before, after) if line.before != line.after]


def paired(before: Iterable[BillLine], after: Iterable[BillLine]) -> list[LineDifference]:
    """All lines with both sides, in the order of the first bill. Lines that charge for the same are summed."""
    names: dict[tuple[str | None, ...], BillLine] = {}
    old, new = _summed(before, names), _summed(after, names)
    return [
        LineDifference(names[key].description, names[key].meter, old.get(key), new.get(key))
        for key in dict.fromkeys([*old, *new])
    ]


def _summed(lines: Iterable[BillLine], names: dict[tuple[str | None, ...], BillLine]) -> dict[Any, Side]:
    found: dict[Any, Side] = {}
    for line in lines:
        names.setdefault(line.key, line)
        known = found.get(line.key, Side(None if line.quantity is None else ZERO, ZERO))
        quantity = None if line.quantity is None else EXACT.add(known.quantity or ZERO, line.quantity)
        found[line.key] = Side(quantity, EXACT.add(known.amount, line.amount))
    return found


class Book(NamedTuple):
    """The drafts of partners, and the catalog that they were made by."""

    catalog: Catalog
    drafts: Sequence[Draft]


def bill_differences(before: Book, after: Book) -> list[BillDifference]:
    """The bills that differ, ordered by partner and currency."""
    old, new = ({(d.partner.id, d.currency): d for d in book.drafts} for book in (before, after))
    found = []
    for key in sorted({*old, *new}):
        one, other = old.get(key), new.get(key)
        lines = line_differences(
            () if one is None else of_draft(before.catalog, one),
            () if other is None else of_draft(after.catalog, other),
        )
        if lines:
            was, will_be = (None if draft is None else draft.total for draft in (one, other))
            found.append(BillDifference(*key, was, will_be, tuple(lines)))
    return found
