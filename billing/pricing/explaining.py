"""What an invoice says of each part of a line: the price explains its own parts, the terms of the rate the others."""

from collections.abc import Callable, Mapping

from billing.pricing.charge import AMOUNT_DISCOUNT, MAXIMUM_DISCOUNT, MINIMUM_TOP_UP, PERCENTAGE_DISCOUNT
from schemas.catalog.prices.price import ZERO, ChargePart, Price, Share
from schemas.catalog.rates import LineDiscount, LineTerms
from schemas.money import grouped


def explanation(price: Price, terms: LineTerms, part: ChargePart, share: Share) -> str:
    """A description of a part for the reader of the invoice; `share` is the time share of the part's line."""
    adjusted = _ADJUSTMENTS.get(part.label)
    return price.explanation(part, share) if adjusted is None else adjusted(terms, part)


def _percentage(terms: LineTerms, part: ChargePart) -> str:
    discount = _discount(terms, part)
    return discount.description or f"discount of {grouped(discount.percent or ZERO)} %"


def _amount(terms: LineTerms, part: ChargePart) -> str:
    discount = _discount(terms, part)
    return discount.description or f"discount of {grouped(discount.amount or ZERO)} a month"


def _maximum(terms: LineTerms, _: ChargePart) -> str:
    return f"above the maximum of {grouped(terms.maximum or ZERO)} a month{_by_time(terms)}"


def _minimum(terms: LineTerms, _: ChargePart) -> str:
    return f"up to the minimum of {grouped(terms.minimum or ZERO)} a month{_by_time(terms)}"


def _discount(terms: LineTerms, part: ChargePart) -> LineDiscount:
    assert part.tier is not None
    return terms.discounts[part.tier - 1]


def _by_time(terms: LineTerms) -> str:
    return ", by the share of the month" if terms.prorated else ""


_ADJUSTMENTS: Mapping[str, Callable[[LineTerms, ChargePart], str]] = {
    PERCENTAGE_DISCOUNT: _percentage,
    AMOUNT_DISCOUNT: _amount,
    MAXIMUM_DISCOUNT: _maximum,
    MINIMUM_TOP_UP: _minimum,
}
