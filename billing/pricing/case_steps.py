"""Cases of a single step around prices, such as discounts, shares of time, commitments and credits.

Each is answered by the function that invoices use.
"""

import calendar
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from billing.pricing import allocation, commitments, discounts, proration
from billing.pricing.case_prices import BadCase, number, places_of, price_of, priced
from billing.pricing.charge import Charge, OfMonth, charge
from billing.pricing.transactions import PerTransaction, transactions
from schemas.catalog.prices.price import ZERO, Share, prorated
from schemas.catalog.prices.registry import MODELS
from schemas.catalog.rates import LineDiscount, LineTerms, UnitConversion
from schemas.money import EXACT, plain, rounded

Params = Mapping[str, Any]
Answer = dict[str, Any]
_THIRTY = 30


class Step(NamedTuple):
    """How a case is answered, and the parameters that it may have."""

    answer: Callable[[Params, Params], Answer]
    parameters: frozenset[str]


def transaction_case(params: Params, given: Params) -> Answer:
    """Single transactions at a percentage."""

    def optional(name: str) -> Decimal | None:
        return number(params[name]) if name in params else None

    terms = PerTransaction(
        fixed_fee=number(params.get("fixed_fee", "0")),
        free_events=int(params["free_events"]) if "free_events" in params else None,
        free_amount=optional("free_amount"),
        least=optional("per_transaction_min"),
        most=optional("per_transaction_max"),
    )
    price = price_of({"model": "percentage", "rate_percent": params["rate_percent"]})
    made = list(transactions(price, [number(value) for value in given["transactions"]], terms))
    total = _sum([each.amount for each in made])
    if terms.least is not None or terms.most is not None:
        lines = [{"amount": plain(each.amount)} for each in made]
    else:
        sums = {"percentage": _sum([each.priced for each in made]), "fixed": _sum([each.fixed for each in made])}
        lines = [{"label": label, "amount": plain(amount)} for label, amount in sums.items()]
    return {"amount": plain(_rounded(total, params["rounding"])), "lines": lines}


def _bounded(params: Params, given: Params) -> Answer:
    """A price with a percentage off, a maximum and a minimum, after what was billed before."""
    before = number(given.get("prior_quantity", "0"))
    quantity = number(given["quantity"])
    place = OfMonth(
        before,
        before + quantity,
        is_first=bool(given.get("first_line", not before)),
        is_last=bool(given.get("final", True)),
        share=Share(1, 1),
        billed=number(given.get("prior_billed", "0")),
    )
    made = priced(params["pricing"], quantity, params["rounding"], more=_more(params), of_month=place)
    return {"amount": plain(made.amount), "lines": _lines(made)}


def _more(params: Params) -> LineTerms:
    percent = params.get("percent_off")
    return LineTerms(
        discounts=() if percent is None else (LineDiscount(percent=number(percent)),),
        maximum=number(params["max_amount"]) if "max_amount" in params else None,
        minimum=number(params["min_amount"]) if "min_amount" in params else None,
    )


def _lines(made: Charge) -> list[dict[str, str]]:
    """The price in one line, and a line for each adjustment."""
    usage = made.parts[: len(made.parts) - made.adjustments]
    return [
        {"label": "usage", "amount": plain(_sum([part.amount for part in usage]))},
        *({"label": part.label, "amount": plain(part.amount)} for part in made.parts[len(usage) :]),
    ]


def _incremental(params: Params, given: Params) -> Answer:
    """Counts of a period so far: each line is what the count costs less what the one before cost."""
    readings = [number(reading) for reading in given["readings"]]
    terms = _more(params)
    lines, before = [], ZERO
    for place, reading in enumerate(readings, 1):
        more = terms if place == len(readings) else terms._replace(minimum=None)
        total = priced(params["pricing"], reading, params["rounding"], more=more).amount
        lines.append(EXACT.subtract(total, before))
        before = total
    return _amounts(lines[int(given["report_from"]) :])


def _incremental_invoice(params: Params, given: Params) -> Answer:
    """Counts of a period so far for several prices: each line is what a price adds after `report_from` readings."""
    first = int(given["report_from"])
    if not 0 <= first < len(given["readings"]):
        raise BadCase(f"`report_from` {first} is no reading, of which there are {len(given['readings'])}; count from 0")
    lines = []
    for charged in params["charges"]:
        name = charged["name"]
        readings = [reading[name] for reading in given["readings"]]
        step = {"pricing": charged["pricing"], "rounding": params["rounding"]}
        answer = _incremental(step, {"readings": readings, "report_from": first})
        lines.append({"label": name, "amount": answer["amount"]})
    return {"amount": plain(_sum([number(line["amount"]) for line in lines])), "lines": lines}


def _net_of_billed(params: Params, given: Params) -> Answer:
    """What a quantity costs less what was billed of it before: an adjustment."""
    costs = priced(params["pricing"], number(given["quantity"]), params["rounding"]).amount
    return _amounts([EXACT.subtract(costs, number(given["already_billed"]))])


