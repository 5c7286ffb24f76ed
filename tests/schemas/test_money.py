"""Money: rounded once, half away from zero, never minus nothing."""

from decimal import Decimal, Inexact

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import EXACT, grouped, plain, rounded, to_minor

D = Decimal
AMOUNTS = st.decimals(-(10**15), 10**15, allow_nan=False, places=9)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        pytest.param("1.005", "EUR", "1.01", id="half goes up"),
        pytest.param("-10.125", "USD", "-10.13", id="half goes away from zero below it, too"),
        pytest.param("-100.5", "JPY", "-101", id="a currency without decimals"),
        pytest.param("1.0005", "KWD", "1.001", id="a currency with three"),
        pytest.param("2.4999999999", "JPY", "2", id="just below half"),
        pytest.param("-0.004", "EUR", "0.00", id="no minus nothing"),
    ],
)
def test_rounding(amount: str, currency: str, expected: str) -> None:
    """Half away from zero, to the currency's minor unit."""
    assert str(to_minor(D(amount), currency)) == expected


@given(AMOUNTS)
def test_rounding_is_odd_and_moves_at_most_half_a_unit(amount: Decimal) -> None:
    """A refund rounds like the charge it takes back."""
    assert rounded(-amount, 2) == -rounded(amount, 2)
    assert abs(rounded(amount, 2) - amount) <= D("0.005")


def test_an_unknown_currency_is_refused() -> None:
    """Its minor unit is not guessed."""
    with pytest.raises(KeyError):
        to_minor(D(1), "XXX")


def test_arithmetic_that_would_round_silently_raises() -> None:
    """One third has no end in decimals: better no invoice than a wrong one."""
    with pytest.raises(Inexact):
        EXACT.divide(D(1), D(3))


@given(AMOUNTS)
def test_plain_writes_the_number_and_nothing_else(amount: Decimal) -> None:
    """No exponent, no trailing zeros, the same value."""
    assert D(plain(amount)) == amount
    assert "E" not in plain(amount)


@pytest.mark.parametrize(
    ("number", "shown"),
    [("1234567.5", "1\u202f234\u202f567.5"), ("-0.5", "-0.5"), ("-1234", "-1\u202f234"), ("999", "999"), ("1E+6", "1\u202f000\u202f000")],
)  # fmt: skip
def test_groups_of_three(number: str, shown: str) -> None:
    """With a space that does not break; the sign and the decimals stay."""
    assert grouped(D(number)) == shown
