"""The single values of a catalog: ids, text, zones, currencies, amounts. Each refuses what no record could mean."""

import unicodedata
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from schemas.money import MINOR_UNITS

# Explicit embeddings, overrides and isolates: what follows them is shown in another order than it is stored.
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _one_line(text: str) -> str:
    if bad := [c for c in text if unicodedata.category(c) == "Cc" or c in _TURNS]:
        raise ValueError(f"the character {bad[0]!a} would change how the line is shown; remove it")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}; use an IANA name such as Europe/Berlin") from None
    return name


def _currency(code: str) -> str:
    if code not in MINOR_UNITS:
        raise ValueError(f"unknown currency {code!r}; known: {', '.join(MINOR_UNITS)}")
    return code


Id = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
Status = Annotated[str, Field(pattern=r"^([1-5]xx|[1-5][0-9]{2}|0)$")]  # 0: none was logged
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]  # stands on invoices
Code = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_one_line)]  # a number given by somebody else
Note = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]  # the same, or nothing
Address = Annotated[tuple[Text, ...], Field(max_length=10)]
Zone = Annotated[str, AfterValidator(_zone)]
Currency = Annotated[str, AfterValidator(_currency)]
Amount = Annotated[Decimal, Field(allow_inf_nan=False)]
NotNegative = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