def _credit(params: Params, given: Params) -> Answer:
    """A price, paid by credits in their order."""
    due = priced(params["pricing"], number(given["quantity"]), params["rounding"]).amount
    paid = commitments.burn_down(due, [number(credit) for credit in params["credits"]])
    return {"amount": plain(EXACT.subtract(due, _sum(paid))), "lines": []}


def _invoice(params: Params, given: Params) -> Answer:
    """Several prices, each rounded, then added."""
    lines = [
        (each["name"], priced(each["pricing"], number(given["quantities"][each["name"]]), params["rounding"]).amount)
        for each in params["charges"]
    ]
    return {
        "amount": plain(_sum([amount for _, amount in lines])),
        "lines": [{"label": name, "amount": plain(amount)} for name, amount in lines],
    }


def _unit_conversion(params: Params, given: Params) -> Answer:
    return {"quantity": plain(UnitConversion.model_validate(params).converted(number(given["quantity"])))}


def _free_units(params: Params, given: Params) -> Answer:
    before, quantity = number(given.get("prior_quantity", "0")), number(given["quantity"])
    terms = LineTerms(free_units=number(params["free_units"]))
    place = OfMonth(before, before + quantity, is_first=not before, is_last=True, share=Share(1, 1))
    nothing = price_of({"model": "per_unit", "unit_price": "0"})
    return {"quantity": plain(charge(nothing, quantity, terms=terms, places=None, of_month=place).billed_quantity)}


def _rounding(params: Params, given: Params) -> Answer:
    return _amounts([_rounded(number(given["value"]), params["rounding"])])


def _sum_rounding(params: Params, given: Params) -> Answer:
    """Each value is rounded, then they are added."""
    return _amounts([_rounded(number(value), params["rounding"]) for value in given["values"]])


def _allocation(params: Params, given: Params) -> Answer:
    weights = [number(weight) for weight in given["weights"]]
    total = number(given["total"])
    if params.get("cap_at_weights"):
        total = allocation.capped(total, weights)
    return _amounts(allocation.allocated(total, weights, places=int(params["places"])))


def _proration(params: Params, _: Params) -> Answer:
    """A share of an amount, after its discounts."""
    amount = number(params["amount"])
    with localcontext(EXACT):
        amount -= sum(discounts.taken(amount, _discounts(params.get("discounts", ()))), ZERO)
    return _amounts([_share_of(amount, _share(params), params["rounding"])])


def _share_of(amount: Decimal, share: Share, rule: Params) -> Decimal:
    places = places_of(rule)
    exact = prorated(amount, share, decimals=max(12, (places or 0) + 1))
    return exact if places is None else _rounded(exact, rule)


def _share(params: Params) -> Share:
    if "ratio" in params:
        return _ratio(params["ratio"])
    if params["granularity"] == "day":
        service, period = (_days(params, name) for name in ("service", "period"))
        return proration.day_share(service, period)
    return proration.time_share(_instants(params, "service"), _instants(params, "period"))


def _ratio(ratio: Params) -> Share:
    return Share(int(ratio["num"]), int(ratio["den"]))


def _instants(params: Params, name: str) -> tuple[datetime, datetime]:
    if params.get("end", "exclusive") != "exclusive":
        raise BadCase("`end` is inclusive, which says nothing of instants; use `granularity` day")
    return datetime.fromisoformat(params[f"{name}_start"]), datetime.fromisoformat(params[f"{name}_end"])


def _days(params: Params, name: str) -> tuple[date, date]:
    """A span of days as [start, end)."""
    start, end = (datetime.fromisoformat(params[f"{name}_{bound}"]).date() for bound in ("start", "end"))
    return start, end + timedelta(days=params["end"] == "inclusive")


def _proration_days(params: Params, _: Params) -> Answer:
    """The days of a part, and the days that it is a part of."""
    start, end = _days(params, "service")
    first = start.replace(day=1)
    month = first, first + timedelta(days=calendar.monthrange(first.year, first.month)[1])
    period = _days(params, "period") if params["convention"] == "actual_in_period" else month
    share = proration.day_share((start, end), period)
    whole = _THIRTY if params["convention"] == "actual_over_30" else share.whole_us
    return {"numerator": str(share.part_us), "denominator": str(whole)}


def _plan_change(params: Params, _: Params) -> Answer:
    """The rest of the old plan is credited and the rest of the new one charged: two lines."""
    old, new = (
        EXACT.multiply(number(params[f"{name}_amount"]), number(params.get(f"{name}_quantity", "1")))
        for name in ("old", "new")
    )
    if "change_at" in params:
        left = _share(
            {"end": "exclusive", **params, "service_start": params["change_at"], "service_end": params["period_end"]}
        )
        shares = left, left
    else:
        shares = _ratio(params["old_ratio"]), _ratio(params["new_ratio"])
    places = int(params["rounding"]["places"])
    return _amounts(list(commitments.plan_change(old, new, shares[0], new_share=shares[1], places=places)))


