"""Laws of the price models, whatever the quantity, the tiers and the currency; and their edges, written out."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.pricing.charge import PricingError, charge
from schemas.catalog.prices.flat import Flat
from schemas.catalog.prices.graduated import Graduated
from schemas.catalog.prices.package import Package
from schemas.catalog.prices.per_unit import PerUnit
from schemas.catalog.prices.price import Price, Share, begun, prorated
from schemas.catalog.prices.tiers import Tier
from schemas.catalog.prices.volume import Volume
from schemas.catalog.rates import LineTerms
from schemas.money import MINOR_UNITS

D = Decimal
QUANTITIES = st.one_of(
    st.decimals(0, 10**7, places=9), st.integers(0, 10**15).map(D), st.sampled_from([D(0), D(1), D(10**15)])
)
PRICES = st.decimals(0, 100, places=12)
SIGNED = st.decimals(-100, 100, places=6)


@st.composite
def tiers(draw: st.DrawFn, prices: st.SearchStrategy[Decimal] = PRICES, *, packages: bool = True) -> tuple[Tier, ...]:
    """Any tiers in order, the last one open; by unit or by package, with or without a flat fee."""
    bounds = sorted(draw(st.sets(st.decimals("0.001", 10**6, places=3), max_size=4)))
    made = []
    for up_to in [*bounds, None]:
        fee = draw(st.one_of(st.just(D(0)), prices))
        if not packages or draw(st.booleans()):
            made.append(Tier(up_to=up_to, unit_price=draw(prices), flat_fee=fee))
        else:
            size = draw(st.decimals("0.5", 1000, places=1))
            made.append(Tier(up_to=up_to, package_size=size, package_price=draw(prices), flat_fee=fee))
    return tuple(made)


MODELS: st.SearchStrategy[Price] = st.one_of(
    SIGNED.map(lambda amount: Flat(model="flat", amount=amount)),
    SIGNED.map(lambda price: PerUnit(model="per_unit", unit_price=price)),
    st.builds(lambda made, first: Graduated(model="graduated", tiers=made, first_tier_flat_at_zero=first), tiers(SIGNED), st.booleans()),
    st.builds(lambda made, first: Volume(model="volume", tiers=made, first_tier_flat_at_zero=first), tiers(SIGNED), st.booleans()),
    st.builds(lambda size, price: Package(model="package", package_size=size, package_price=price), st.decimals("0.1", 10**4, places=1), SIGNED),
)  # fmt: skip


def half_away_from_zero(amount: Fraction, places: int) -> Fraction:
    """The rounding rule again, in whole numbers."""
    scaled = abs(amount) * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole if amount >= 0 else -whole, 10**places)


def sliced(quantity: Decimal, made: Sequence[Tier]) -> Fraction:
    """Graduated without a running sum: for each tier the part of (below, up_to] that the quantity covers."""
    total, below = Fraction(0), Fraction(0)
    for tier in made:
        up_to = Fraction(tier.up_to) if tier.up_to is not None else max(Fraction(quantity), below)
        total += max(min(Fraction(quantity), up_to) - below, 0) * Fraction(tier.unit_price)
        total += Fraction(tier.flat_fee) if quantity > below or tier is made[0] else 0
        below = up_to
    return total


@pytest.mark.integration
@given(MODELS, QUANTITIES, st.decimals(0, 1000, places=3), st.sampled_from([0, 2, 3, 4]))
def test_parts_sum_to_the_line_and_the_line_is_rounded_once(
    price: Price, quantity: Decimal, free: Decimal, places: int
) -> None:
    """What an invoice shows below a line adds up to it, to the last digit; the amount is half away from zero of that
    sum.
    """
    made = charge(price, quantity, terms=LineTerms(free_units=free), places=places)
    for part in made.parts:
        assert Fraction(part.amount) == Fraction(part.quantity) * Fraction(part.unit_price)
    assert Fraction(made.exact) == sum((Fraction(p.amount) for p in made.parts), Fraction(0))
    assert Fraction(made.amount) == half_away_from_zero(Fraction(made.exact), places)
    assert Fraction(made.billed_quantity) == max(Fraction(quantity) - Fraction(free), 0)
    assert made.amount or not made.amount.is_signed()


@pytest.mark.integration
@given(tiers(packages=False), QUANTITIES, QUANTITIES)
def test_a_graduated_price_never_falls_with_usage(made: tuple[Tier, ...], one: Decimal, other: Decimal) -> None:
    """Using more may be cheaper by the unit, never in all."""
    less, more = sorted([one, other])
    price = Graduated(model="graduated", tiers=made)
    assert cost(price, less) <= cost(price, more)


@pytest.mark.integration
@given(tiers(SIGNED, packages=False), QUANTITIES)
def test_a_graduated_price_is_the_sum_of_its_slices(made: tuple[Tier, ...], quantity: Decimal) -> None:
    """Against another way to compute it, in fractions."""
    assert Fraction(cost(Graduated(model="graduated", tiers=made), quantity)) == sliced(quantity, made)


@pytest.mark.integration
@given(tiers(SIGNED, packages=False), QUANTITIES)
def test_a_volume_price_is_the_whole_quantity_at_one_tier(made: tuple[Tier, ...], quantity: Decimal) -> None:
    """The tier (below, up_to] that holds it; only that tier's flat fee."""
    tier = next(t for t in made if t.up_to is None or quantity <= t.up_to)
    expected = Fraction(quantity) * Fraction(tier.unit_price) + Fraction(tier.flat_fee)
    assert Fraction(cost(Volume(model="volume", tiers=made), quantity)) == expected


