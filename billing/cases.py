"""Pricing cases: other systems' worked examples in one notation, priced by the functions that price invoices.

A case is an object with id, model, params and input; all numbers are strings (docs/pricing.md lists the params).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, DecimalException, localcontext
from typing import Any

from pydantic import ValidationError

from billing import pricing
from billing.pricing import ZERO, Charge, Part, Rounding
from schemas.catalog.records import Tier
from schemas.money import EXACT, plain

# The models that invoices know, and the parameters of each; what is not listed would be priced as if it were not there.
_EVERY = {"rounding", "free_units", "unit_conversion", "negative_policy"}
_TIERED = {*_EVERY, "tiers", "first_tier_flat_at_zero", "billing_units"}
MODELS: Mapping[str, set[str]] = {
    "flat": {*_EVERY, "amount"},
    "per_unit": {*_EVERY, "unit_price"},
    "package": {*_EVERY, "package_size", "package_price", "package_rounding"},
    "graduated": _TIERED,
    "volume": {*_TIERED, "beyond_last"},
}
_CHOICES: Mapping[str, set[str]] = {
    "negative_policy": {"zero"},
    "package_rounding": {"up"},
    "beyond_last": {"last_tier"},
    "mode": {"half_up", "none"},
    "when": {"line", "tier_line"},
    "op": {"divide", "multiply"},
    "round": {"ceiling", "floor"},
}


class BadCase(Exception):
    """The case cannot be read. The message names the field."""


def answer(case: Mapping[str, Any]) -> dict[str, Any]:
    """`{"id", "amount", "lines"}` of a case, or `{"id", "unsupported"}`. Raises BadCase, PricingError."""
    name = f"case {case.get('id', '?')}"
    try:
        if not _supported(case["model"], case["params"]):
            return {"id": case["id"], "unsupported": case["model"]}
        quantity = Decimal(case["input"]["quantity"])
        if not quantity.is_finite():
            raise BadCase(f"{name}: quantity {quantity} is no finite number")
        result = _charge(case["model"], case["params"], quantity)
    except KeyError as exc:
        raise BadCase(f"{name}: field {exc} is missing; docs/pricing.md lists the fields") from exc
    except ValidationError as exc:
        where = "; ".join(f"tiers.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise BadCase(f"{name}: {where}; correct the tier") from exc
    except (DecimalException, AttributeError, TypeError, ValueError) as exc:
        raise BadCase(f"{name}: a field cannot be read ({exc!r}); numbers are strings, tiers are objects") from exc
    lines = [{"label": p.label, "amount": plain(p.amount)} for p in result.parts]
    return {"id": case["id"], "amount": plain(result.amount), "lines": lines}


def _supported(model: str, params: Mapping[str, Any]) -> bool:
    """Whether invoices know the model, all its parameters, and the choices made in them."""
    if model not in MODELS or not params.keys() <= MODELS[model]:
        return False
    chosen = [*params.items(), *params["rounding"].items(), *(params.get("unit_conversion") or {}).items()]
    return all(value in _CHOICES[key] for key, value in chosen if key in _CHOICES)


def _charge(model: str, params: Mapping[str, Any], quantity: Decimal) -> Charge:
    if quantity < 0 and params.get("negative_policy") == "zero":
        quantity = ZERO
    rule = params["rounding"]
    places = None if rule["mode"] == "none" else int(rule["places"])
    return pricing.charged(
        _price(model, params),
        _converted(quantity, params.get("unit_conversion")),
        free_units=Decimal(params.get("free_units", "0")),
        rounding=Rounding(places, rule.get("when", "line")),
    )


def _price(model: str, params: Mapping[str, Any]) -> Callable[[Decimal], list[Part]]:
    """The price function of a case; its parameters are read now, so that what cannot be read is no pricing error."""
    if model == "flat":
        amount = Decimal(params["amount"])
        return lambda _: pricing.flat(amount)
    if model == "per_unit":
        unit_price = Decimal(params["unit_price"])
        return lambda quantity: pricing.per_unit(quantity, unit_price)
    if model == "package":
        size, price = Decimal(params["package_size"]), Decimal(params["package_price"])
        return lambda quantity: pricing.package(quantity, size, price)
    tiers = [Tier.model_validate(row) for row in params["tiers"]]
    first = bool(params.get("first_tier_flat_at_zero", False))
    units = Decimal(params["billing_units"]) if "billing_units" in params else None
    if model == "graduated":
        return lambda quantity: pricing.graduated(quantity, tiers, first_flat_at_zero=first, billing_units=units)
    last = "beyond_last" in params
    return lambda quantity: pricing.volume(
        quantity, tiers, first_flat_at_zero=first, billing_units=units, beyond_last=last
    )


def _converted(quantity: Decimal, rule: Mapping[str, str] | None) -> Decimal:
    """Convert the unit, then round the quantity up or down: step one and two of a line."""
    if rule is None:
        return quantity
    factor, step = Decimal(rule["factor"]), Decimal(1).scaleb(-int(rule.get("places", "0")))
    with localcontext(EXACT):
        if rule["op"] == "multiply":
            quantity, factor = quantity * factor, Decimal(1)
        if rule.get("round") == "ceiling":
            return pricing.begun(quantity, factor * step) * step
        if rule.get("round") == "floor":
            return quantity // (factor * step) * step
        return quantity / factor
