"""Price models: pure functions from a quantity to the parts of a charge. Exact; rounding happens once, in `charge`.

The order inside a line is that of docs/pricing.md: quantity (already converted and rounded) → free units → price →
rounding. A tier's `up_to` is inclusive and compared as a decimal. Quantities are in the meter's unit.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Context, Decimal, Inexact, InvalidOperation, Rounded, localcontext
from typing import Any, Literal, NamedTuple

from schemas.catalog.prices.flat import Flat
from schemas.catalog.prices.graduated import Graduated
from schemas.catalog.prices.package import Package
from schemas.catalog.prices.per_unit import PerUnit
from schemas.catalog.prices.registry import PriceModel
from schemas.catalog.prices.tiers import Tier
from schemas.catalog.prices.volume import Volume
from schemas.money import EXACT, rounded

ZERO = Decimal(0)
_CUT = Context(prec=EXACT.prec, rounding=ROUND_DOWN)
_SHARE_STEP = Decimal("1E-12")  # finer than any currency's minor unit


class PricingError(Exception):
    """The price does not say what this quantity costs. Correct the rate card or the usage; never bill it at 0."""


class Part(NamedTuple):
    """One addend of a charge: `quantity` times `unit_price` is `amount`, exactly."""

    label: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal


class Rounding(NamedTuple):
    """To how many decimals (None: not at all), and whether the charge as a whole or each part on its own."""

    places: int | None
    when: Literal["line", "tier_line"] = "line"


class Charge(NamedTuple):
    """A priced line: what was billed, its addends, their exact sum, and the amount after rounding."""

    billed_quantity: Decimal
    parts: tuple[Part, ...]
    exact: Decimal
    amount: Decimal


def charge(price: PriceModel, quantity: Decimal, *, free_units: Decimal = ZERO, rounding: Rounding) -> Charge:
    """What `quantity` costs. Raises PricingError for a negative quantity, or one no tier covers."""
    return charged(lambda q: PRICES[price.model](price, q), quantity, free_units=free_units, rounding=rounding)


def charged(
    price: Callable[[Decimal], list[Part]], quantity: Decimal, *, free_units: Decimal = ZERO, rounding: Rounding
) -> Charge:
    """The steps around any price function: free units first, rounding last."""
    if quantity < 0:
        raise PricingError(f"quantity {quantity} is negative; a correction is a credit note, not usage")
    try:
        with localcontext(EXACT):
            billed = max(quantity - free_units, ZERO)
            parts = tuple(price(billed))
            exact = sum((p.amount for p in parts), ZERO)
            amount = _after_rounding(parts, exact, rounding)
    except (Inexact, Rounded, InvalidOperation) as exc:
        raise PricingError(
            f"quantity {quantity} at this price has no exact amount of at most {EXACT.prec} digits; give the price fewer decimals"
        ) from exc
    return Charge(billed, parts, exact, amount)


def _after_rounding(parts: Sequence[Part], exact: Decimal, rounding: Rounding) -> Decimal:
    if rounding.places is None:
        return exact
    if rounding.when == "tier_line":
        return sum((rounded(p.amount, rounding.places) for p in parts), ZERO)
    return rounded(exact, rounding.places)


def flat(amount: Decimal) -> list[Part]:
    """The same amount whatever was used."""
    return [Part("flat", Decimal(1), amount, amount)]


def prorated(amount: Decimal, part: int, whole: int) -> Decimal:
    """The share `part` of `whole` of a fixed amount, cut after 12 decimals.

    Cut and not rounded: rounded to a currency's places it then gives what rounding the endless fraction would.
    """
    if part == whole:
        return amount
    with localcontext(EXACT):
        scaled = amount * part
    with localcontext(_CUT):
        return (scaled / whole).quantize(_SHARE_STEP)


def per_unit(quantity: Decimal, unit_price: Decimal) -> list[Part]:
    """Quantity times price."""
    return _usage("usage", quantity, unit_price)


def package(quantity: Decimal, size: Decimal, price: Decimal) -> list[Part]:
    """Begun packages; nothing used, nothing to pay."""
    return _usage("usage", begun(quantity, size), price)


def graduated(
    quantity: Decimal, tiers: Sequence[Tier], *, first_flat_at_zero: bool = True, billing_units: Decimal | None = None
) -> list[Part]:
    """Each slice of `quantity` at the price of the tier it falls in; the flat fee of every tier reached."""
    quantity = in_billing_units(quantity, billing_units)
    parts: list[Part] = []
    below = ZERO
    for number, tier in enumerate(tiers, 1):
        top = quantity if tier.up_to is None else min(quantity, tier.up_to)
        parts += _tier_usage(number, tier, max(top - below, ZERO), billing_units)
        if quantity > below or (number == 1 and first_flat_at_zero):
            parts += _tier_flat(number, tier)
        if tier.up_to is None or quantity <= tier.up_to:
            return parts
        below = tier.up_to
    raise PricingError(
        f"quantity {quantity} lies beyond the last tier, which ends at {below}; leave the last tier open"
    )


def volume(
    quantity: Decimal,
    tiers: Sequence[Tier],
    *,
    first_flat_at_zero: bool = True,
    billing_units: Decimal | None = None,
    beyond_last: bool = False,
) -> list[Part]:
    """The whole `quantity` at the price of the tier it reaches, and that tier's flat fee alone.

    `beyond_last`: a quantity beyond a bounded last tier takes the last tier instead of being refused.
    """
    quantity = in_billing_units(quantity, billing_units)
    reached = next((n for n, t in enumerate(tiers) if t.up_to is None or quantity <= t.up_to), None)
    if reached is None and not beyond_last:
        raise PricingError(
            f"quantity {quantity} lies beyond the last tier, which ends at {tiers[-1].up_to}; leave the last tier open"
        )
    index = len(tiers) - 1 if reached is None else reached
    parts = _tier_usage(index + 1, tiers[index], quantity, billing_units)
    if quantity > 0 or first_flat_at_zero:
        parts += _tier_flat(index + 1, tiers[index])
    return parts


def begun(quantity: Decimal, size: Decimal) -> Decimal:
    """How many packages of `size` it takes to hold `quantity`."""
    return -(-quantity // size) if quantity % size == 0 else quantity // size + 1


def in_billing_units(quantity: Decimal, billing_units: Decimal | None) -> Decimal:
    """`quantity`, rounded up to a multiple of `billing_units`."""
    return quantity if billing_units is None else begun(quantity, billing_units) * billing_units


def _tier_usage(number: int, tier: Tier, quantity: Decimal, billing_units: Decimal | None) -> list[Part]:
    label = f"tier{number}_usage"
    if tier.package_size is not None:
        return _usage(label, begun(quantity, tier.package_size), tier.package_price or ZERO)
    return _usage(label, quantity / (billing_units or 1), tier.unit_price)


def _tier_flat(number: int, tier: Tier) -> list[Part]:
    return [Part(f"tier{number}_flat", Decimal(1), tier.flat_fee, tier.flat_fee)] if tier.flat_fee else []


def _usage(label: str, quantity: Decimal, unit_price: Decimal) -> list[Part]:
    return [Part(label, quantity, unit_price, quantity * unit_price)] if quantity else []


def _flat(price: Flat, _quantity: Decimal) -> list[Part]:
    return flat(price.amount)


def _per_unit(price: PerUnit, quantity: Decimal) -> list[Part]:
    return per_unit(quantity, price.unit_price)


def _graduated(price: Graduated, quantity: Decimal) -> list[Part]:
    return graduated(quantity, price.tiers, first_flat_at_zero=price.first_tier_flat_at_zero)


def _volume(price: Volume, quantity: Decimal) -> list[Part]:
    return volume(quantity, price.tiers, first_flat_at_zero=price.first_tier_flat_at_zero)


def _package(price: Package, quantity: Decimal) -> list[Part]:
    return package(quantity, price.package_size, price.package_price)


PRICES: dict[str, Callable[[Any, Decimal], list[Part]]] = {
    "flat": _flat,
    "per_unit": _per_unit,
    "graduated": _graduated,
    "volume": _volume,
    "package": _package,
}
