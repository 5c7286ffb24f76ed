"""What an invoice says of each part of a line: the price explains its own parts, the terms of the rate the others."""

from collections.abc import Callable, Mapping

from billing.pricing.charge import AMOUNT_DISCOUNT, MAXIMUM_DISCOUNT, MINIMUM_TOP_UP, PERCENTAGE_DISCOUNT
from schemas.catalog.prices.price import ZERO, ChargePart, Price, Share
from schemas.catalog.rates import LineDiscount, LineTerms
from schemas.texts.wording import Wording


def explanation(price: Price, terms: LineTerms, part: ChargePart, share: Share, say: Wording) -> str:
    """A description of a part for the reader of the invoice; in the language of `say`."""
    adjusted = _ADJUSTMENTS.get(part.label)
    return price.explanation(part, share, say) if adjusted is None else adjusted(terms, part, say)


def _percentage(terms: LineTerms, part: ChargePart, say: Wording) -> str:
    discount = _discount(terms, part)
    return discount.description or say("discount_percent", percent=discount.percent or ZERO)


def _amount(terms: LineTerms, part: ChargePart, say: Wording) -> str:
    discount = _discount(terms, part)
    return discount.description or say("discount_amount", amount=discount.amount or ZERO)


def _maximum(terms: LineTerms, _: ChargePart, say: Wording) -> str:
    key = "above_maximum_prorated" if terms.prorated else "above_maximum"
    return say(key, maximum=terms.maximum or ZERO)


def _minimum(terms: LineTerms, _: ChargePart, say: Wording) -> str:
    key = "up_to_minimum_prorated" if terms.prorated else "up_to_minimum"
    return say(key, minimum=terms.minimum or ZERO)


def _discount(terms: LineTerms, part: ChargePart) -> LineDiscount:
    assert part.tier is not None
    return terms.discounts[part.tier - 1]


_ADJUSTMENTS: Mapping[str, Callable[[LineTerms, ChargePart, Wording], str]] = {
    PERCENTAGE_DISCOUNT: _percentage,
    AMOUNT_DISCOUNT: _amount,
    MAXIMUM_DISCOUNT: _maximum,
    MINIMUM_TOP_UP: _minimum,
}
