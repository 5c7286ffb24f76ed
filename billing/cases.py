"""Pricing cases: other systems' worked examples in one notation, priced by the functions that price invoices.

A case is an object with id, model, params and input; all numbers are strings (docs/pricing.md lists the params).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException, localcontext
from typing import Any

from billing import pricing
from billing.pricing import ZERO, Charge, Part, Rounding
from schemas.catalog import Tier
from schemas.money import EXACT, plain

MODELS = ("flat", "graduated", "package", "per_unit", "volume")


class BadCase(Exception):
    """The case cannot be read. The message names the field."""


def answer(case: Mapping[str, Any]) -> dict[str, Any]:
    """`{"id", "amount", "lines"}` of a case, or `{"id", "unsupported"}`. Raises BadCase, PricingError."""
    try:
        if case["model"] not in MODELS:
            return {"id": case["id"], "unsupported": case["model"]}
        result = _charge(case["model"], case["params"], Decimal(case["input"]["quantity"]))
    except KeyError as exc:
        raise BadCase(f"case {case.get('id', '?')}: field {exc} is missing") from exc
    except (DecimalException, TypeError, ValueError) as exc:
        raise BadCase(f"case {case.get('id', '?')}: a number cannot be read ({exc!r}); numbers are strings") from exc
    lines = [{"label": p.label, "amount": plain(p.amount)} for p in result.parts]
    return {"id": case["id"], "amount": plain(result.amount), "lines": lines}


def _charge(model: str, params: Mapping[str, Any], quantity: Decimal) -> Charge:
    if quantity < 0 and params.get("negative_policy") == "zero":
        quantity = ZERO
    rule = params["rounding"]
    places = None if rule["mode"] == "none" else int(rule["places"])
    return pricing.charged(
        lambda billed: _parts(model, params, billed),
        _converted(quantity, params.get("unit_conversion")),
        free_units=Decimal(params.get("free_units", "0")),
        rounding=Rounding(places, rule.get("when", "line")),
    )


def _parts(model: str, params: Mapping[str, Any], quantity: Decimal) -> list[Part]:
    if model == "flat":
        return pricing.flat(Decimal(params["amount"]))
    if model == "per_unit":
        return pricing.per_unit(quantity, Decimal(params["unit_price"]))
    if model == "package":
        return pricing.package(quantity, Decimal(params["package_size"]), Decimal(params["package_price"]))
    first = bool(params.get("first_tier_flat_at_zero", False))
    units = Decimal(params["billing_units"]) if "billing_units" in params else None
    tiers = _tiers(params["tiers"])
    if model == "graduated":
        return pricing.graduated(quantity, tiers, first_flat_at_zero=first, billing_units=units)
    last = params.get("beyond_last") == "last_tier"
    return pricing.volume(quantity, tiers, first_flat_at_zero=first, billing_units=units, beyond_last=last)


def _tiers(rows: Sequence[Mapping[str, Any]]) -> list[Tier]:
    return [Tier.model_validate(row) for row in rows]


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
