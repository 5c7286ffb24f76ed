"""Money: the currencies with their minor units, and the only function that rounds an amount."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, Inexact, localcontext
from typing import Final, Literal

# ISO 4217 minor units. A currency that is not listed is refused.
MINOR_UNITS: Final = {
    "AUD": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CLF": 4, "CLP": 0, "CNY": 2, "CZK": 2, "DKK": 2, "EUR": 2,
    "GBP": 2, "HKD": 2, "HUF": 2, "IDR": 2, "ILS": 2, "INR": 2, "ISK": 0, "JPY": 0, "KRW": 0, "KWD": 3, "MXN": 2,
    "MYR": 2, "NOK": 2, "NZD": 2, "OMR": 3, "PHP": 2, "PLN": 2, "RON": 2, "SEK": 2, "SGD": 2, "THB": 2, "TND": 3,
    "TRY": 2, "TWD": 2, "UAH": 2, "USD": 2, "VND": 0, "ZAR": 2,
}  # fmt: skip

# Wide enough for 10^15 units at a price of 12 decimals. A result that does not fit raises Inexact instead of being
# rounded.
EXACT: Final = Context(prec=60, traps=[*Context().traps, Inexact])
RoundingMode = Literal["half_up", "half_even", "ceiling", "floor"]
_ROUNDING: Final = {
    "half_up": Context(prec=60, rounding=ROUND_HALF_UP),  # half away from zero
    "half_even": Context(prec=60, rounding=ROUND_HALF_EVEN),
    "ceiling": Context(prec=60, rounding=ROUND_CEILING),
    "floor": Context(prec=60, rounding=ROUND_FLOOR),
}


def rounded(amount: Decimal, places: int, mode: RoundingMode = "half_up") -> Decimal:
    """`amount` to `places` decimals, half away from zero unless `mode` says otherwise; never -0.

    The only rounding of money (SEMANTICS 4).
    """
    with localcontext(_ROUNDING[mode]):
        result = amount.quantize(Decimal(1).scaleb(-places))
    return abs(result) if result == 0 else result


def to_minor(amount: Decimal, currency: str) -> Decimal:
    """`amount` rounded to the currency's minor unit. Raises KeyError for a currency that is not listed."""
    return rounded(amount, MINOR_UNITS[currency])


def money(amount: Decimal, currency: str) -> str:
    """An amount with exactly the decimals of its currency, without groups of digits: 1234.50."""
    return f"{amount:.{MINOR_UNITS[currency]}f}"


def with_currency(amount: Decimal, currency: str) -> str:
    """An amount as messages name it: 1234.50 EUR."""
    return f"{money(amount, currency)} {currency}"


def plain(number: Decimal) -> str:
    """A number in plain notation: without exponent, trailing zeros or negative zero."""
    text = f"{abs(number) if number == 0 else number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def grouped(number: Decimal) -> str:
    """A number for display, with groups of three digits separated by narrow no-break spaces: 1 000 000.5."""
    whole, point, fraction = plain(abs(number)).partition(".")
    return ("-" if number < 0 else "") + f"{int(whole):,}".replace(",", "\u202f") + point + fraction
