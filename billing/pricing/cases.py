"""Pricing cases: other systems' worked examples in one notation, priced by the price models of a rate card.

A case is an object with id, model, params and input; all numbers are strings (docs/pricing.md lists the params). What
the notation knows beyond a rate card is here: conversions that round, billing units, a bounded last tier, rounding by
part.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, DecimalException, localcontext
from typing import Any

from pydantic import ValidationError

from billing.pricing.charge import PricingError, charged
from schemas.catalog.prices.price import ZERO, ChargePart, Portion, Price, begun
from schemas.catalog.prices.registry import MODELS
from schemas.catalog.prices.tiers import Tier, Tiered
from schemas.money import EXACT, plain, rounded

# Parameters of every model, and those that a model has beside the fields of its record. What is not listed would be
# priced as if it were not there.
_EVERY = {"rounding", "free_units", "unit_conversion", "negative_policy"}
_BESIDE: Mapping[str, set[str]] = {
    "package": {"package_rounding"},
    "graduated": {"billing_units"},
    "volume": {"billing_units", "beyond_last"},
}
PARAMETERS: Mapping[str, set[str]] = {
    name: (_EVERY | _BESIDE.get(name, set()) | kind.model_fields.keys()) - {"model"} for name, kind in MODELS.items()
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
        parts, amount = _priced(case["model"], case["params"], quantity)
    except KeyError as exc:
        raise BadCase(f"{name}: field {exc} is missing; docs/pricing.md lists the fields") from exc
    except ValidationError as exc:
        within, what = ("tiers.", "tier") if exc.title == Tier.__name__ else ("", "price")
        where = "; ".join(f"{within}{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise BadCase(f"{name}: {where}; correct the {what}") from exc
    except (DecimalException, AttributeError, TypeError, ValueError) as exc:
        raise BadCase(f"{name}: a field cannot be read ({exc!r}); numbers are strings, tiers are objects") from exc
    lines = [{"label": part.label, "amount": plain(part.amount)} for part in parts]
    return {"id": case["id"], "amount": plain(amount), "lines": lines}


def _supported(model: str, params: Mapping[str, Any]) -> bool:
    """Whether invoices know the model, all its parameters, and the choices made in them."""
    if model not in PARAMETERS or not params.keys() <= PARAMETERS[model]:
        return False
    chosen = [*params.items(), *params["rounding"].items(), *(params.get("unit_conversion") or {}).items()]
    return all(value in _CHOICES[key] for key, value in chosen if key in _CHOICES)


def _priced(model: str, params: Mapping[str, Any], quantity: Decimal) -> tuple[Sequence[ChargePart], Decimal]:
    """The parts of a case's charge, and its amount after rounding."""
    if quantity < 0 and params.get("negative_policy") == "zero":
        quantity = ZERO
    rule = params["rounding"]
    places = None if rule["mode"] == "none" else int(rule["places"])
    by_part = rule.get("when") == "tier_line"
    made = charged(
        _parts(model, params),
        _converted(quantity, params.get("unit_conversion")),
        free_units=Decimal(params.get("free_units", "0")),
        places=None if by_part else places,
    )
    if not by_part or places is None:
        return made.parts, made.amount
    with localcontext(EXACT):
        return made.parts, sum((rounded(part.amount, places) for part in made.parts), ZERO)


def _parts(model: str, params: Mapping[str, Any]) -> Callable[[Portion], Sequence[ChargePart]]:
    """The parts that a case's price asks for.

    Parameters are read here, so that an unreadable one is not reported as a pricing error.
    """
    price, end = _price(model, params)
    units = Decimal(params["billing_units"]) if "billing_units" in params else None
    if "beyond_last" in params:
        end = None

    def parts(portion: Portion) -> Sequence[ChargePart]:
        quantity = portion.end if units is None else begun(portion.end, units) * units
        if end is not None and quantity > end:
            raise PricingError(
                f"quantity {quantity} lies beyond the last tier, which ends at {end}; leave the last tier open"
            )
        found = price.parts(Portion.month(quantity))
        if units is None:
            return found
        return [p._replace(quantity=p.quantity / units) if p.counts == "units" else p for p in found]

    return parts


def _price(model: str, params: Mapping[str, Any]) -> tuple[Price, Decimal | None]:
    """The price of a case as a rate card has it, with an open last tier; and the bound that the last tier had."""
    kind, end = MODELS[model], None
    given: dict[str, Any] = {**params, "model": model}
    if issubclass(kind, Tiered):
        *tiers, last = (Tier.model_validate(row) for row in params["tiers"])
        given["tiers"] = (*tiers, last.model_copy(update={"up_to": None}))
        given["first_tier_flat_at_zero"] = bool(params.get("first_tier_flat_at_zero", False))
        end = last.up_to
    fields = {name: given[name] for name, info in kind.model_fields.items() if info.is_required() or name in given}
    return kind.model_validate(fields), end


def _converted(quantity: Decimal, rule: Mapping[str, str] | None) -> Decimal:
    """Convert the unit, then round the quantity up or down: step one and two of a line."""
    if rule is None:
        return quantity
    factor, step = Decimal(rule["factor"]), Decimal(1).scaleb(-int(rule.get("places", "0")))
    with localcontext(EXACT):
        if rule["op"] == "multiply":
            quantity, factor = quantity * factor, Decimal(1)
        if rule.get("round") == "ceiling":
            return begun(quantity, factor * step) * step
        if rule.get("round") == "floor":
            return quantity // (factor * step) * step
        return quantity / factor
