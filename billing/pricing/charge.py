"""A charge: a priced line.

The order of the steps is that of docs/pricing.md: convert the unit, subtract the free units, price, discount, maximum,
minimum; then the exact sum of the parts is rounded once.

Quantities are in the meter's unit.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, Inexact, InvalidOperation, Rounded, localcontext
from typing import NamedTuple

from billing.pricing.commitments import true_up
from billing.pricing.discounts import taken
from schemas.catalog.prices.price import ZERO, ChargePart, Portion, Price, Share, prorated
from schemas.catalog.rates import LineTerms
from schemas.money import EXACT, rounded

NO_TERMS = LineTerms()
WHOLE = Share(1, 1)
PERCENTAGE_DISCOUNT = "percentage_discount"
AMOUNT_DISCOUNT = "amount_discount"
MAXIMUM_DISCOUNT = "maximum_discount"
MINIMUM_TOP_UP = "minimum_top_up"


class PricingError(Exception):
    """The price does not say what this quantity costs. Correct the rate card or the usage; never bill it at 0."""


class Charge(NamedTuple):
    """A priced line: what was billed, its addends, their exact sum, and the amount after rounding.

    `counted_before` and `converted` are the count at the start and the quantity in the unit that is priced, before the
    free units, of which the month has `free_units`.
    `granted` is what discounts of an amount took. `parts` ends with the `adjustments` to the price: discounts, what
    exceeds the maximum, and what lacks to the minimum.
    """

    billed_quantity: Decimal
    parts: tuple[ChargePart, ...]
    exact: Decimal
    amount: Decimal
    counted_before: Decimal
    converted: Decimal
    free_units: Decimal
    adjustments: int = 0
    granted: Decimal = ZERO


class OfMonth(NamedTuple):
    """The place of a line in the month of its rate: the counts before it and at the end, and its share of the time.

    `billed` and `granted` are what the month's earlier lines of the rate came to, and what their discounts of an amount
    took. `span` is the share of the month that all lines of the rate cover together.
    """

    before: Decimal
    total: Decimal
    is_first: bool
    is_last: bool
    share: Share
    billed: Decimal = ZERO
    granted: Decimal = ZERO
    span: Share = WHOLE


def charge(
    price: Price,
    quantity: Decimal,
    *,
    terms: LineTerms = NO_TERMS,
    places: int | None,
    of_month: OfMonth | None = None,
) -> Charge:
    """What `quantity` costs, to `places` decimals (None: exactly).

    `of_month`: of a part of a month; without it the quantity is the month's.

    Raises PricingError for a negative quantity, or one that has no exact amount.
    """
    return charged(price.parts, quantity, terms=terms, places=places, of_month=of_month)


def charged(
    parts: Callable[[Portion], Sequence[ChargePart]],
    quantity: Decimal,
    *,
    terms: LineTerms = NO_TERMS,
    places: int | None,
    of_month: OfMonth | None = None,
) -> Charge:
    """The steps around anything that gives the parts for a portion of a month."""
    if quantity < 0:
        raise PricingError(f"quantity {quantity} is negative; a correction is a credit note, not usage")
    line = of_month or OfMonth(ZERO, quantity, is_first=True, is_last=True, share=WHOLE)
    try:
        with localcontext(EXACT):
            return _charged(parts, quantity, terms, places, line)
    except (Inexact, Rounded, InvalidOperation) as exc:
        raise PricingError(
            f"quantity {quantity} at this price has no exact amount of at most {EXACT.prec} digits; give the price fewer decimals"
        ) from exc


def _charged(
    parts: Callable[[Portion], Sequence[ChargePart]],
    quantity: Decimal,
    terms: LineTerms,
    places: int | None,
    line: OfMonth,
) -> Charge:
    free = _of_span(terms.free_units, terms, line)
    counts = [line.before, line.before + quantity, line.total]
    if terms.unit_conversion is not None:
        counts = [terms.unit_conversion.converted(count) for count in counts]
    start, end, total = (max(count - free, ZERO) for count in counts)
    priced = tuple(parts(Portion(start, end, total, line.is_first, line.is_last, line.share)))
    adjusted, granted = _adjustments(sum((part.amount for part in priced), ZERO), terms, line)
    found = (*priced, *adjusted)
    exact = sum((part.amount for part in found), ZERO)
    return Charge(
        billed_quantity=end - start,
        parts=found,
        exact=exact,
        amount=_rounded(found, exact, terms, places),
        counted_before=counts[0],
        converted=counts[1] - counts[0],
        free_units=free,
        adjustments=len(adjusted),
        granted=granted,
    )


def _adjustments(gross: Decimal, terms: LineTerms, line: OfMonth) -> tuple[list[ChargePart], Decimal]:
    """What the terms add to a price (discounts, then the maximum, then the minimum), and what amounts were granted."""
    if not terms.discounts and terms.maximum is None and terms.minimum is None:
        return [], ZERO
    found: list[ChargePart] = []
    takes = taken(gross, terms.discounts, granted=line.granted)
    for number, (discount, take) in enumerate(zip(terms.discounts, takes, strict=True), 1):
        found += _adjustment(AMOUNT_DISCOUNT if discount.percent is None else PERCENTAGE_DISCOUNT, -take, number)
    granted = sum((take for d, take in zip(terms.discounts, takes, strict=True) if d.percent is None), ZERO)
    net = gross - sum(takes, ZERO)
    if terms.maximum is not None:
        over = line.billed + net - _of_span(terms.maximum, terms, line)
        cut = min(max(over, ZERO), max(net, ZERO))
        found += _adjustment(MAXIMUM_DISCOUNT, -cut)
        net -= cut
    if terms.minimum is not None and line.is_last:
        found += _adjustment(MINIMUM_TOP_UP, true_up(_of_span(terms.minimum, terms, line), line.billed + net))
    return found, granted


def _adjustment(label: str, amount: Decimal, number: int | None = None) -> list[ChargePart]:
    return [ChargePart(label, Decimal(1), amount, "fee", number)] if amount else []


def _of_span(monthly: Decimal, terms: LineTerms, line: OfMonth) -> Decimal:
    """A month's units or amount, or the share that the rate covers of the month if the terms ask for it."""
    return prorated(monthly, line.span) if terms.prorated else monthly


def _rounded(parts: Sequence[ChargePart], exact: Decimal, terms: LineTerms, places: int | None) -> Decimal:
    if places is None:
        return exact
    if terms.rounding.when == "tier_line":
        return sum((rounded(part.amount, places, terms.rounding.mode) for part in parts), ZERO)
    return rounded(exact, places, terms.rounding.mode)
