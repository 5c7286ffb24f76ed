"""Pricing cases: other systems' worked examples in one notation, answered by the functions that price invoices.

A case is an object with id, model, params and input; all numbers are strings (docs/pricing.md lists the params).
"""

from collections.abc import Iterator, Mapping
from decimal import DecimalException
from typing import Any

from pydantic import ValidationError

from billing.pricing.case_prices import PARAMETERS, BadCase, number, priced
from billing.pricing.case_steps import STEPS, transaction_case
from schemas.money import plain

__all__ = ["PARAMETERS", "BadCase", "answer"]

_CHOICES: Mapping[str, set[str]] = {
    "negative_policy": {"zero"},
    "beyond_last": {"last_tier"},
    "mode": {"half_up", "half_even", "ceiling", "floor", "none"},
    "when": {"line", "tier_line"},
    "op": {"divide", "multiply"},
    "round": {"ceiling", "floor", "half_up", "none"},
    "method": {"largest_remainder"},
    "order": {"as_listed", "percentages_first"},
    "type": {"percentage", "fixed"},
    "end": {"exclusive", "inclusive"},
    "granularity": {"second", "day"},
    "convention": {"actual_in_period", "actual", "actual_over_30"},
    "commitment_type": {"amount", "quantity"},
}


def answer(case: Mapping[str, Any]) -> dict[str, Any]:
    """`{"id", "amount", "lines"}` of a case, or `{"id", "unsupported"}`. Raises BadCase, PricingError.

    Cases of a step that has no amount are answered with `quantity`, or with `numerator` and `denominator`.
    """
    name = f"case {case.get('id', '?')}"
    try:
        if not _supported(case["model"], case["params"]):
            return {"id": case["id"], "unsupported": case["model"]}
        return {"id": case["id"], **_answered(case["model"], case["params"], case["input"])}
    except KeyError as exc:
        raise BadCase(f"{name}: field {exc} is missing; docs/pricing.md lists the fields") from exc
    except BadCase as exc:
        raise BadCase(f"{name}: {exc}") from exc
    except ValidationError as exc:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise BadCase(f"{name}: {where}; correct the price") from exc
    except (DecimalException, AttributeError, TypeError, ValueError) as exc:
        raise BadCase(f"{name}: a field cannot be read ({exc!r}); numbers are strings, tiers are objects") from exc


def _answered(model: str, params: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    if model in STEPS:
        return STEPS[model].answer(params, given)
    if "transactions" in given and model == "percentage":
        return transaction_case(params, given)
    made = priced({**params, "model": model}, number(given["quantity"]), params["rounding"])
    lines = [{"label": part.label, "amount": plain(part.amount)} for part in made.parts]
    return {"amount": plain(made.amount), "lines": lines}


def _supported(model: str, params: Mapping[str, Any]) -> bool:
    """Whether invoices know the model, all its parameters, and the choices made in them."""
    if model not in STEPS:
        nested = [(model, params)]
    elif params.keys() <= STEPS[model].parameters:
        nested = [(each["model"], {k: v for k, v in each.items() if k != "model"}) for each in _prices(params)]
    else:
        return False
    known = all(name in PARAMETERS and given.keys() <= PARAMETERS[name] for name, given in nested)
    return known and all(value in _CHOICES[key] for key, value in _entries(params) if key in _CHOICES)


def _prices(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The prices within a step's parameters."""
    return [params["pricing"]] if "pricing" in params else [each["pricing"] for each in params.get("charges", ())]


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All names with their values, at every depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, inner
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)