@given(st.decimals("0.1", 10**4, places=1), QUANTITIES)
def test_packages_hold_the_quantity_and_no_package_is_empty(size: Decimal, quantity: Decimal) -> None:
    """Begun packages count, whole ones do not begin another, nothing is no package."""
    packages = begun(quantity, size)
    assert packages == packages.to_integral_value()
    assert (packages - 1) * size < quantity <= packages * size or (quantity, packages) == (0, 0)


@given(MODELS, QUANTITIES, st.decimals(0, 10**6, places=3))
def test_free_units_come_off_before_the_price(price: Price, quantity: Decimal, free: Decimal) -> None:
    """Using what is free costs what using nothing costs; beyond it, tiers begin at their first unit."""
    free_of_charge = charge(price, min(quantity, free), terms=LineTerms(free_units=free), places=2)
    assert free_of_charge.amount == charge(price, D(0), places=2).amount
    beyond = charge(price, quantity + free, terms=LineTerms(free_units=free), places=2)
    assert beyond.parts == charge(price, quantity, places=2).parts


LADDER = (
    Tier(up_to=D(100), unit_price=D("0.10"), flat_fee=D(1)),
    Tier(up_to=D(1000), unit_price=D("0.05"), flat_fee=D(2)),
    Tier(up_to=None, unit_price=D("0.01"), flat_fee=D(4)),
)


@pytest.mark.parametrize(
    ("quantity", "graduated", "volume"),
    [
        pytest.param("0", "1", "1", id="nothing used, first flat fee"),
        pytest.param("1", "1.1", "1.1", id="one"),
        pytest.param("99", "10.9", "10.9", id="first edge less one"),
        pytest.param("100", "11", "11", id="first edge"),
        pytest.param("100.000001", "13.00000005", "7.00000005", id="first edge and a bit"),
        pytest.param("101", "13.05", "7.05", id="first edge and one"),
        pytest.param("999", "57.95", "51.95", id="second edge less one"),
        pytest.param("1000", "58", "52", id="second edge"),
        pytest.param("1001", "62.01", "14.01", id="second edge and one"),
        pytest.param("1000000000000000", "10000000000052", "10000000000004", id="10^15"),
    ],
)
def test_tier_edges(quantity: str, graduated: str, volume: str) -> None:
    """The bound belongs to the tier it ends; graduated adds slices and all flat fees reached, volume takes one tier."""
    assert cost(Graduated(model="graduated", tiers=LADDER), D(quantity)) == D(graduated)
    assert cost(Volume(model="volume", tiers=LADDER), D(quantity)) == D(volume)


