"""From what an amount was computed that is not usage at a rate, in words, as `invoice show` prints it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from schemas.texts.wording import Language, wording
from tollbook.cli.figures import amount

# The text for an amount that has these facts, by the text's places. The first one of which all facts are there is used.
_TEXTS: Final = (
    ("percent_of", {"percent": "percent", "base": "base"}),
    ("off", {"base": "base"}),
    ("percent_before_limits", {"percent": "percent", "base": "base_before_limits"}),
    ("off_before_limits", {"base": "base_before_limits"}),
    ("a_month", {"monthly": "monthly"}),
    ("limit", {"limit": "limit"}),
    ("committed_overage", {"committed": "committed", "counted": "counted", "factor": "overage_factor"}),
    ("balance", {"before": "balance_before", "after": "balance_after"}),
    (
        "of_invoice_instead",
        {"number": "number", "reason": "reason", "now": "quantity_now", "before": "quantity_before"},
    ),
    ("of_invoice", {"number": "number", "reason": "reason"}),
)
_MONEY: Final = {
    "base",
    "base_before_limits",
    "monthly",
    "limit",
    "committed",
    "counted",
    "balance_before",
    "balance_after",
}
_NUMBERS: Final = {"percent", "overage_factor", "quantity_now", "quantity_before"}


def basis(extra: Mapping[str, str], currency: str, language: Language) -> str:
    """What an amount of a document rests on, in the language of the document. Empty if it has no such facts."""
    say = wording(language)

    def shown(fact: str) -> object:
        if fact in _MONEY:
            return amount(Decimal(extra[fact]), currency)
        return Decimal(extra[fact]) if fact in _NUMBERS else extra[fact]

    for key, places in _TEXTS:
        if all(extra.get(fact) for fact in places.values()):
            plain_factor = key == "committed_overage" and extra["overage_factor"] == "1"
            text = "committed" if plain_factor else key
            return say(text, **{place: shown(fact) for place, fact in places.items()})
    return ""
