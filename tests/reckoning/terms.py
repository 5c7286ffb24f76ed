"""What a rate says beside its price, computed a second time: written from SEMANTICS 6 to 9 and docs/pricing.md, in
fractions, without the product.

Amounts are exact, in the currency. `span` is the share of the month that all lines of a rate cover together. Free units
of a share are cut to 12 decimals, as the page says; nothing else is.
"""

from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

Record = dict[str, Any]
ZERO = Fraction(0)


class Before(NamedTuple):
    """What a rate's earlier lines of the month came to, and what was taken off them by amounts."""

    billed: Fraction = ZERO
    granted: Fraction = ZERO


def billed(rate: Record, count: Fraction, span: Fraction) -> Fraction:
    """The units to charge for a month's count: converted, rounded, less the free ones."""
    free = Fraction(rate.get("free_units", "0"))
    if rate.get("prorated") == "true" and span != 1:
        free = Fraction(floor(free * span * 10**12), 10**12)
    return max(converted(rate.get("unit_conversion"), count) - free, ZERO)


def converted(conversion: Record | None, count: Fraction) -> Fraction:
    if conversion is None:
        return count
    factor = Fraction(conversion["factor"])
    exact = count * factor if conversion["op"] == "multiply" else count / factor
    steps = exact * Fraction(10) ** int(conversion.get("places", "0"))
    how = conversion.get("round", "none")
    if how == "none":
        return exact
    whole = {"ceiling": ceil(steps), "floor": floor(steps), "half_up": floor(steps + Fraction(1, 2))}[how]
    return whole / Fraction(10) ** int(conversion.get("places", "0"))


def to_units(exact: Fraction, mode: str) -> int:
    """An amount in minor units, rounded as the rate says."""
    if mode == "ceiling":
        return ceil(exact)
    if mode == "floor":
        return floor(exact)
    if mode == "half_even":
        return round(exact)  # of a fraction, to the even one of two that are equally near
    away = floor(abs(exact) + Fraction(1, 2))
    return away if exact >= 0 else -away


def adjusted(
    rate: Record, gross: Fraction, before: Before, span: Fraction, *, is_last: bool
) -> tuple[Fraction, Fraction, bool]:
    """A line's exact amount, what amounts took off it, and whether a minimum was added."""
    net, granted, used = gross, ZERO, before.granted
    for discount in rate.get("discounts", []):
        left = max(net, ZERO)
        if "percent" in discount:
            net -= left * Fraction(discount["percent"]) / 100
            continue
        whole = Fraction(discount["amount"])
        gone = min(whole, used)
        used -= gone
        take = min(whole - gone, left)
        granted += take
        net -= take
    share = span if rate.get("prorated") == "true" else Fraction(1)
    if "maximum" in rate:
        room = Fraction(rate["maximum"]) * share - before.billed
        if net > 0 and net > room:
            net = max(room, ZERO)
    lacking = Fraction(rate.get("minimum", "0")) * share - before.billed - net
    if "minimum" in rate and is_last and lacking > 0:
        return net + lacking, granted, True
    return net, granted, False


class Portion(NamedTuple):
    """A line of a rate: what its price asks for, exactly, and the share of the month of all lines of the rate."""

    rate: Record
    gross: Fraction
    span: Fraction
    is_last: bool


def cost(portions: list[Portion], places: int, more: list[Record]) -> tuple[int, Fraction]:
    """What all lines of a rate cost in minor units, with more discounts after its own, and what amounts took."""
    earlier, total = Before(), 0
    for portion in portions:
        rate = portion.rate | {"discounts": [*portion.rate.get("discounts", []), *more]}
        exact, granted, _ = adjusted(rate, portion.gross, earlier, portion.span, is_last=portion.is_last)
        units = to_units(exact * 10**places, rate.get("rounding", {}).get("mode", "half_up"))
        total += units
        earlier = Before(earlier.billed + Fraction(units, 10**places), earlier.granted + granted)
    return total, earlier.granted
