"""What a rate says beside its price: bounds of a month over several lines, and what a catalog refuses."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from billing.pricing.allocation import allocated
from billing.pricing.charge import Charge, OfMonth, PricingError, charge
from billing.pricing.commitments import burn_down, committed, credit_for
from billing.pricing.explaining import explanation
from schemas.catalog.prices.price import Share
from schemas.catalog.rates import Rate
from schemas.texts.wording import ENGLISH

D = Decimal
CENTS = st.integers(0, 10**6).map(lambda n: D(n).scaleb(-2))
WEIGHTS = st.lists(st.integers(0, 10**6).map(lambda n: D(n).scaleb(-3)), min_size=1, max_size=8).filter(any)


def rate(**fields: Any) -> Rate:
    return Rate.model_validate({"meter": "m", "price": {"model": "per_unit", "unit_price": "1"}} | fields)


def lines(made: Rate, quantities: list[Decimal], parts: int = 30) -> list[Charge]:
    """A month of 30 days in lines of one price, each told what the ones before came to, as a bill does it."""
    found: list[Charge] = []
    before, total = D(0), sum(quantities, D(0))
    billed = granted = D(0)
    for n, quantity in enumerate(quantities, 1):
        place = OfMonth(
            before,
            total,
            n == 1,
            n == len(quantities),
            Share(parts, 30 * len(quantities)),
            billed,
            granted,
            Share(parts, 30),
        )
        found.append(charge(made.price, quantity, terms=made.terms, places=2, of_month=place))
        before, billed, granted = before + quantity, billed + found[-1].amount, granted + found[-1].granted
    return found


@given(st.lists(CENTS, min_size=1, max_size=5), CENTS.filter(bool), CENTS.filter(bool))
def test_a_month_stays_within_its_minimum_and_maximum_however_it_is_cut(
    quantities: list[Decimal], one: Decimal, other: Decimal
) -> None:
    """And it costs what the same usage costs in one line."""
    made = rate(minimum=min(one, other), maximum=max(one, other))
    billed = sum(line.amount for line in lines(made, quantities))
    assert billed == min(max(sum(quantities), min(one, other)), max(one, other))
    assert billed == lines(made, [sum(quantities, D(0))])[0].amount


@given(st.lists(CENTS, min_size=1, max_size=5), CENTS.filter(bool))
def test_an_amount_is_taken_off_a_month_once(quantities: list[Decimal], off: Decimal) -> None:
    """However many lines the rate has; never more than there is."""
    made = lines(rate(discounts=[{"amount": off}]), quantities)
    assert sum(line.amount for line in made) == max(sum(quantities) - off, 0)
    assert sum(line.granted for line in made) == min(sum(quantities), off)


@pytest.mark.parametrize(
    ("fields", "quantity", "parts", "amount"),
    [
        pytest.param({"free_units": "10"}, "10", 15, "0.00", id="all free units of half a month"),
        pytest.param({"free_units": "10", "prorated": "true"}, "10", 15, "5.00", id="half of them"),
        pytest.param({"minimum": "10"}, "1", 15, "10.00", id="the whole minimum of half a month"),
        pytest.param({"minimum": "10", "prorated": "true"}, "1", 15, "5.00", id="half of it"),
        pytest.param({"maximum": "10", "prorated": "true"}, "8", 15, "5.00", id="half of the maximum"),
        pytest.param({"minimum": "10", "prorated": "true"}, "1", 10, "3.33", id="a third, rounded once"),
        pytest.param({"rounding": {"mode": "half_even"}}, "0.125", 30, "0.12", id="half to even"),
        pytest.param({"rounding": {"mode": "ceiling"}}, "0.121", 30, "0.13", id="up"),
        pytest.param({"rounding": {"mode": "floor"}}, "0.129", 30, "0.12", id="down"),
        pytest.param({"discounts": [{"percent": "10"}, {"amount": "5"}]}, "100", 30, "85.00", id="in their order"),
        pytest.param({"discounts": [{"amount": "5"}, {"percent": "10"}]}, "100", 30, "85.50", id="in the other order"),
        pytest.param({"discounts": [{"percent": "50"}], "maximum": "10", "minimum": "9"}, "30", 30, "10.00", id="discount, then maximum"),
        pytest.param({"discounts": [{"percent": "50"}], "minimum": "20"}, "30", 30, "20.00", id="the minimum is not discounted"),
    ],
)  # fmt: skip
def test_the_terms_of_a_line(fields: dict[str, Any], quantity: str, parts: int, amount: str) -> None:
    """Worked out by hand."""
    made = rate(**fields)
    (line,) = lines(made, [D(quantity)], parts)
    assert f"{line.amount:.2f}" == amount
    assert all(explanation(made.price, made.terms, part, Share(parts, 30), ENGLISH).strip() for part in line.parts)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"minimum": "2", "maximum": "1"}, "`minimum` 2 is above `maximum` 1", id="bounds"),
        pytest.param({"prorated": "true"}, "`prorated` needs `free_units`, `minimum` or `maximum`", id="nothing to share"),
        pytest.param({"discounts": [{"percent": "1", "amount": "1"}]}, "either `percent` or `amount`", id="both"),
        pytest.param({"discounts": [{}]}, "either `percent` or `amount`", id="neither"),
        pytest.param({"discounts": [{"percent": "101"}]}, "less than or equal to 100", id="more than all"),
        pytest.param({"unit_conversion": {"op": "divide", "factor": "3"}}, "does not end in decimals; set `round`", id="a third"),
        pytest.param({"meter": None, "price": {"model": "flat", "amount": "1"}, "free_units": "1"}, "need a `meter`", id="a fee"),
        pytest.param({"price": {"model": "volume", "billing_units": "10", "tiers": [{"up_to": "15"}, {"up_to": None}]}}, "`up_to` 15 is no multiple", id="sets"),
        pytest.param({"price": {"model": "graduated_percentage", "tiers": [{"up_to": "5"}]}}, "last tier must have no upper bound", id="closed"),
    ],
)  # fmt: skip
def test_terms_that_contradict_themselves_are_refused(fields: dict[str, Any], message: str) -> None:
    """With the remedy, before anything is billed."""
    with pytest.raises(ValidationError, match=message):
        rate(**fields)


def test_a_conversion_that_rounds_does_so_once_a_month() -> None:
    """Four lines of 0.4 are 1.6 and two begun units, not four."""
    made = lines(rate(unit_conversion={"op": "multiply", "factor": "1", "round": "ceiling"}), [D("0.4")] * 4)
    assert [line.billed_quantity for line in made] == [1, 0, 1, 0]


@given(st.integers(-(10**6), 10**6), WEIGHTS)
def test_the_parts_of_an_amount_sum_to_it_and_are_less_than_a_cent_off(cents: int, weights: list[Decimal]) -> None:
    """Largest remainder, against fractions."""
    total = D(cents).scaleb(-2)
    parts = allocated(total, weights, places=2)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        share = Fraction(cents, 100) * Fraction(weight) / Fraction(sum(weights))
        assert abs(Fraction(part) - share) < Fraction(1, 100)


@pytest.mark.parametrize(
    ("total", "weights", "message"),
    [
        ("0.001", ["1"], "more than 2 decimals"),
        ("1", ["0", "0"], "weights of 0"),
        ("1", ["2", "-1"], "negative weights"),
    ],
)
def test_what_cannot_be_split_is_refused(total: str, weights: list[str], message: str) -> None:
    """A cent would be lost."""
    with pytest.raises(PricingError, match=message):
        allocated(D(total), [D(weight) for weight in weights], places=2)


@given(CENTS, st.lists(CENTS, max_size=5))
def test_credits_pay_in_their_order_and_never_more_than_is_due(due: Decimal, balances: list[Decimal]) -> None:
    """A later credit pays only when the ones before are used up."""
    paid = burn_down(due, balances)
    assert sum(paid) == min(due, sum(balances))
    for n, amount in enumerate(paid[1:], 1):
        assert not amount or paid[:n] == balances[:n]


@given(CENTS, CENTS, st.integers(0, 300).map(lambda n: D(n).scaleb(-2)), st.booleans())
def test_a_commitment_costs_itself_and_the_overage_at_its_factor(
    used: Decimal, commitment: Decimal, factor: Decimal, trues_up: bool
) -> None:
    """Against the sentence, in fractions."""
    expected = Fraction(min(used, commitment)) + max(Fraction(used) - Fraction(commitment), 0) * Fraction(factor)
    if trues_up:
        expected = max(expected, Fraction(commitment)) if used < commitment else expected
    assert Fraction(committed(used, commitment, overage_factor=factor, trues_up=trues_up).amount) == expected


@given(CENTS, CENTS, CENTS)
def test_a_credit_never_exceeds_what_was_paid(unused: Decimal, paid: Decimal, credited: Decimal) -> None:
    """What was credited before counts."""
    assert credit_for(unused, paid=paid, credited=credited) == max(min(unused, paid - credited), 0)