def _true_up(params: Params, given: Params) -> Answer:
    """What lacks to a minimum, of which the period may have a share."""
    billed = number(given["charges_total"])
    if params.get("round_used_first"):
        billed = _rounded(billed, params["rounding"])
    minimum = number(params["min_amount"])
    if "ratio" in params:
        minimum = prorated(minimum, _ratio(params["ratio"]))
    return _amounts([_rounded(commitments.true_up(minimum, billed), params["rounding"])])


def _discounts(listed: list[Params]) -> list[LineDiscount]:
    return [
        LineDiscount(percent=number(each["percent"]))
        if each["type"] == "percentage"
        else LineDiscount(amount=number(each["amount"]))
        for each in listed
    ]


def _discount(params: Params, given: Params) -> Answer:
    base, found = number(given["base"]), _discounts(params["discounts"])
    if params["order"] == "percentages_first":
        found.sort(key=lambda each: each.percent is None)
    taken = _sum(discounts.taken(base, found, places=places_of(params["rounding"])))
    return {"amount": plain(EXACT.subtract(base, taken)), "discount": plain(taken)}


def _line_discount(params: Params, given: Params) -> Answer:
    """A percentage of each line, rounded for each."""
    off, places = (LineDiscount(percent=number(params["percent"])),), places_of(params["rounding"])
    return _amounts([_sum(discounts.taken(number(line), off, places=places)) for line in given["lines"]])


def _credit_cap(_: Params, given: Params) -> Answer:
    unused, paid, credited = (number(given[name]) for name in ("potential_credit", "amount_paid", "previous_credits"))
    return _amounts([commitments.credit_for(unused, paid=paid, credited=credited)])


def _commitment_overage(params: Params, given: Params) -> Answer:
    """Each window is priced by itself; its commitment is an amount, or a quantity at the price."""
    pricing = {"model": "per_unit", "unit_price": params["unit_price"]}
    exact = {"mode": "none"}
    commitment = number(params["commitment"])
    if params["commitment_type"] == "quantity":
        commitment = priced(pricing, commitment, exact).amount
    return _amounts(
        [
            _rounded(
                commitments.committed(
                    priced(pricing, number(window), exact).amount,
                    commitment,
                    overage_factor=number(params["overage_factor"]),
                    trues_up=bool(params["true_up"]),
                ).amount,
                params["rounding"],
            )
            for window in given["windows"]
        ]
    )


def _amounts(amounts: list[Decimal]) -> Answer:
    return {"amount": plain(_sum(amounts)), "lines": [{"amount": plain(amount)} for amount in amounts]}


def _sum(amounts: list[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(amounts, ZERO)


def _rounded(value: Decimal, rule: Params) -> Decimal:
    places = places_of(rule)
    return value if places is None else rounded(value, places, rule["mode"])


def _step(answer: Callable[[Params, Params], Answer], *parameters: str) -> Step:
    return Step(answer, frozenset(parameters))


_PERIOD = ("period_start", "period_end", "granularity")
_SERVICE = ("service_start", "service_end", "end")
STEPS: Mapping[str, Step] = {
    "minimum": _step(_bounded, "pricing", "min_amount", "rounding"),
    "maximum": _step(_bounded, "pricing", "percent_off", "max_amount", "rounding"),
    "incremental": _step(_incremental, "pricing", "max_amount", "min_amount", "rounding"),
    "incremental_invoice": _step(_incremental_invoice, "charges", "rounding"),
    "net_of_billed": _step(_net_of_billed, "pricing", "rounding"),
    "credit": _step(_credit, "pricing", "credits", "rounding"),
    "invoice": _step(_invoice, "charges", "rounding"),
    "unit_conversion": _step(_unit_conversion, "op", "factor", "round", "places"),
    "free_units": _step(_free_units, "free_units"),
    "rounding": _step(_rounding, "rounding"),
    "sum_rounding": _step(_sum_rounding, "rounding", "when"),
    "allocation": _step(_allocation, "method", "places", "cap_at_weights"),
    "discount": _step(_discount, "discounts", "order", "rounding"),
    "line_discount": _step(_line_discount, "percent", "rounding"),
    "proration": _step(_proration, "amount", "discounts", "ratio", *_PERIOD, *_SERVICE, "rounding"),
    "proration_days": _step(_proration_days, "convention", "period_start", "period_end", *_SERVICE),
    "plan_change": _step(_plan_change, "old_amount", "old_quantity", "old_ratio", "new_amount", "new_quantity", "new_ratio",
                         "change_at", *_PERIOD, "rounding"),
    "true_up": _step(_true_up, "min_amount", "ratio", "round_used_first", "rounding"),
    "commitment_overage": _step(_commitment_overage, "commitment", "commitment_type", "unit_price", "overage_factor",
                                "true_up", "rounding"),
    "credit_cap": _step(_credit_cap),
}  # fmt: skip
assert not STEPS.keys() & MODELS.keys()
