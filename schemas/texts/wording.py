"""The words of a document in its language: every text that is not from the catalog, from one table per language.

A table maps a key to a text with named places, such as `{quantity}`. The tables of all languages have the same keys and
places. JSON and CSV keep English keys and plain decimals; only texts follow the language.
"""

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Final, Literal, get_args

from schemas.money import grouped, plain

Language = Literal["en", "de"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_DEFAULTS = ("net_prices", "discount", "fee", "prepaid_credit")  # the keys of the texts that a catalog has by default
_GROUP, _POINT = "\u202f", "."  # what schemas.money.grouped writes


class Wording:
    """The texts of one language. `wording("de")("per_unit")` is "je Einheit"."""

    def __init__(self, language: Language, table: Mapping[str, str]) -> None:
        self.language = language
        self.table = table

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its places filled. Decimals and dates are written as in the language.

        Raises KeyError for an unknown key or a place without a value.
        """
        return self.table[key].format_map({name: self._written(value) for name, value in values.items()})

    def number(self, number: Decimal) -> str:
        """A number in groups of three: 1 000 000.5 in English, 1.000.000,5 in German."""
        marks = str.maketrans(_GROUP + _POINT, self.table["thousands"] + self.table["decimal_point"])
        return grouped(number).translate(marks)

    def ungrouped(self, number: Decimal) -> str:
        """A number without groups: 1000000.5 in English."""
        return plain(number).replace(_POINT, self.table["decimal_point"])

    def unless_given(self, text: str) -> str:
        """A text of the catalog. A default of the catalog, which is English, is translated."""
        return self.table.get(_defaults().get(text, ""), text)

    def day(self, day: date) -> str:
        """A day with the month's name."""
        month = self.table["months"].split()[day.month - 1]
        return self("day", number=day.day, month=month, year=day.year)

    def _written(self, value: object) -> str:
        if isinstance(value, Decimal):
            return self.number(value)
        return self.day(value) if isinstance(value, date) else str(value)


@cache
def wording(language: Language = "en") -> Wording:
    """The texts of a language."""
    table = resources.files("schemas.texts").joinpath(f"{language}.json").read_text(encoding="utf-8")
    return Wording(language, json.loads(table))


ENGLISH = wording()


@cache
def _defaults() -> Mapping[str, str]:
    """The keys of the catalog's defaults, by their text."""
    return {ENGLISH.table[key]: key for key in _DEFAULTS}
