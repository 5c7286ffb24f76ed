"""What a contract adds to the lines of a bill, computed a second time: written from docs/contracts.md, in fractions,
without the product.

Amounts are integers of minor units. Where the page leaves a question open, the answer here is one of these choices:

1.  A fee in advance: a bill has, of its own month and of the next one, what is due less what earlier bills charged.
2.  A discount takes nothing off an amount that is not positive, and so does a credit.
3.  A bill lies in the term of a commitment that holds its month, whatever documents came before it. A term that ended
    before the month of a bill is corrected by it if a document of that term exists.
4.  A discount of a meter comes before the maximum and the minimum of the meter's rates. It takes what such a rate costs
    without it, less what it costs with it after its own discounts. The rates of the meter without limits are discounted
    as one, first; an amount that they leave goes to the others, by where they begin.
5.  Of two credits of one priority, end and begin, the first in the catalog pays first.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from tests.reckoning.terms import Portion, cost, to_units

Record = dict[str, Any]
Limited = Sequence[tuple[str, list[Portion]]]
Midnight = Callable[[date], int]


class Amount(NamedTuple):
    """One amount of a bill that is not usage at a rate. `subject` is the fee, commitment or credit that it is for."""

    kind: str
    units: int
    subject: tuple[str, ...] = ()


class Document(NamedTuple):
    """A bill that was issued: its month, the sum of its lines, and its other amounts."""

    partner: str
    label: str
    lines: int
    amounts: tuple[Amount, ...]

    @property
    def counted(self) -> int:
        """What counts towards a commitment."""
        return self.lines + sum(amount.units for amount in self.amounts if amount.kind not in {"commitment", "credit"})


class Month(NamedTuple):
    """The month of a bill. `planned` is the share of the period in which the partner has a plan."""

    label: str
    places: int
    planned: Fraction
    midnight: Midnight  # of a local day, in the partner's time zone


def amounts(
    partner: Record,
    month: Month,
    by_meter: dict[str, int],
    lines: int,
    before: Sequence[Document],
    limited: Limited = (),
) -> tuple[Amount, ...]:
    """All amounts in the order of the bill. `before` are the partner's earlier bills.

    `limited` are the metered rates with a maximum or a minimum; `by_meter` has their amounts as well.
    """
    found = list(_fees(partner.get("fees", []), month, before))
    whole = lines + sum(amount.units for amount in found)
    found += _discounts(partner.get("discounts", []), month, by_meter, whole, limited)
    found += _bounds(partner, month, lines + sum(amount.units for amount in found))
    bill = Document(partner["id"], month.label, lines, tuple(found))
    found += _commitments(partner.get("commitments", []), month, [*before, bill])
    found += _credits(partner.get("credits", []), month, lines + sum(amount.units for amount in found), before)
    return tuple(found)


def _fees(fees: Sequence[Record], month: Month, before: Sequence[Document]) -> Iterator[Amount]:
    for fee in fees:
        labels = [month.label, following(month.label)] if fee.get("due") == "advance" else [month.label]
        for label in labels:
            charged = _sum(before, "fee", (fee["id"], label))
            units = _half_up(_fee_of(fee, label, month) * 10**month.places) - charged
            if units:
                yield Amount("fee", units, (fee["id"], label))


def _fee_of(fee: Record, label: str, month: Month) -> Fraction:
    first, last = first_day(label), first_day(following(label))
    begins = max(first, date.fromisoformat(fee["valid_from"]))
    ends = min(last, date.fromisoformat(fee["valid_to"])) if "valid_to" in fee else last
    if begins >= ends:
        return Fraction(0)
    if fee.get("proration") == "day":
        share = Fraction((ends - begins).days, (last - first).days)
    else:
        share = Fraction(month.midnight(ends) - month.midnight(begins), month.midnight(last) - month.midnight(first))
    return Fraction(fee["amount"]) * share


def _discounts(
    discounts: Sequence[Record], month: Month, by_meter: dict[str, int], whole: int, limited: Limited
) -> Iterator[Amount]:
    left = dict(by_meter)
    for meter, portions in limited:
        left[meter] = left.get(meter, 0) - cost(portions, month.places, [])[0]
    given: list[list[Record]] = [[] for _ in limited]
    held = [discount for discount in discounts if _holds(discount, month.label)]
    for discount in [d for d in held if "meter" in d] + [d for d in held if "meter" not in d]:
        base = left.get(discount["meter"], 0) if "meter" in discount else whole
        wanted = (
            Fraction(base) * Fraction(discount["percent"]) / 100
            if "percent" in discount
            else Fraction(discount["amount"]) * 10**month.places
        )
        taken = max(min(_half_up(wanted), base), 0)
        if "meter" in discount:
            left[discount["meter"]] = base - taken
            rest = Fraction(discount.get("amount", "0")) - max(min(wanted, base), 0) / 10**month.places
            mine = [n for n, (meter, _) in enumerate(limited) if meter == discount["meter"]]
            taken += _off_limited(discount, rest, [(limited[n][1], given[n]) for n in mine], month.places)
        if taken:
            whole -= taken
            yield Amount("discount", -taken)


def _off_limited(discount: Record, rest: Fraction, rates: list[tuple[list[Portion], list[Record]]], places: int) -> int:
    """What a discount takes off rates with limits. It joins those that each of them was given."""
    taken = 0
    for portions, given in rates:
        before, granted = cost(portions, places, given)
        if "percent" in discount:
            given.append({"percent": discount["percent"]})
        elif rest > 0:
            given.append({"amount": rest})
        after, now_granted = cost(portions, places, given)
        rest -= now_granted - granted
        taken += before - after
    return taken


def _bounds(partner: Record, month: Month, total: int) -> Iterator[Amount]:
    for kind, sign in (("maximum", -1), ("minimum", 1)):
        for bound in (one for one in partner.get(f"{kind}s", []) if _holds(one, month.label)):
            if kind == "minimum" and not month.planned:
                continue
            share = month.planned if bound.get("prorated") == "true" else Fraction(1)
            limit = _half_up(Fraction(bound["amount"]) * share * 10**month.places)
            if (limit - total) * sign > 0:
                yield Amount(kind, limit - total)
                total = limit


def _commitments(commitments: Sequence[Record], month: Month, documents: Sequence[Document]) -> Iterator[Amount]:
    for commitment in commitments:
        months = {"month": 1, "quarter": 3, "year": 12}[commitment["term"]]
        begin, number = commitment["valid_from"][:7], 0
        while begin <= month.label and begin < commitment.get("valid_to", "9999-12")[:7]:
            labels = [begin]
            while len(labels) < months:
                labels.append(following(labels[-1]))
            mine = [document for document in documents if document.label in labels]
            if mine:
                counted = Fraction(sum(document.counted for document in mine), 10**month.places)
                if number == 0:
                    counted += Fraction(commitment.get("billed_elsewhere", "0"))
                least, factor = Fraction(commitment["amount"]), Fraction(commitment.get("overage_factor", "1"))
                cost = max(counted - least, Fraction(0)) * (factor - 1)
                if month.label >= labels[-1]:
                    cost += max(least - counted, Fraction(0))
                subject = (commitment["valid_from"], labels[0])
                units = _half_up(cost * 10**month.places) - _sum(documents, "commitment", subject)
                if units:
                    yield Amount("commitment", units, subject)
            begin, number = following(labels[-1]), number + 1


def _credits(credits_: Sequence[Record], month: Month, due: int, before: Sequence[Document]) -> Iterator[Amount]:
    last = first_day(following(month.label)) - timedelta(days=1)
    held = [
        credit
        for credit in credits_
        if date.fromisoformat(credit["valid_from"]) <= last < date.fromisoformat(credit.get("valid_to", "9999-12-31"))
    ]
    held.sort(key=lambda c: (int(c.get("priority", "0")), c.get("valid_to", "9999-12-31"), c["valid_from"]))
    for credit in held:
        left = _half_up(Fraction(credit["amount"]) * 10**month.places) + _sum(before, "credit", (credit["id"],))
        pays = max(min(left, due), 0)
        if pays:
            due -= pays
            yield Amount("credit", -pays, (credit["id"],))


def _sum(documents: Sequence[Document], kind: str, subject: tuple[str, ...]) -> int:
    """What documents charged so far for a fee of a month, for a term of a commitment, or from a credit."""
    return sum(
        amount.units
        for document in documents
        for amount in document.amounts
        if (amount.kind, amount.subject) == (kind, subject)
    )


def _holds(term: Record, label: str) -> bool:
    return bool(term["valid_from"][:7] <= label < term.get("valid_to", "9999-12")[:7])


def _half_up(exact: Fraction) -> int:
    return to_units(exact, "half_up")


def first_day(label: str) -> date:
    return date.fromisoformat(f"{label}-01")


def following(label: str) -> str:
    """The next month."""
    year, month = int(label[:4]), int(label[5:])
    return f"{year + month // 12}-{month % 12 + 1:02}"