def test_the_first_flat_fee_at_zero_can_be_left_out() -> None:
    """A choice of the rate card; from the first unit on it makes no difference."""
    for price in (Graduated(model="graduated", tiers=LADDER), Volume(model="volume", tiers=LADDER)):
        without = price.model_copy(update={"first_tier_flat_at_zero": False})
        assert charge(without, D(0), places=2).parts == ()
        assert cost(without, D("0.001")) == cost(price, D("0.001"))


@pytest.mark.parametrize("currency", ["JPY", "EUR", "KWD", "CLF"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_half_goes_away_from_zero_in_every_currency(currency: str, sign: int) -> None:
    """Rebates round like charges; one digit below the half stays."""
    places = MINOR_UNITS[currency]
    half = D(5).scaleb(-places - 1) * sign
    below = half - D("1E-12") * sign
    unit = D(1).scaleb(-places) * sign
    assert amount(PerUnit(model="per_unit", unit_price=half), D(1), places) == unit
    nothing = amount(PerUnit(model="per_unit", unit_price=below), D(1), places)
    assert (nothing, nothing.is_signed()) == (0, False)


@pytest.mark.parametrize(
    ("price", "quantity", "says"),
    [
        pytest.param(PerUnit(model="per_unit", unit_price=D(1)), "-1", "is negative", id="negative"),
        pytest.param(
            PerUnit(model="per_unit", unit_price=D("1." + "1" * 59)), "123", "no exact amount", id="too many digits"
        ),
        pytest.param(
            PerUnit(model="per_unit", unit_price=D("1E+59")), "1", "no exact amount", id="too large for cents"
        ),
    ],
)
def test_what_cannot_be_priced_exactly_is_refused(price: Price, quantity: str, says: str) -> None:
    """Never billed at 0, never billed a little wrong."""
    with pytest.raises(PricingError, match=says):
        charge(price, D(quantity), places=2)


@given(SIGNED, st.integers(0, 10**7), st.integers(1, 10**7), st.sampled_from([0, 2, 3, 4]))
@example(D(1), 1, 200, 2)  # 0.005, a half that is one
@example(D(-1), 1, 200, 2)
@example(D(1), 10**13, 200 * 10**13 + 1, 2)  # a hair below it: rounding before the last rounding would make it one
def test_a_share_of_a_fee_rounds_as_the_exact_fraction_does(fee: Decimal, part: int, whole: int, places: int) -> None:
    """The share has no end in decimals; what is cut off must never decide over a cent."""
    share = prorated(fee, Share(part, whole))
    assert half_away_from_zero(Fraction(share), places) == half_away_from_zero(Fraction(fee) * part / whole, places)
    assert prorated(fee, Share(whole, whole)) == fee


SHARES = [
    case
    for case in map(json.loads, (Path(__file__).parent / "pricing_cases.jsonl").read_text().splitlines())
    if case["model"] == "proration" and "discounts" not in case["params"] and int(case["params"]["rounding"]["places"]) <= 9
    if "ratio" in case["params"] or case["params"]["end"] == "exclusive"
]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in SHARES])
def test_a_share_agrees_with_other_systems(case: dict[str, dict[str, dict[str, str]]]) -> None:
    """Exact ratio of durations, from and including the start up to the end, rounded once."""
    params = {k: v for k, v in case["params"].items() if isinstance(v, str)}
    if "ratio" in case["params"]:
        part, whole = (int(case["params"]["ratio"][k]) for k in ("num", "den"))
    else:
        seconds = [
            int(
                (
                    datetime.fromisoformat(params[f"{k}_end"]) - datetime.fromisoformat(params[f"{k}_start"])
                ).total_seconds()
            )
            for k in ("service", "period")
        ]
        part, whole = seconds
    places = int(case["params"]["rounding"]["places"])
    flat = Flat(model="flat", amount=prorated(D(params["amount"]), Share(part, whole)))
    assert amount(flat, D(1), places) == D(str(case["expected"]["amount"]))


def test_there_are_shares_to_agree_with() -> None:
    """The list above is a filter; it must not filter everything."""
    assert len(SHARES) > 20


def cost(price: Price, quantity: Decimal) -> Decimal:
    """Exact, without rounding."""
    return charge(price, quantity, places=None).amount


def amount(price: Price, quantity: Decimal, places: int) -> Decimal:
    return charge(price, quantity, places=places).amount
