"""The price of a case, read as a rate card reads it.

What the notation knows beyond a rate card is here: a bounded last tier, and negative quantities.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from billing.pricing.charge import Charge, OfMonth, PricingError, charged
from schemas.catalog.prices.price import ZERO, ChargePart, Portion, Price
from schemas.catalog.prices.registry import MODELS
from schemas.catalog.rates import LineTerms, Rounding, UnitConversion

# Parameters of every model, and those that a model has beside the fields of its record. What is not listed would be
# priced as if it were not there.
_EVERY = {"rounding", "free_units", "unit_conversion", "negative_policy"}
_BESIDE: Mapping[str, set[str]] = {
    "volume": {"beyond_last"},
    "percentage": {"fixed_fee", "free_events", "free_amount", "per_transaction_min", "per_transaction_max"},
}
PARAMETERS: Mapping[str, set[str]] = {
    name: (_EVERY | _BESIDE.get(name, set()) | kind.model_fields.keys()) - {"model", "proration"}
    for name, kind in MODELS.items()
}


class BadCase(Exception):
    """The case cannot be read. The message names the field."""


def number(written: object) -> Decimal:
    """A number of a case. Raises BadCase, decimal.DecimalException."""
    value = Decimal(str(written))
    if not value.is_finite():
        raise BadCase(f"{written} is no finite number")
    return value


def places_of(rule: Mapping[str, str]) -> int | None:
    """The places of a rounding; None: exactly."""
    return None if rule["mode"] == "none" else int(rule["places"])


def priced(
    pricing: Mapping[str, Any],
    quantity: Decimal,
    rule: Mapping[str, str],
    *,
    more: LineTerms | None = None,
    of_month: OfMonth | None = None,
) -> Charge:
    """The charge of a quantity: `pricing` is a model with its parameters, `rule` the rounding.

    `more` are the discounts, maximum and minimum.
    """
    terms = (more or LineTerms())._replace(
        unit_conversion=_conversion(pricing.get("unit_conversion")),
        free_units=number(pricing.get("free_units", "0")),
        rounding=Rounding.model_validate({k: rule[k] for k in ("mode", "when") if rule.get(k, "none") != "none"}),
    )
    if quantity < 0 and pricing.get("negative_policy") == "zero":
        quantity = ZERO
    return charged(_parts(pricing), quantity, terms=terms, places=places_of(rule), of_month=of_month)


def price_of(pricing: Mapping[str, Any]) -> Price:
    """The price of a case as a rate card has it."""
    return _price(pricing)[0]


def _conversion(rule: Mapping[str, str] | None) -> UnitConversion | None:
    return None if rule is None else UnitConversion.model_validate(rule)


def _parts(pricing: Mapping[str, Any]) -> Callable[[Portion], Sequence[ChargePart]]:
    """The parts that a case's price asks for.

    Parameters are read here, so that an unreadable one is not reported as a pricing error.
    """
    price, end = _price(pricing)
    if "beyond_last" in pricing:
        end = None

    def parts(portion: Portion) -> Sequence[ChargePart]:
        if end is not None and portion.end > end:
            raise PricingError(
                f"quantity {portion.end} lies beyond the last tier, which ends at {end}; leave the last tier open"
            )
        return price.parts(portion)

    return parts


def _price(pricing: Mapping[str, Any]) -> tuple[Price, Decimal | None]:
    """The price of a case as a rate card has it, with an open last tier; and the bound that the last tier had."""
    kind, end = MODELS[pricing["model"]], None
    given = dict(pricing)
    if "tiers" in kind.model_fields:
        *tiers, last = pricing["tiers"]
        given["tiers"] = [*tiers, {**last, "up_to": None}]
        given["first_tier_flat_at_zero"] = bool(pricing.get("first_tier_flat_at_zero", False))
        if last["up_to"] is not None:
            end = _bound(last["up_to"])
    fields = {name: given[name] for name, info in kind.model_fields.items() if info.is_required() or name in given}
    return kind.model_validate(fields), end


def _bound(written: object) -> Decimal:
    try:
        return number(written)
    except ArithmeticError:
        raise BadCase(f"tiers.up_to: {written!r} is no number; correct the tier") from None
